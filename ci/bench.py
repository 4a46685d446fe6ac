"""Memory and time of the gate as ratios, each measured in one run: `python -m ci.bench`, or `make bench`.

* Memory: peak of gating 256 probes against peak of gating 16 probes, same batch, 16 steps, a fresh process each.
* Time: CPU-seconds of stepping two models in lockstep with the usual metrics, against those of the models' own steps.
* Lint: CPU-seconds and peak memory of a whole process that lints one file of about 30 MB.

Figures belong in docs/performance.md with the machine they were measured on; no test asserts a time.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ci.bench_lint import costs as lint_costs
from ci.bench_timed import Silent, Timed
from fidelity_gate import registry
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import Depth, Probes, Role, RunSpec
from fidelity_gate.tracing.lockstep import Entrant, Plan, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fidelity_gate.protocols import Recursion

BATCH = 16
MEMORY_DEPTH = Depth(2, 2, 16)
ROUNDS = 5
METRICS = (
    ("carry_fidelity", ()),
    ("carry_norm_ratio", ()),
    ("answer_agreement", (("level", "puzzle"),)),
)
# name, architecture, probes, depth: a model of the zoo's size, and the paper's Sudoku model (5.0 M parameters).
MODELS = {
    "small attention": (Trm(hidden_size=128, vocab_size=8, num_heads=4, seq_len=36), 64, Depth(2, 2, 8)),
    "small mixing": (
        Trm(hidden_size=64, vocab_size=8, mixer="mlp", positions="none", seq_len=36),
        64,
        Depth(3, 3, 8),
    ),
    "paper's sudoku": (
        Trm(hidden_size=512, vocab_size=11, mixer="mlp", positions="none", seq_len=97),
        4,
        Depth(3, 6, 2),
    ),
}


def main() -> None:
    """Measure everything and print one line a figure."""
    if sys.argv[1:2] == ["peak"]:
        sys.stdout.write(json.dumps(_peak(int(sys.argv[2]))) + "\n")
        return
    few, many = (_peak_in_child(count) for count in (BATCH, 16 * BATCH))
    _say("memory, 256 probes against 16", many["peak"] / few["peak"], f"{few['peak']:.0f} and {many['peak']:.0f} MiB")
    above = (many["peak"] - many["imported"]) / (few["peak"] - few["imported"])
    _say("the same, above imports", above, f"{few['imported']:.0f} MiB of imports left out")
    for name in MODELS:
        _say(f"time, {name}", *_lockstep_ratio(name))
    for name, seconds, peak in lint_costs():
        _say(f"lint, {name}", seconds, f"CPU-seconds, {peak:.0f} MiB")


def _say(what: str, ratio: float, detail: str) -> None:
    sys.stdout.write(f"{what:<32} {ratio:6.3f}   {detail}\n")
    sys.stdout.flush()


# ---------------------------------------------------------------- memory


def _peak_in_child(probes: int) -> dict[str, float]:
    command = [sys.executable, "-m", "ci.bench", "peak", str(probes)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  (ourselves)
    answer: dict[str, float] = json.loads(found)
    return answer


def _peak(count: int) -> dict[str, float]:
    """Gate `count` probes in this process and return its peak resident memory in MiB."""
    architecture = MODELS["small attention"][0]
    models = [_model(architecture, seed) for seed in (0, 1)]
    probes = _probes(architecture, 16 * BATCH).rows(0, count)
    imported = _peak_mib()
    _gate(models, probes, MEMORY_DEPTH)
    return {"imported": imported, "peak": _peak_mib()}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


# ---------------------------------------------------------------- time


def _lockstep_ratio(name: str) -> tuple[float, str]:
    """Return what lockstep costs against what the two models cost within the very same run, the median over rounds.

    Separate runs of bare loops differ by a tenth on a shared machine, more than what is to be measured; the share of a
    run that is spent outside the models does not.
    """
    architecture, count, depth = MODELS[name]
    models = [Timed(_model(architecture, seed)) for seed in (0, 1)]
    probes = _probes(architecture, count)
    ratios = []
    for _ in range(ROUNDS):
        before = sum(model.spent for model in models)
        whole = _cpu_seconds(lambda: _gate(list(models), probes, depth))
        ratios.append(whole / (sum(model.spent for model in models) - before))
    return median(ratios), f"median of {ROUNDS} rounds from {min(ratios):.3f} to {max(ratios):.3f}"


def _cpu_seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _gate(models: list[Recursion], probes: Probes, depth: Depth) -> None:
    watched = tuple(registry.build("metrics", name, options).accumulator(depth) for name, options in METRICS)
    reference, candidate = Entrant("reference", models[0], depth), Entrant("candidate", models[1], depth, watched)
    trace(reference, (candidate,), probes, Plan(batch=BATCH, repeat=False), Silent())


# ---------------------------------------------------------------- models that are stable without training


def _model(architecture: Trm, seed: int) -> Recursion:
    import torch

    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(seed)
    weights = dict(_weights(architecture, draws))
    return architecture.build(weights, RunSpec())


def _weights(architecture: Trm, draws: object) -> Iterator[tuple[str, object]]:
    """Yield random weights; small down projections keep an untrained recursion from being chaotic."""
    import torch

    for name, (shape, role) in architecture.tensors().items():
        scale = 1.0 if len(shape) < 2 else shape[-1] ** -0.5
        calm = 0.1 if role is Role.BLOCK and "down_proj" in name else 1.0
        yield name, torch.randn(shape, generator=draws) * scale * calm  # type: ignore[call-overload]


def _probes(architecture: Trm, count: int) -> Probes:
    rows = np.random.default_rng(0).integers(1, architecture.vocab_size, (count, architecture.seq_len), dtype=np.int32)
    probes = make_probes(rows, None, source="random tokens")
    return replace(probes, grid=None)


if __name__ == "__main__":
    main()
