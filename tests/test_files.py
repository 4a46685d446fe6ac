"""Files: every hazard has its own sentence, what is hashed is what is used, and a write is whole or absent."""

import errno
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fidelity_gate import files
from fidelity_gate.errors import ExitCode, ModelRefused, Refused, ReportNotWritten, UnsafeContent

LIMIT = 1 << 20


def refusal(path: Path | str, kind: type[Refused] = Refused, limit: int = LIMIT) -> str:
    with pytest.raises(kind) as caught:
        files.read_file(path, limit_bytes=limit, kind=kind)
    return str(caught.value)


def test_reads_a_regular_file_and_hashes_what_it_read(tmp_path: Path) -> None:
    path = tmp_path / "a b.bin"
    path.write_bytes(b"content")
    read = files.read_file(path, limit_bytes=LIMIT)
    assert (read.data, read.size, read.linked) == (b"content", 7, False)
    assert read.digest == files.sha256_hex(b"content")
    assert read == files.read_file(path, limit_bytes=LIMIT)


def test_a_link_to_a_regular_file_is_followed_and_reported(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to("real")
    read = files.read_file(tmp_path / "link", limit_bytes=LIMIT)
    assert read.linked
    assert read.resolved == str(tmp_path.resolve() / "real")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


HAZARDS = {
    "folder": (Path.mkdir, "is a folder"),
    "fifo": (make_fifo, "named pipe"),
    "socket": (make_socket, "is a socket"),
    "loop": (make_loop, "loop of symbolic links"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "link to a file that is not there"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "character device"),
    "empty": (lambda path: path.write_bytes(b""), "zero bytes"),
    "lfs": (
        lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "html": (lambda path: path.write_bytes(b"\xef\xbb\xbf \n<!DOCTYPE HTML><title>Sign in"), "saved web page"),
    "html without doctype": (lambda path: path.write_bytes(b"<html lang='en'>"), "saved web page"),
    "missing": (lambda path: None, "there is no such file"),
}


@pytest.mark.parametrize("name", HAZARDS)
def test_every_hazard_has_its_own_sentence(tmp_path: Path, name: str) -> None:
    make, sentence = HAZARDS[name]
    make(tmp_path / "x")
    assert sentence in refusal(tmp_path / "x")
    assert sentence in refusal(tmp_path / "x", ModelRefused)
    with pytest.raises(ModelRefused):
        files.head(tmp_path / "x", kind=ModelRefused)


@pytest.mark.parametrize("name", ["", "a\0b", "\udc80\ud800", "x" * 5000, "no-such-folder/x"])
def test_impossible_names_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    said = refusal(str(tmp_path / name) if name else "")
    assert "\n" not in said
    assert len(said) <= 200


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "x").chmod(0)
    assert "permission denied" in refusal(tmp_path / "x")


def test_a_permission_error_has_its_own_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"content")

    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    said = refusal(tmp_path / "x")
    monkeypatch.undo()
    assert "permission denied" in said


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as handle:
        handle.truncate(1 << 40)  # sparse: a terabyte that takes no room
    assert "too large: 1,099,511,627,776 bytes" in refusal(tmp_path / "x", UnsafeContent)
    (tmp_path / "x").write_bytes(b"12345")
    assert files.read_file(tmp_path / "x", limit_bytes=5).size == 5
    refusal(tmp_path / "x", UnsafeContent, limit=4)


def test_a_misspelt_name_gets_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "model_final.safetensors").write_bytes(b"x")
    assert "did you mean model_final.safetensors?" in refusal(tmp_path / "model_fnal.safetensors")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"content")
    real = os.fdopen

    def growing(*args: object, **options: object) -> object:
        with path.open("ab") as handle:
            handle.write(b"more")
        return real(*args, **options)

    monkeypatch.setattr(os, "fdopen", growing)
    assert "changed while it was being read" in refusal(path)


def test_a_write_is_whole_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)  # the longest names leave no room for a suffix
    files.write_atomically(path, "first\n")
    files.write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_in_the_way_of_a_write_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "report").symlink_to("target")
    files.write_atomically(tmp_path / "report", "new")
    assert not (tmp_path / "report").is_symlink()
    assert (tmp_path / "target").read_text() == "old"


def test_what_people_keep_is_replaced_whole_and_through_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / ("n" * 250), tmp_path / "link"
    link.symlink_to(path.name)
    files.replace_atomically(link, b"first")  # the link leads to nothing yet
    files.replace_atomically(path, b"second")
    files.replace_atomically(link, b"third")
    assert path.read_bytes() == b"third"
    assert link.is_symlink()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link", path.name]
    with pytest.raises(ReportNotWritten, match="is a folder, not a file"):
        files.replace_atomically(tmp_path, b"")
    with pytest.raises(ReportNotWritten, match="its folder does not exist") as caught:
        files.replace_atomically(tmp_path / "nowhere" / "it", b"")
    assert caught.value.where == str(tmp_path / "nowhere" / "it")


@pytest.mark.parametrize("seam", ["open", "fdopen", "fsync", "replace"])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_fault_at_any_seam_leaves_what_people_keep_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seam: str, fault: BaseException
) -> None:
    path = tmp_path / "baseline.json"
    path.write_text("the last release")

    def broken(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(Path if seam == "replace" else os, seam, broken)
    expected = ReportNotWritten if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        files.replace_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_text() == "the last release"
    assert list(tmp_path.iterdir()) == [path]
    if expected is ReportNotWritten:
        assert str(caught.value).startswith(f"{path}: cannot be ")


@pytest.mark.parametrize("seam", ["unlink", "open", "fdopen", "fsync", "replace"])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_fault_at_any_seam_of_a_write_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seam: str, fault: BaseException
) -> None:
    path = tmp_path / "report.xml"
    if seam != "unlink":
        path.write_text("yesterday's green report")

    def broken(*_: object, **__: object) -> None:
        raise fault

    owner = Path if seam in ("replace", "unlink") else os
    monkeypatch.setattr(owner, seam, broken)
    expected = ReportNotWritten if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        files.write_atomically(path, "today's report")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    if isinstance(fault, OSError):
        assert caught.value.exit_code == ExitCode.INTERNAL
        assert "no space left on device" in str(caught.value)


def test_a_file_system_that_runs_full_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from fidelity_gate.files import write_atomically\n"
        "from fidelity_gate.errors import ReportNotWritten\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomically(sys.argv[1], b'x' * 5000)\n"
        "except ReportNotWritten as error: print(error)\n"
    )
    root = Path(files.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r")], capture_output=True, text=True, cwd=root, check=True
    )
    assert "cannot be written: file too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_regular_file_is_never_deleted_to_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[Path] = []
    monkeypatch.setattr(Path, "unlink", lambda path, **_: deleted.append(path))  # root could really delete a device
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    for path in (Path("/dev/null"), link):
        with pytest.raises(ReportNotWritten, match="character device") as caught:
            files.write_atomically(path, "x")
        assert caught.value.exit_code == ExitCode.INTERNAL
    assert deleted == []


def test_a_missing_folder_and_a_folder_in_the_way_are_named(tmp_path: Path) -> None:
    with pytest.raises(ReportNotWritten, match="its folder does not exist"):
        files.write_atomically(tmp_path / "no" / "r.xml", "x")
    with pytest.raises(ReportNotWritten, match="is a folder"):
        files.write_atomically(tmp_path, "x")
    with pytest.raises(ReportNotWritten, match="UTF-8 cannot write"):
        files.write_atomically(tmp_path / "r.xml", "\ud800")
