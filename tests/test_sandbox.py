"""The sandbox: answers come home as files, errors keep their type, and every way of dying has its sentence."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from fidelity_gate import sandbox
from fidelity_gate.errors import GateError, ModelRefused, OutOfMemory, OutOfTime, WorkerDied
from fidelity_gate.sandbox import Answer, Limits, run_limited

LIMITS = Limits(memory_bytes=1 << 30, seconds=20)

WORKER = """
import os, signal, sys, time
from fidelity_gate.errors import ModelRefused

def echo(job):
    (job.outputs / "back").write_bytes((job.inputs / "there").read_bytes()[::-1])
    print("noise on stdout"); print("noise on stderr", file=sys.stderr)
    return {"said": job.request["say"], "environment": sorted(os.environ), "folder": os.getcwd(), "pid": os.getpid()}

def refuse(job):
    raise ModelRefused("is wrong", field="tensor", hint="mend it")

def fail(job):
    raise ValueError("first line\\nsecond line \\x1b[31m")

def not_json(job):
    return {"number": float("nan")}

def leave(job):
    print("last words", file=sys.stderr, flush=True)
    os._exit(7)

def vanish(job):
    os._exit(0)

def lie(job):
    (job.outputs.parent / "answer.json").write_text('{"error": {"kind": "Path", "what": "x"}}')
    os._exit(0)

def crash(job):
    os.kill(os.getpid(), signal.SIGSEGV)

def be_killed(job):
    os.kill(os.getpid(), signal.SIGKILL)

def spend_memory(job):
    return {"size": len(bytearray(1 << 40))}

def spend_memory_in_a_library(job):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 40 bytes")

def spend_cpu(job):
    while True:
        pass

def linger(job):
    (job.inputs.parent.parent / job.request["mark"]).write_text(str(os.getpid()))
    time.sleep(60)

def link(job):
    (job.outputs / "passwords").symlink_to("/etc/hostname")
    return {}
"""


@pytest.fixture(autouse=True)
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker_for_tests.py").write_text(WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))


def call(function: str, limits: Limits = LIMITS) -> Answer:
    return run_limited(f"worker_for_tests:{function}", {}, limits=limits, where="m.pt")


def test_an_answer_and_its_files_come_home_without_noise_or_secrets(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QAIHUB_CLIENT_INI", "secret")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    answer = run_limited("worker_for_tests:echo", {"say": "hi"}, limits=LIMITS, files={"there": b"abc"})
    assert answer.reply["said"] == "hi"
    assert answer.files == {"back": b"cba"}
    assert not {"QAIHUB_CLIENT_INI", "SOME_TOKEN"} & set(answer.reply["environment"])
    assert not Path(answer.reply["folder"]).exists()
    assert answer.reply["pid"] != os.getpid()
    assert capfd.readouterr() == ("", "")


def test_a_project_error_crosses_over_with_every_field() -> None:
    with pytest.raises(ModelRefused) as caught:
        call("refuse")
    assert str(caught.value) == "m.pt: tensor: is wrong (mend it)"


DEATHS: dict[str, tuple[type[GateError], str]] = {
    "fail": (WorkerDied, "failed: ValueError: first line\\x0asecond line \\x1b[31m"),
    "not_json": (WorkerDied, "ended with code 1"),
    "leave": (WorkerDied, "ended with code 7 (last words)"),
    "vanish": (WorkerDied, "without an answer"),
    "lie": (WorkerDied, "without an answer"),
    "link": (WorkerDied, "without an answer"),
    "crash": (WorkerDied, "ended by SIGSEGV"),
    "be_killed": (WorkerDied, "ended by SIGKILL (often the machine's out-of-memory killer)"),
    "spend_memory": (OutOfMemory, "needs more than the 1.0 GiB"),
    "spend_memory_in_a_library": (OutOfMemory, "needs more than the 1.0 GiB"),
    "no_such_function": (WorkerDied, "AttributeError"),
}


@pytest.mark.parametrize("function", DEATHS)
def test_every_way_of_dying_has_its_sentence(function: str) -> None:
    kind, sentence = DEATHS[function]
    with pytest.raises(kind) as caught:
        call(function)
    assert type(caught.value) is kind
    assert str(caught.value).startswith("m.pt: ")
    assert sentence in str(caught.value)


def test_a_busy_child_is_out_of_time() -> None:
    with pytest.raises(OutOfTime, match="1 s"):
        call("spend_cpu", Limits(1 << 30, 1))


@pytest.mark.parametrize("number", ["SIGXCPU", "SIGALRM"])
def test_limits_that_the_child_keeps_itself_are_out_of_time(tmp_path: Path, number: str) -> None:
    (tmp_path / "noise").write_bytes(b"")
    error = sandbox._death(tmp_path, -int(getattr(signal, number)), LIMITS, "m.pt")
    assert type(error) is OutOfTime


def test_a_sleeping_child_is_killed_and_gone(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    start = time.monotonic()
    with pytest.raises(OutOfTime):
        run_limited("worker_for_tests:linger", {"mark": str(mark)}, limits=Limits(1 << 30, 2))
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_an_interpreter_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(WorkerDied, match="could not be started"):
        call("echo")
    monkeypatch.setattr("sys.executable", "")
    with pytest.raises(WorkerDied, match="no Python interpreter"):
        call("echo")


def test_the_child_imports_this_very_package_first_when_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", ["", "relative", "/somewhere"])
    assert sandbox._path() == [str(Path(sandbox.__file__).resolve().parents[1]), "/somewhere"]


def test_the_order_is_strict_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        sandbox._prepare(tmp_path, {"request": float("nan")}, LIMITS, {})
    sandbox_order = tmp_path / "again"
    sandbox_order.mkdir()
    sandbox._prepare(sandbox_order, {"entry": "a:b"}, LIMITS, {"f": b"x"})
    assert json.loads((sandbox_order / "order.json").read_text()) == {
        "entry": "a:b",
        "memory_bytes": 1 << 30,
        "seconds": 20,
        "threads": 1,
    }
