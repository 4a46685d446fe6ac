"""Records made by hand for tests of baselines and histories: a candidate on a device, and the runs before it."""

from __future__ import annotations

from dataclasses import replace

from made import DEPTH, FIDELITY, facts, measured, measurement, policy

from fidelity_gate.comparable import place_of
from fidelity_gate.judge import judge
from fidelity_gate.past import baseline_file
from fidelity_gate.records import (
    Against,
    Baseline,
    BaselineSpec,
    Bound,
    Check,
    CheckResult,
    DeviceRun,
    Direction,
    HistorySpec,
    Measurement,
    MeasurementSet,
    MeasureStatus,
    Memory,
    ModelRecord,
    Past,
    PastFigure,
    PastRun,
    Verdict,
)

WHEN = "2026-07-01T00:00:00+00:00"
OPTIONS = (("device", "board"), ("per", "puzzle"), ("statistic", "p50"))
MACHINE = (("processor", "A55"), ("runtime", "onnxruntime 1.31"), ("threads", 1))
BASELINE = BaselineSpec("baselines/release.json")
HISTORY = HistorySpec("history.jsonl")
DROP = replace(FIDELITY, bound=Bound(max_drop=0.005, text="max_drop: 0.005"), against=Against.BASELINE)
SLOWER = Check("latency", "latency", Bound(max_regression=0.05), OPTIONS, against=Against.HISTORY)
LARGER = Check("memory", "peak_memory", Bound(max_drop=0.0), OPTIONS[:1], against=Against.HISTORY)


def only(verdict: Verdict) -> CheckResult:
    (result,) = verdict.results
    return result


def latency(seconds: float = 0.010, **fields: object) -> Measurement:
    """Return a latency of the board."""
    made = Measurement(
        metric="latency",
        options=OPTIONS,
        candidate="int8",
        unit="seconds",
        direction=Direction.LOWER,
        per_probe=False,
        floored=False,
        status=MeasureStatus.MEASURED,
        values=(seconds,),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def memory(peak: float, **fields: object) -> Measurement:
    return latency(peak, metric="peak_memory", options=OPTIONS[:1], unit="bytes", **fields)


def device_run(seconds: float = 0.010, **fields: object) -> DeviceRun:
    times = (0.98 * seconds, seconds, seconds, 1.03 * seconds)
    made = DeviceRun("board", "host-cpu", MACHINE, puzzle_seconds=times, memory=Memory(1000, 900))
    return replace(made, **fields)  # type: ignore[arg-type]


def ran(*measurements: Measurement, run: DeviceRun | None = None, **fields: object) -> MeasurementSet:
    """Return what was measured of `int8`, with the board that it ran on."""
    record = replace(ModelRecord("int8", facts("int8"), DEPTH), device_runs=(run or device_run(),))
    made = replace(measured(*(measurements or (latency(),))), candidates=(record,))
    return replace(made, **fields)  # type: ignore[arg-type]


def baseline_of(ran_then: MeasurementSet, **fields: object) -> Baseline:
    """Return the baseline of a run that passed."""
    verdict = Verdict("sudoku-release", "p" * 64, (), 1, 1, passed=True, exit_code=0, reason="met")
    return replace(baseline_file.made(ran_then, verdict, created=WHEN), **fields)  # type: ignore[arg-type]


def past_run(value: float = 0.010, number: int = 0, **fields: object) -> PastRun:
    """Return one earlier run of `int8` on the board; every `number` is another run, a day later."""
    figure = PastFigure("latency", OPTIONS, None, "seconds", Direction.LOWER, value, spread=0.0)
    place = place_of(device_run())
    made = PastRun(
        tool_version="0.1.0",
        date=f"2026-{7 + number // 28:02}-{1 + number % 28:02}T00:00:00+00:00",
        revision=f"r{number}",
        run_id=f"run {number}",
        policy_name="sudoku-release",
        policy_digest="p" * 64,
        candidate="int8",
        candidate_digest="digest of int8",
        depth=DEPTH,
        device=place.device,
        use=place.use,
        where=place.where,
        job="",
        inputs_digest="i" * 64,
        probes=2,
        passed=True,
        reason="met",
        figures=(figure,),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def with_figure(run: PastRun, **fields: object) -> PastRun:
    """Return a run whose one figure is changed."""
    return replace(run, figures=(replace(run.figures[0], **fields),))  # type: ignore[arg-type]


def runs_of(*values: float, **fields: object) -> tuple[PastRun, ...]:
    """Return a run for every latency, one a day."""
    return tuple(with_figure(past_run(value, number), **fields) for number, value in enumerate(values))


def against_baseline(check: Check, now: MeasurementSet, then: Baseline | None, **fields: object) -> CheckResult:
    made = policy(check, baseline=BASELINE, **fields)
    return only(judge(made, now, Past(baseline=then)))


def against_history(
    check: Check, now: MeasurementSet, runs: tuple[PastRun, ...], spec: HistorySpec = HISTORY, **fields: object
) -> CheckResult:
    return only(judge(policy(check, history=spec, **fields), now, Past(runs=runs)))


def fidelity_run(*values: float, **fields: object) -> MeasurementSet:
    """Return a run with these fidelities."""
    return ran(measurement(values), **fields)
