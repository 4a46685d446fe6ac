"""Reads files that nobody may trust, and writes files that are whole or absent."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from fidelity_gate.errors import GateError, Refused, ReportNotWritten, UnsafeContent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEAD_BYTES = 4096
_LFS = b"version https://git-lfs"
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body")

# Never wait for a writer at the other end of a FIFO, never take a terminal, never follow a link swapped in at the
# last moment (links are resolved before), never hand the descriptor to a child.
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_CREATE_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)

_NOT_REGULAR: tuple[tuple[Callable[[int], bool], str, str], ...] = (
    (stat.S_ISDIR, "is a folder, not a file", "name the file inside it"),
    (stat.S_ISFIFO, "is a named pipe (FIFO), which cannot be read twice", "write its content to a file"),
    (stat.S_ISCHR, "is a character device, not a file", "write its content to a file"),
    (stat.S_ISBLK, "is a block device, not a file", "write its content to a file"),
    (stat.S_ISSOCK, "is a socket, not a file", "write its content to a file"),
)


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A file, read whole and once: the digest is of exactly these bytes."""

    path: str  # as it was asked for
    data: bytes
    digest: str  # sha256, hexadecimal
    resolved: str  # the regular file behind `path`, every link followed

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return len(self.data)

    @property
    def linked(self) -> bool:
        """Return whether a symbolic link led to the file."""
        return self.resolved != os.path.abspath(self.path)  # noqa: PTH100  (Path.absolute keeps "..")


def sha256_hex(data: bytes) -> str:
    """Return the sha256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_file(path: str | Path, *, limit_bytes: int, kind: type[GateError] = Refused) -> FileBytes:
    """Read a regular file once, and hash what was read.

    Args:
        path: where it is; symbolic links to regular files are followed, and reported in `resolved`.
        limit_bytes: the most bytes the file may have; a larger one is refused before any of it is read.
        kind: the error to raise: `ModelRefused` for a model, `PolicyError` for a policy, and so on.

    Raises:
        UnsafeContent: the file is larger than `limit_bytes`.
        GateError: of `kind`, with one sentence for each way in which a file is none.
    """
    descriptor, resolved = _open_regular(path, kind)
    try:
        before = os.fstat(descriptor)
        if before.st_size > limit_bytes:
            raise UnsafeContent(
                f"is too large: {before.st_size:,} bytes", where=path, hint=f"at most {limit_bytes:,} bytes"
            )
        data = _read_up_to(descriptor, before.st_size + 1)
        after = os.fstat(descriptor)
    except OSError as error:
        raise kind(f"cannot be read: {_reason(error)}", where=path) from error
    finally:
        os.close(descriptor)
    if len(data) != before.st_size or (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise kind("changed while it was being read", where=path, hint="wait for whoever writes it, then run again")
    refuse_look_alikes(data, where=path, kind=kind)
    return FileBytes(str(path), data, sha256_hex(data), resolved)


def head(path: str | Path, *, count: int = HEAD_BYTES, kind: type[GateError] = Refused) -> bytes:
    """Return the first `count` bytes of a regular file, with the same refusals as `read_file` (but for its size)."""
    descriptor, _ = _open_regular(path, kind)
    try:
        data = _read_up_to(descriptor, count)
    except OSError as error:
        raise kind(f"cannot be read: {_reason(error)}", where=path) from error
    finally:
        os.close(descriptor)
    refuse_look_alikes(data, where=path, kind=kind)
    return data


def refuse_look_alikes(data: bytes, *, where: str | Path, kind: type[GateError] = Refused) -> None:
    """Raise when bytes are not content at all: nothing, a git-LFS pointer, or a web page saved in its place."""
    if not data:
        raise kind("holds zero bytes", where=where, hint="the download or the copy did not finish")
    if data.startswith(_LFS):
        raise kind("is a git-LFS pointer, not the file itself", where=where, hint="run: git lfs pull")
    start = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_HTML_STARTS):
        raise kind("is a saved web page (HTML)", where=where, hint="the download needs a login or another address")


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Write a file that is whole or absent, whatever happens; an older file of that name is gone first.

    Args:
        path: a regular file, or nothing yet, in a folder that exists.
        data: the whole content; text is written as UTF-8 with the line ends it has.

    Raises:
        ReportNotWritten: for whatever reason: no folder, no permission, disk full, not a regular file.
    """
    try:
        content = data.encode("utf-8") if isinstance(data, str) else data
    except UnicodeEncodeError as error:
        raise ReportNotWritten("holds a character that UTF-8 cannot write", where=path) from error
    with writing(path) as handle:
        handle.write(content)


def replace_atomically(path: str | Path, data: bytes) -> None:
    """Write a file of which an older one stays until the new one is whole, whatever happens; a link to it is followed.

    For what people keep. Not for reports: of those an older one must be gone first.

    Raises:
        ReportNotWritten: as for `write_atomically`; the older file is as it was.
    """
    target = Path(os.path.realpath(path))
    fresh = target.parent / f".fidelity-gate-{secrets.token_hex(8)}.new"
    try:
        _refuse_irregular_target(target)
        with writing(fresh) as handle:
            handle.write(data)
        fresh.replace(target)
        _sync_folder(target.parent)
    except ReportNotWritten as error:
        raise ReportNotWritten(error.what, where=path, hint=error.hint) from error
    except (OSError, ValueError) as error:
        raise ReportNotWritten(f"cannot be replaced: {_reason(error)}", where=path) from error
    finally:
        _forget(fresh)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file piece by piece; it is whole when the block ends, and absent when anything at all goes wrong in it.

    Args:
        path: a regular file, or nothing yet, in a folder that exists; an older file of that name is gone first.

    Raises:
        ReportNotWritten: no folder, no permission, disk full, not a regular file.
    """
    target = Path(path)
    delete_stale(target)
    temporary = target.parent / f".fidelity-gate-{secrets.token_hex(8)}.part"  # fixed length: any name fits
    try:
        descriptor = os.open(temporary, _CREATE_FLAGS, 0o666)
        with os.fdopen(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)
    except BaseException as error:
        _forget(temporary)
        if isinstance(error, OSError):
            # What was renamed but perhaps not made durable is not there: absent is the safe half of "whole or absent".
            _forget(target)
            raise ReportNotWritten(f"cannot be written: {_reason(error)}", where=target) from error
        raise


def delete_stale(path: str | Path) -> None:
    """Delete a file that an earlier run left, so that a crash from here on cannot leave it to be believed.

    Raises:
        ReportNotWritten: it is not a regular file (a device, a folder), or it cannot be deleted.
    """
    target = Path(path)
    try:
        _refuse_irregular_target(target)
        target.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise ReportNotWritten(f"cannot be replaced: {_reason(error)}", where=target) from error


def _refuse_irregular_target(target: Path) -> None:
    try:
        mode = target.stat().st_mode  # through links: /dev/stdout is a link to a pipe or a terminal
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise ReportNotWritten("its folder does not exist", where=target, hint=f"create {target.parent}") from None
        return
    for is_it, what, _ in _NOT_REGULAR:
        if is_it(mode):
            raise ReportNotWritten(what, where=target, hint="name a file")


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows can neither open nor sync a folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot, and say so
            raise
    finally:
        os.close(descriptor)


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the error that brought us here says more


def _open_regular(path: str | Path, kind: type[GateError]) -> tuple[int, str]:
    """Return a descriptor of the regular file behind `path`, and its resolved path."""
    if not str(path):
        raise kind("no file name was given")
    try:
        resolved = os.path.realpath(path, strict=True)
        _refuse_irregular(Path(resolved).stat().st_mode, path, kind)  # opening some devices already acts on them
        descriptor = os.open(resolved, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        _refuse_unopened(error, Path(path), kind)
    try:
        _refuse_irregular(os.fstat(descriptor).st_mode, path, kind)  # what is open, not what was there before
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, resolved


def _refuse_irregular(mode: int, path: str | Path, kind: type[GateError]) -> None:
    if stat.S_ISREG(mode):
        return
    for is_it, what, hint in _NOT_REGULAR:
        if is_it(mode):
            raise kind(what, where=path, hint=hint)
    raise kind("is not a regular file", where=path)


def _refuse_unopened(error: OSError | ValueError, path: Path, kind: type[GateError]) -> NoReturn:
    if isinstance(error, ValueError):  # a NUL, or characters that no file name can have
        raise kind("is not a possible file name", where=path) from error
    if error.errno == errno.ENOENT:
        if path.is_symlink():
            raise kind("is a link to a file that is not there", where=path) from error
        raise kind("there is no such file", where=path, hint=_near_names(path)) from error
    if error.errno == errno.ELOOP:
        raise kind("is a loop of symbolic links", where=path) from error
    if error.errno in (errno.EACCES, errno.EPERM):
        raise kind("may not be read by this user (permission denied)", where=path) from error
    raise kind(f"cannot be opened: {_reason(error)}", where=path) from error


def _near_names(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} is not there either"
    try:
        names = sorted(entry.name for entry in os.scandir(folder))[:10_000]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _read_up_to(descriptor: int, count: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as handle:  # one allocation, however large the file
        return handle.read(count)


def _reason(error: OSError | ValueError) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
