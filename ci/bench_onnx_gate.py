"""The comparison of `ci.bench_onnx` by the gate's own parts, without the noise floor: what the loops do, and no more.

python -m ci.bench_onnx_gate JOB.json FIGURES.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ci.bench_timed import Silent, Timed
from fidelity_gate import registry
from fidelity_gate.inputs.opening import from_path, open_inputs
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Depth, ModelSpec, RunSpec
from fidelity_gate.tracing.lockstep import Entrant, Plan, trace

if TYPE_CHECKING:
    from fidelity_gate.metrics.series import SeriesAccumulator

STREAMS = ("z_H", "z_L")


def main(path: str, figures: str) -> None:
    """Gate the two models of a job, and save the figures and what share of the time was spent outside the models."""
    job = json.loads(Path(path).read_text())
    probes = open_inputs(from_path(job["probes"]))
    models = [Timed(open_model(ModelSpec(name, job[name])).load(RunSpec())) for name in ("reference", "candidate")]
    depth = Depth(1, job["l_cycles"], job["steps"])
    *carries, answers = watched = [_accumulator(name, options, depth) for name, options in METRICS]
    reference, candidate = models
    start = time.process_time()
    rival = Entrant("candidate", candidate, depth, tuple(watched))
    plan = Plan(batch=job["batch"], repeat=False)
    trace(Entrant("reference", reference, depth), (rival,), probes, plan, Silent())
    whole = time.process_time() - start
    told = {stream: _by_probe(carry) for stream, carry in zip(STREAMS, carries, strict=True)}
    outside = 1 - sum(model.spent for model in models) / whole
    agreement = answers.finish().values
    Path(figures).write_text(json.dumps({**told, "agreement": agreement, "outside": outside, "whole": whole}))


METRICS = (
    *(("carry_fidelity", (("stream", stream),)) for stream in STREAMS),
    ("answer_agreement", (("level", "cell"),)),
)


def _accumulator(name: str, options: tuple[tuple[str, str], ...], depth: Depth) -> SeriesAccumulator:
    made: SeriesAccumulator = registry.build("metrics", name, options).accumulator(depth)
    return made


def _by_probe(accumulator: SeriesAccumulator) -> list[list[float]]:
    """Return one row a probe: its number after every step."""
    return [list(row) for row in zip(*accumulator.series.every(), strict=True)]  # type: ignore[union-attr]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
