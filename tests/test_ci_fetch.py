"""The reference cache: what it holds counts only by its digest, whoever wrote it; and how the file comes into it."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from actions import Runner, read_yaml

from fidelity_gate.errors import GateError, ModelRefused, ReportNotWritten, Undecided, UsageError
from fidelity_gate.files import sha256_hex
from fidelity_gate.verbs import ci_fetch
from fidelity_gate.verbs.ci_fetch import FETCHED, STORE, Wanted, brought

CI = Path(__file__).resolve().parents[1] / "ci"
ACTION = CI / "reference" / "action.yml"
GOOD, OTHER = b"the weights" * 1000, b"other weights" * 1000
DIGEST = sha256_hex(GOOD)


class Answers(BaseHTTPRequestHandler):
    """A server with one good file, and ways in which servers disappoint."""

    def do_GET(self):
        self.server.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path == "/short" or (path == "/once" and len(self.server.asked) == 1):
            self._answer(200, GOOD[:500], length=len(GOOD))
        elif path == "/busy":
            self._answer(503, b"")
        elif path in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved[path])
            self.end_headers()
        else:
            self._answer(*{"/good": (200, GOOD), "/once": (200, GOOD), "/other": (200, OTHER)}.get(path, (404, b"")))

    def _answer(self, code, content, length=None):
        self.send_response(code)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Return a certificate for 127.0.0.1 with its key."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    made = ("-keyout", str(folder / "key"), "-out", str(folder / "certificate"))
    words = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    subprocess.run([*words, *subject, *made], check=True, capture_output=True)
    return folder


@contextlib.contextmanager
def serving(made):
    made.asked, made.moved = [], {}
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def server(authority, monkeypatch):
    """Return a server that speaks TLS, and that this process and its children believe."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    made.url = f"https://127.0.0.1:{made.server_port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "certificate", authority / "key")
    made.socket = context.wrap_socket(made.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "certificate"))
    monkeypatch.setattr(ci_fetch, "PAUSE_S", 0.0)
    with serving(made):
        made.moved = {"/moved": f"{made.url}/good", "/file": "file:///etc/hostname"}
        yield made


def wanted(server, path="/good"):
    return Wanted(f"{server.url}{path}", DIGEST, "reference.safetensors")


def test_a_file_is_fetched_once_and_then_comes_out_of_the_cache(server, tmp_path) -> None:
    path, fetched = brought(wanted(server, "/good?signature=secret"), tmp_path)
    assert (path, fetched, path.read_bytes()) == (tmp_path / FETCHED / "reference.safetensors", True, GOOD)
    path, fetched = brought(wanted(server), tmp_path)
    assert (path.read_bytes(), fetched, len(server.asked)) == (GOOD, False, 1)
    assert [file.name for file in (tmp_path / STORE).iterdir()] == [DIGEST]


def poisoned(entry, how):
    """Put something else in the place of a cache's entry."""
    secret = entry.parent.parent / "secret"
    secret.write_bytes(GOOD)
    if how == "folder":
        entry.mkdir()
        (entry / "file").write_bytes(GOOD)
    elif how == "link":
        entry.symlink_to(secret)
    elif how == "fifo":
        os.mkfifo(entry)
    else:
        entry.write_bytes({"other": OTHER, "short": GOOD[:-1], "empty": b"", "longer": GOOD + b"\0"}[how])


@pytest.mark.parametrize("how", ["other", "short", "empty", "longer", "folder", "link", "fifo"])
def test_an_entry_that_is_not_the_file_itself_is_thrown_away_and_the_file_is_fetched(server, tmp_path, how) -> None:
    (tmp_path / STORE).mkdir()
    poisoned(tmp_path / STORE / DIGEST, how)
    path, fetched = brought(wanted(server), tmp_path)
    assert (path.read_bytes(), fetched, path.is_symlink()) == (GOOD, True, False)
    assert (tmp_path / STORE / DIGEST).read_bytes() == GOOD
    assert (tmp_path / "secret").read_bytes() == GOOD  # nothing is removed or written through a link


def test_folders_of_the_cache_that_are_links_are_not_written_through(server, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in (STORE, FETCHED):
        (tmp_path / name).symlink_to(outside)
    path, fetched = brought(wanted(server), tmp_path)
    assert (path.read_bytes(), fetched, list(outside.iterdir())) == (GOOD, True, [])


@pytest.mark.parametrize(
    ("path", "kind", "said", "asked"),
    [
        ("/other", ModelRefused, "is not the file that is asked for", 1),
        ("/none", Undecided, "HTTP 404", 1),
        ("/busy", Undecided, "HTTP 503", 3),
        ("/short", Undecided, "cut short after 500 of 11,000 bytes", 3),
        ("/file", Undecided, "HTTP 302", 1),
    ],
)
def test_a_url_that_does_not_give_the_file_leaves_none(server, tmp_path, path, kind, said, asked) -> None:
    with pytest.raises(kind, match=said) as found:
        brought(wanted(server, f"{path}?signature=secret"), tmp_path)
    assert "secret" not in str(found.value)
    assert len(server.asked) in (asked, ci_fetch.TRIES)
    assert list((tmp_path / FETCHED).iterdir()) == []


@pytest.mark.parametrize("path", ["/once", "/moved"])
def test_a_network_that_fails_once_is_asked_again_and_a_redirection_is_followed(server, tmp_path, path) -> None:
    assert brought(wanted(server, path), tmp_path)[0].read_bytes() == GOOD
    assert len(server.asked) == 2


def test_a_redirection_to_where_anybody_on_the_way_could_answer_is_not_followed(server, tmp_path) -> None:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Answers)) as plain:
        server.moved["/down"] = f"http://127.0.0.1:{plain.server_port}/good"
        with pytest.raises(Undecided, match="unknown url type: http"):
            brought(wanted(server, "/down"), tmp_path)
        assert plain.asked == []


def test_a_server_that_nobody_vouches_for_gives_nothing(server, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Undecided, match="certificate"):
        brought(wanted(server), tmp_path)
    assert server.asked == []


def test_a_file_without_end_is_not_taken(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ci_fetch, "LIMIT_BYTES", len(GOOD) - 1)
    with pytest.raises(GateError, match="is too large"):
        brought(wanted(server), tmp_path)
    assert list((tmp_path / FETCHED).iterdir()) == []


def test_a_place_that_cannot_be_written_is_no_fault_of_the_network(server, tmp_path) -> None:
    with pytest.raises(ReportNotWritten):
        brought(wanted(server), tmp_path / "none")
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "digest", "name"),
    [
        *((url, DIGEST, "a") for url in ("", "http://a/b", "file:///a", "https://", "https://u:p@a/b", "https://a/ b")),
        *((url, DIGEST, "a") for url in ("https://a/\n::error::x", "https://[", "https://a:x/b", "HTTPS//a")),
        *(("https://a/b", digest, "a") for digest in ("", "abc", DIGEST.upper(), DIGEST + "\n", DIGEST + "0")),
        *(("https://a/b", DIGEST, name) for name in ("", "..", ".a", "a/b", "a\nb=c", "a*", "ü", "-a b", "a" * 101)),
    ],
)
def test_what_cannot_be_meant_is_refused(url, digest, name) -> None:
    with pytest.raises(UsageError):
        Wanted(url, digest, name)


# ---------------------------------------------------------------- the action


@pytest.fixture
def job(server, tmp_path, monkeypatch):
    runner = Runner(tmp_path / "job")
    runner.github = {"ref": "refs/pull/1/merge", "event": {"repository": {"default_branch": "main"}}}
    runner.variables = {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
    return runner


def bring(runner, server, path="/good", **inputs):
    shutil.rmtree(runner.temp)  # another runner
    runner.temp.mkdir()
    runner.uses.clear()
    return runner.run(ACTION, {"url": f"{server.url}{path}", "digest": DIGEST.upper()} | inputs)


def handed_over(runner):
    return {file.name: file.read_bytes() for file in (runner.artifacts / "fidelity-gate-reference").iterdir()}


def saved(runner):
    return [given["key"] for name, given in runner.uses if name == "actions/cache/save"]


def test_the_action_fetches_once_saves_on_the_default_branch_alone_and_a_poisoned_entry_changes_nothing(
    job, server
) -> None:
    ran = bring(job, server)  # a pull request
    assert (ran.code, handed_over(job), saved(job)) == (0, {"reference.safetensors": GOOD}, []), ran.log
    job.github["ref"] = "refs/heads/main"
    ran = bring(job, server, file="ref.pt")
    assert (ran.code, handed_over(job), saved(job)) == (0, {"ref.pt": GOOD}, [f"fidelity-gate-file-{DIGEST}"])
    job.github["ref"] = "refs/pull/1/merge"
    server.asked.clear()
    ran = bring(job, server)
    assert (handed_over(job), server.asked, "out of the cache" in ran.log) == (
        {"reference.safetensors": GOOD},
        [],
        True,
    )

    (entry,) = job.caches.glob(f"fidelity-gate-file-{DIGEST}/*")
    entry.write_bytes(OTHER)
    ran = bring(job, server)
    assert (ran.code, handed_over(job), server.asked) == (0, {"reference.safetensors": GOOD}, ["/good"])
    ran = bring(job, server, path="/none")  # and where nothing but the poisoned entry is left, there is no file
    assert (ran.code, ran.outcomes["brought"], server.asked[1:]) == (3, "failure", ["/none"])
    assert "HTTP 404" in ran.commands[0][2]


def test_the_action_without_a_cache_asks_the_url_alone(job, server) -> None:
    for _ in range(2):
        assert bring(job, server, cache="false").code == 0
    assert len(server.asked) == 2
    assert not any("cache" in name for name, _ in job.uses)


def test_hostile_inputs_of_the_action_say_nothing_and_leave_nothing(job, server) -> None:
    ran = bring(job, server, file="a\nstore=/etc", digest="x\n::error::y")
    assert (ran.code, [command for command, _, _ in ran.commands]) == (2, ["error"]), ran.log
    assert job.uses[1:] == []
    assert not job.artifacts.joinpath("fidelity-gate-reference").exists()


def test_the_script_needs_nothing_but_the_standard_library() -> None:
    command = [sys.executable, "-I", "-S", str(CI / "fetch_reference.py"), "bring"]
    done = subprocess.run(command, env={}, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("\n")) == (2, 1)
    assert "is no SHA-256" in done.stderr


def test_the_gate_never_shares_a_runner_with_the_cache_of_a_pull_request() -> None:
    jobs = read_yaml(CI / "workflows" / "fidelity-gate.yml")["jobs"]
    using = {name: [step["uses"].partition("@")[0] for step in job["steps"]] for name, job in jobs.items()}
    assert using["reference"] == ["example-org/fidelity-gate/ci/reference"]
    assert jobs["reference"]["permissions"] == {}
    assert not any("cache" in one or "ci/reference" in one for name in ("gate", "required") for one in using[name])
    (gate,) = (step["with"] for step in jobs["gate"]["steps"] if step.get("id") == "gate")
    assert gate["reference-digest"] == "${{ inputs.reference-digest }}"
    assert "cache" not in gate
