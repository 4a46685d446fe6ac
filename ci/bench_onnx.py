"""What gating a step graph costs against the same comparison written by hand, and in Polygraphy.

    python -m ci.bench_onnx [--rounds N] [--polygraphy PYTHON] [--folder FOLDER]        or `make bench-onnx`

One gate: 4 puzzles, 48 H-cycles of an MLP-mixing TRM of 5.0 million parameters (97 tokens, 512 wide) as an ONNX step
graph, and its INT8 candidate; both carries are compared after every step, and the answers after the last. Every
contestant is a process of its own on one core and one thread. All of a round run by turns, a second each, so that
whatever else the machine does meets all of them alike; CPU-seconds are those of the whole process, imports and children
included. The figures must agree to 1e-9. Ratios are medians over the rounds, with their range.

Figures belong in docs/performance.md with the machine they were measured on; no test asserts a time.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import fidelity_gate
from ci.bench_onnx_files import MOST_PROBES, job, policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROBES, STEPS, FEW_STEPS = 4, 48, 12
PERTURBATION = 1e-6
TURN_SECONDS = 1.0
CLOSE = 1e-9
ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch")
MIB = 1024**2 if sys.platform == "darwin" else 1024

# A process starts out with the peak of the one that started it, so a small one has to; and as in an installation,
# modules are compiled once.
LAUNCHER = """
import json, os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
process = os.posix_spawn(sys.argv[1], sys.argv[1:], environment)
_, status, usage = os.wait4(process, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: CPU-seconds with its children, and the peak in MiB of the largest of them."""

    seconds: float
    peak: float


def main() -> None:
    """Measure everything and print one line a figure."""
    options = _options()
    with _folder(options.folder) as folder:
        _compare(folder, options.polygraphy, options.rounds)
        _memory(folder)
        share = _answer(_gate(job(folder, PROBES, FEW_STEPS), folder / "share.json"), folder / "share.json")
        _say("time outside the models", share["outside"], f"of {share['whole']:.1f} CPU-seconds after start-up")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    own = sys.executable if importlib.util.find_spec("polygraphy") else ""
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--polygraphy", metavar="PYTHON", default=own, help="an interpreter that has it")
    parser.add_argument("--folder", help="where models are kept; a folder for temporary files if not given")
    return parser.parse_args()


def _say(what: str, ratio: float, detail: str) -> None:
    sys.stdout.write(f"{what:<54} {ratio:7.3g}   {detail}\n")
    sys.stdout.flush()


# ---------------------------------------------------------------- the comparisons


def _compare(folder: Path, polygraphy: str, rounds: int) -> None:
    """Run all contestants by turns, and print the gate's costs against each other's."""
    contestants = _contestants(folder, polygraphy)
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, cost in _by_turns(contestants).items():
            costs[name].append(cost)
    _ratios("the comparison alone against a loop", costs, "gate", "loop")
    if polygraphy:
        _ratios("the comparison alone against Polygraphy", costs, "gate", "polygraphy")
    else:
        sys.stdout.write("Polygraphy is not installed (pip install '.[bench]', or --polygraphy PYTHON): left out\n")
    _ratios("measure, noise floor and all, against a loop", costs, "measure", "loop with floor")
    for name in ("loop", "polygraphy"):
        if name in contestants:
            apart = furthest(folder / "gate.json", folder / f"{name}.json")
            _say(f"figures, largest difference from {name}", apart, f"at most {CLOSE:g}")
            if not apart <= CLOSE:
                raise SystemExit(f"the figures of the gate and of {name} are not the same")


def _contestants(folder: Path, polygraphy: str) -> dict[str, list[str]]:
    plain, floor = job(folder, PROBES, STEPS), job(folder, PROBES, STEPS, perturbation=PERTURBATION)
    release = policy(folder, PROBES, STEPS)
    found = {
        "loop": _rival(sys.executable, "loop", plain, folder / "loop.json"),
        "gate": _gate(plain, folder / "gate.json"),
        "loop with floor": _rival(sys.executable, "loop", floor, folder / "loop-with-floor.json"),
        "measure": [*_python("fidelity_gate.cli"), "measure", str(release), "-o", str(folder / "measurements.json")],
    }
    if polygraphy:
        found["polygraphy"] = _rival(polygraphy, "polygraphy", plain, folder / "polygraphy.json")
    return found


def _rival(python: str, name: str, task: Path, figures: Path) -> list[str]:
    return [python, "-m", "ci.bench_onnx_rivals", name, str(task), str(figures)]


def _gate(task: Path, figures: Path) -> list[str]:
    return [*_python("ci.bench_onnx_gate"), str(task), str(figures)]


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _ratios(what: str, costs: Mapping[str, Sequence[Cost]], ours: str, theirs: str) -> None:
    pairs = list(zip(costs[ours], costs[theirs], strict=True))
    ratios = [our.seconds / their.seconds for our, their in pairs]
    least = [min(cost.seconds for cost in costs[name]) for name in (ours, theirs)]
    _say(
        f"CPU, {what}",
        median(ratios),
        f"{min(ratios):.3f} to {max(ratios):.3f}; the least are {least[0]:.1f} and {least[1]:.1f} s",
    )
    peaks = [median(cost.peak for cost in costs[name]) for name in (ours, theirs)]
    _say(f"peak, {what}", peaks[0] / peaks[1], f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB")


def furthest(ours: Path, theirs: Path) -> float:
    """Return the largest difference between two files of figures; raises ValueError where their sizes differ."""
    left, right = (_flat(json.loads(path.read_text())) for path in (ours, theirs))
    return max(abs(one - other) for one, other in zip(left, right, strict=True))


def _flat(figures: Mapping[str, list[object]]) -> list[float]:
    """Return z_H and z_L by probe and step, then the agreement by probe, as one list."""
    rows = [row for name in ("z_H", "z_L") for row in figures[name]]
    return [value for row in [*rows, figures["agreement"]] for value in row]  # type: ignore[attr-defined]


def _memory(folder: Path) -> None:
    """Print the gate's peak with more steps, and with more probes, against its peak with few of both."""
    few = _peak(job(folder, PROBES, FEW_STEPS))
    larger = {
        f"{STEPS} steps against {FEW_STEPS}": job(folder, PROBES, STEPS),
        f"{MOST_PROBES} probes, {PROBES} at a time, against {PROBES}": job(
            folder, MOST_PROBES, FEW_STEPS, batch=PROBES
        ),
        f"{MOST_PROBES} probes, all at a time, against {PROBES}": job(folder, MOST_PROBES, FEW_STEPS),
    }
    for told, task in larger.items():
        peak = _peak(task)
        _say(f"peak, {told}", peak / few, f"{peak:.0f} and {few:.0f} MiB")


def _peak(task: Path) -> float:
    return _by_turns({"gate": _gate(task, task.with_name("memory.json"))})["gate"].peak


def _answer(command: list[str], path: Path) -> dict[str, float]:
    _by_turns({"share": command})
    told: dict[str, float] = json.loads(path.read_text())
    return told


# ---------------------------------------------------------------- processes


def _by_turns(commands: Mapping[str, list[str]]) -> dict[str, Cost]:
    """Run processes on one core, each for a second, until all have ended.

    Raises:
        RuntimeError: one of them failed.
    """
    running = {name: _started(command) for name, command in commands.items()}
    try:
        waiting = dict(running)
        while waiting:
            for name, process in list(waiting.items()):
                if _ended_in_its_turn(process):
                    del waiting[name]
        return {name: _cost(name, process) for name, process in running.items()}
    finally:
        for process in running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _started(command: list[str]) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    process = subprocess.Popen(  # noqa: S603  (ourselves)
        launcher, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    os.killpg(process.pid, signal.SIGSTOP)
    return process


def _ended_in_its_turn(process: subprocess.Popen[str]) -> bool:
    os.killpg(process.pid, signal.SIGCONT)
    try:
        process.wait(TURN_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGSTOP)
        return False
    return True


def _cost(name: str, process: subprocess.Popen[str]) -> Cost:
    out, errors = process.communicate()
    code, seconds, peak = json.loads(out.splitlines()[-1])
    if code:
        raise RuntimeError(f"{name} ended with code {code}: {errors[-2000:]}")
    return Cost(seconds, peak / MIB)


# ---------------------------------------------------------------- files


@contextmanager
def _folder(chosen: str | None) -> Iterator[Path]:
    """Yield a folder that holds the models, made only where they are not there yet."""
    folder = Path(chosen or Path(tempfile.gettempdir()) / f"fidelity-gate-bench-onnx-{_key()}")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "starts.npz").exists():
        subprocess.run([*_python("ci.bench_onnx_files"), str(folder), str(STEPS)], check=True)  # noqa: S603
    yield folder


def _key() -> str:
    """Return a digest of what decides what the files hold."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    code = Path(__file__).with_name("bench_onnx_files.py").read_bytes()
    return hashlib.sha256(" ".join([fidelity_gate.__version__, *versions]).encode() + code).hexdigest()[:16]


if __name__ == "__main__":
    main()
