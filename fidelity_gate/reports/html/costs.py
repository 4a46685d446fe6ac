"""Compute and energy of every model, and what devices said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.energy import METRIC as ENERGY
from fidelity_gate.records import MeasureStatus
from fidelity_gate.reports.html.device_steps import AllSteps, device_steps, job_text
from fidelity_gate.reports.html.figures import count_of, told
from fidelity_gate.reports.html.links import plain_link
from fidelity_gate.reports.html.scales import even_scale
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from fidelity_gate.records import DeviceProfile, DeviceRun, ModelRecord
    from fidelity_gate.reports.html.figures import Index

MOST_MODELS = 30
MOST_RUNS = 40
MOST_DOTS = 200
WIDTH = 300.0
PARTS = (
    ("run_seconds", "run of the graph"),
    ("step_seconds", "ACT step"),
    ("puzzle_seconds", "puzzle"),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one model computes."""

    model: str
    block: str
    step: str
    puzzle: str
    energy: str
    counted: str


@dataclass(frozen=True, slots=True)
class Timing:
    """One series of timed runs."""

    part: str
    count: str
    figures: str
    dots: tuple[float, ...]  # x of every run, on the scale of the page
    median: float


@dataclass(frozen=True, slots=True)
class Run:
    """What one device said of one model."""

    model: str
    device: str
    simulated: bool
    machine: str
    link: str
    job: str
    timings: tuple[Timing, ...]
    facts: tuple[tuple[str, str], ...]
    gap: str


@dataclass(frozen=True, slots=True)
class Costs:
    """All that is shown of compute and devices."""

    computed: tuple[Cost, ...] = ()
    runs: tuple[Run, ...] = ()
    left_out: int = 0
    steps: AllSteps = field(default_factory=AllSteps)


def costs(index: Index) -> Costs:
    """Return what every model computes and how long it took where."""
    measured = index.report.measured
    if measured is None:
        return Costs()
    models = (measured.reference, *measured.candidates)
    computed = tuple(_cost(index, model) for model in models if model.compute is not None)[:MOST_MODELS]
    every = [(model, run) for model in models for run in model.device_runs]
    runs = tuple(_run(model, run, tuple(one for _, one in every)) for model, run in every[:MOST_RUNS])
    return Costs(computed, runs, len(every) - len(runs), device_steps(measured))


def _cost(index: Index, model: ModelRecord) -> Cost:
    compute = model.compute
    if compute is None:
        raise LookupError("asked of a model whose compute is not known")
    measurements = index.report.measured.measurements if index.report.measured else ()
    energies = [
        told(one.values[0], one.unit, index.bounds_of(one))
        for one in measurements
        if one.metric == ENERGY and one.candidate == model.name and one.status is MeasureStatus.MEASURED and one.values
    ]
    short = f"; leaves out {', '.join(compute.not_counted[:4])}" if compute.not_counted else ""
    return Cost(
        model=model.name,
        block="" if compute.block_call is None else format_value(compute.block_call, "flop"),
        step=format_value(compute.step, "flop"),
        puzzle=format_value(compute.puzzle, "flop"),
        energy=", ".join(energies[:3]),
        counted=f"{compute.counted_by}, at {compute.depth}{short}",
    )


def _run(model: ModelRecord, run: DeviceRun, every: tuple[DeviceRun, ...]) -> Run:
    job = run.job
    return Run(
        model=model.name,
        device=run.device or run.plug,
        simulated=bool(job and job.simulated),
        machine=", ".join(f"{name} {value}" for name, value in run.machine),
        link=plain_link(job.url) if job else "",
        job=job_text(job) if job else "",
        timings=tuple(
            _timing(
                text, getattr(run, name), [s for one in every if one.device == run.device for s in getattr(one, name)]
            )
            for name, text in PARTS
            if getattr(run, name)
        ),
        facts=_facts(run),
        gap=run.gap,
    )


def _timing(part: str, seconds: tuple[float, ...], everywhere: list[float]) -> Timing:
    """Return one series on the scale of all models on that device.

    Args:
        part: what was timed.
        seconds: one a timed run.
        everywhere: those of every model on the same device.
    """
    scale = even_scale(everywhere, "seconds")
    ordered = sorted(seconds)
    last = len(ordered) - 1
    chosen = (("min", 0), ("p50", last // 2), ("p90", last - last // 10), ("max", last))
    shown = (
        ordered if last < MOST_DOTS else [ordered[round(place * last / MOST_DOTS)] for place in range(MOST_DOTS + 1)]
    )
    return Timing(
        part=part,
        count=count_of(len(seconds), "run"),
        figures=", ".join(f"{name} {format_value(ordered[place], 'seconds')}" for name, place in chosen),
        dots=tuple(WIDTH * scale.at(second) for second in shown),
        median=WIDTH * scale.at(ordered[last // 2]),
    )


def _facts(run: DeviceRun) -> tuple[tuple[str, str], ...]:
    """Return what else the device said, as names and texts."""
    found: list[tuple[str, str]] = []
    if run.told:
        found.append(("how puzzles follow", run.told))
    if run.busy is not None:
        found.append(("had a processor", f"{format_value(run.busy, 'fraction')} of the time"))
    if run.memory is not None:
        found.append(("peak memory", format_value(run.memory.peak_bytes, "bytes")))
    if run.memory is None and run.memory_gap:
        found.append(("peak memory", f"not measured: {run.memory_gap}"))
    if run.job and run.job.options:
        found.append(("options of the service", run.job.options))
    if run.job and run.job.model_digest:
        found.append(("graph that ran", run.job.model_digest))
    return (*found, *_profile_facts(run.profile))


def _profile_facts(profile: DeviceProfile | None) -> tuple[tuple[str, str], ...]:
    if profile is None:
        return ()
    seconds = (
        ("the service's own estimate", profile.estimated_seconds),
        ("first load", profile.first_load_seconds),
        ("warm load", profile.warm_load_seconds),
    )
    found = [(name, format_value(value, "seconds")) for name, value in seconds if value is not None]
    sizes = (("compiled file", profile.compiled_bytes), ("process peak", profile.process_peak_bytes))
    found += [(name, format_value(value, "bytes")) for name, value in sizes if value is not None]
    if profile.inference_peak_bytes is not None:
        ends = " to ".join(format_value(size, "bytes") for size in profile.inference_peak_bytes)
        found.append(("peak at inference", ends))
    layers = [f"{share.unit}: {count_of(share.layers, 'layer')}" for share in profile.shares]
    return (("layers by unit", ", ".join(layers)), *found) if layers else tuple(found)
