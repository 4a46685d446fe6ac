"""Runs one named function in a fresh child process with memory and time limits, and brings its answer home.

The child gets no secrets and no inherited state; it answers with files (JSON and raw bytes, never pickles) in a private
folder. Memory and CPU limits need POSIX; elsewhere the wall clock alone holds.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate import errors
from fidelity_gate.errors import GateError, OutOfMemory, OutOfTime, WorkerDied

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_ROOT = str(Path(__file__).resolve().parents[1])
_BOOT = "import sys; sys.path[:] = {path!r}; from fidelity_gate.sandbox import answer; answer(sys.argv[1])"
_ANSWER_LIMIT = 64 << 20  # bytes of answer.json
_LAST_WORDS = 2000  # bytes of the child's stderr that are looked at
_CPU_GRACE = 2  # seconds between SIGXCPU and SIGKILL
_WALL_GRACE = 5  # seconds after which the child ends itself, should the parent be gone

# All that a child may see of the environment: nothing that could hold a secret.
_KEPT_ENVIRONMENT = frozenset(
    {
        *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ATEN_CPU_CAPABILITY"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"),
    }
)
_THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # read once, when a library is loaded
_OUT_OF_MEMORY_SIGNS = ("bad_alloc", "not enough memory", "can't allocate memory", "cannot allocate memory")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use: address space in bytes (the interpreter and its libraries count), seconds, and threads."""

    memory_bytes: int
    seconds: int
    threads: int = 1  # of each library; so many times the seconds may be spent on processors


@dataclass(frozen=True, slots=True)
class Job:
    """What the function in the child is called with.

    Attributes:
        request: the parent's request.
        inputs: a folder with the parent's files.
        outputs: an empty folder; what the function writes there travels back.
    """

    request: Mapping[str, Json]
    inputs: Path
    outputs: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    reply: Mapping[str, Json]
    files: Mapping[str, bytes] = field(default_factory=dict)


def run_limited(
    entry: str,
    request: Mapping[str, Json],
    *,
    limits: Limits,
    files: Mapping[str, bytes] | None = None,
    where: str = "",
) -> Answer:
    """Call `entry` in a child process and return its answer.

    Args:
        entry: "module:function"; the function takes a `Job` and returns a JSON object.
        request: a JSON object for it.
        limits: of memory, CPU seconds and wall-clock seconds.
        files: plain names -> bytes, put into the job's `inputs`.
        where: the file that an error is about.

    Raises:
        GateError: whatever project error the function raised, as it raised it.
        OutOfMemory: the memory limit was hit.
        OutOfTime: the CPU or the wall-clock limit was hit.
        WorkerDied: the child ended in any other way without an answer.
    """
    if not sys.executable:
        raise WorkerDied("no Python interpreter to start a child process with", where=where)
    with tempfile.TemporaryDirectory(prefix="fidelity-gate-") as name:
        folder = Path(name)
        _prepare(folder, {"entry": entry, "request": dict(request)}, limits, files or {})
        status = _run_child(folder, limits, where)
        return _answer_of(folder, status, limits, where)


# ---------------------------------------------------------------- the parent's side


def _prepare(folder: Path, order: dict[str, Json], limits: Limits, files: Mapping[str, bytes]) -> None:
    for sub in ("in", "out"):
        (folder / sub).mkdir()
    for name, data in files.items():
        (folder / "in" / name).write_bytes(data)
    order |= {"memory_bytes": limits.memory_bytes, "seconds": limits.seconds, "threads": limits.threads}
    (folder / "order.json").write_text(json.dumps(order, allow_nan=False), encoding="utf-8")


def _run_child(folder: Path, limits: Limits, where: str) -> int:
    """Return the child's exit status (negative: the signal that ended it)."""
    command = [sys.executable, "-I", *(["-B"] if sys.dont_write_bytecode else []), "-c", _BOOT.format(path=_path())]
    with (folder / "noise").open("wb") as noise:
        try:
            child = subprocess.Popen(  # noqa: S603  (our own interpreter, our own code)
                [*command, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=noise,
                stderr=noise,
                cwd=folder,
                env=_environment(folder, limits.threads),
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerDied(f"a child process could not be started: {error.strerror}", where=where) from error
        try:
            return child.wait(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            raise OutOfTime(f"took longer than {limits.seconds} s to read", where=where) from None
        finally:
            if child.returncode is None:
                _kill_group(child)


def _path() -> list[str]:
    """Return the import path of this process, so that the child imports the same code and nothing from its folder."""
    path = [entry for entry in sys.path if os.path.isabs(entry)]  # noqa: PTH117  (entries are strings)
    return path if _ROOT in path else [_ROOT, *path]


def _environment(folder: Path, threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.upper() in _KEPT_ENVIRONMENT}
    homes = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(folder))
    return kept | homes | dict.fromkeys(_THREAD_COUNTS, str(threads))


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
    child.kill()
    child.wait()


def _answer_of(folder: Path, status: int, limits: Limits, where: str) -> Answer:
    if status != 0:
        raise _death(folder, status, limits, where)
    try:
        told = json.loads(_read(folder / "answer.json", _ANSWER_LIMIT))
        if "error" in told:
            raise _error_of(told["error"], where)
        names = sorted(entry.name for entry in os.scandir(folder / "out"))
        return Answer(told["reply"], {name: _read(folder / "out" / name, limits.memory_bytes) for name in names})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WorkerDied("a child process ended without an answer", where=where) from error


def _read(path: Path, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as handle:
        if os.fstat(descriptor).st_size > limit:
            raise OSError(f"{path.name} is larger than {limit} bytes")
        return handle.read()


def _error_of(told: Mapping[str, str], where: str) -> GateError:
    kind = getattr(errors, told["kind"], None)
    if not (isinstance(kind, type) and issubclass(kind, GateError)):
        kind = WorkerDied
    return kind(told["what"], where=told["where"] or where, field=told["field"], hint=told["hint"])


def _death(folder: Path, status: int, limits: Limits, where: str) -> GateError:
    with (folder / "noise").open("rb") as noise:
        noise.seek(max(0, noise.seek(0, os.SEEK_END) - _LAST_WORDS))
        words = noise.read().decode("utf-8", "replace")
    if any(sign in words for sign in _OUT_OF_MEMORY_SIGNS) or "MemoryError" in words:
        return OutOfMemory(_memory_sentence(limits.memory_bytes), where=where)
    if status < 0 and -status in _time_signals():
        return OutOfTime(f"took more than {limits.seconds} s to read", where=where)
    last = next((line for line in reversed(words.splitlines()) if line.strip()), "")
    if status >= 0:
        return WorkerDied(f"the process that read it ended with code {status}", where=where, hint=last)
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    if name == "SIGKILL":
        last = "often the machine's out-of-memory killer"
    return WorkerDied(f"the process that read it was ended by {name}", where=where, hint=last)


def _time_signals() -> set[int]:
    return {int(getattr(signal, name)) for name in ("SIGXCPU", "SIGALRM") if hasattr(signal, name)}


def _memory_sentence(memory_bytes: int) -> str:
    return f"needs more than the {memory_bytes / 2**30:.1f} GiB of memory it may use"


# ---------------------------------------------------------------- the child's side


def answer(name: str) -> None:
    """Carry out the order in the folder `name`, write the answer there, and end this process. Runs in the child."""
    folder = Path(name)
    order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    _limit(order["memory_bytes"], order["seconds"], order["threads"])
    job = Job(order["request"], folder / "in", folder / "out")
    told = _carry_out(order["entry"], job, order["memory_bytes"])
    part = folder / "answer.part"
    part.write_text(json.dumps(told, allow_nan=False), encoding="utf-8")
    part.replace(folder / "answer.json")
    os._exit(0)  # library destructors may crash on what the function met; the answer is already whole


def _carry_out(entry: str, job: Job, memory_bytes: int) -> dict[str, Json]:
    try:
        module, _, attribute = entry.partition(":")
        function: Callable[[Job], Mapping[str, Json]] = getattr(importlib.import_module(module), attribute)
        return {"reply": dict(function(job))}
    except GateError as error:
        return {"error": _told(error)}
    except MemoryError:
        return {"error": _told(OutOfMemory(_memory_sentence(memory_bytes)))}
    except Exception as error:  # noqa: BLE001  (the door of this process: nothing is above it)
        if any(sign in str(error).lower() for sign in _OUT_OF_MEMORY_SIGNS):
            return {"error": _told(OutOfMemory(_memory_sentence(memory_bytes)))}
        return {"error": _told(WorkerDied(f"the process that read it failed: {type(error).__name__}: {error}"))}


def _told(error: GateError) -> Json:
    kind = type(error).__name__
    return {"kind": kind, "what": error.what, "where": error.where, "field": error.field, "hint": error.hint}


def _limit(memory_bytes: int, seconds: int, threads: int) -> None:
    """Put the limits on this process, before anything heavy or hostile is touched."""
    try:
        import resource
    except ImportError:  # Windows: the parent's wall clock is all there is
        return
    wanted = {
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_CPU": (seconds * threads, seconds * threads + _CPU_GRACE),
        "RLIMIT_FSIZE": (memory_bytes, memory_bytes),
        "RLIMIT_AS": (memory_bytes, memory_bytes),  # macOS has it and does not keep it
    }
    for name, (soft, hard) in wanted.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):  # never above what the machine already imposes
            kind = getattr(resource, name)
            ceiling = resource.getrlimit(kind)[1]
            bounded = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
            resource.setrlimit(kind, (min(soft, bounded), bounded))
    signal.setitimer(signal.ITIMER_REAL, seconds + _WALL_GRACE)
