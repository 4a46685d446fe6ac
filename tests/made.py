"""Records made by hand for tests of the judge, the reports and the doors: a policy, and measurements that fit it."""

from __future__ import annotations

from dataclasses import replace

from fidelity_gate.records import (
    Aggregate,
    Bound,
    Check,
    CurvePoint,
    Depth,
    Direction,
    InputsSpec,
    Measurement,
    MeasurementSet,
    MeasureStatus,
    ModelFacts,
    ModelRecord,
    ModelSpec,
    NoiseFloor,
    Place,
    Policy,
    Provenance,
    RunSpec,
    Target,
)

DEPTH = Depth(2, 2, 3)
FIDELITY = Check("carry-fidelity", "carry_fidelity", Bound(minimum=0.97), aggregate=Aggregate.MEAN)
FITS = Check("fits", "sram_peak", Bound(maximum=100.0), target="soc-8mb", place=Place("release.gate.yaml", 12, 3))


def policy(*checks: Check, candidates: tuple[str, ...] = ("int8",), **fields: object) -> Policy:
    """Return a policy with these checks (a mean fidelity, when none is given)."""
    made = Policy(
        name="sudoku-release",
        path="release.gate.yaml",
        digest="p" * 64,
        reference=ModelSpec("reference", "ref.safetensors"),
        candidates=tuple(ModelSpec(name, f"{name}.safetensors") for name in candidates),
        inputs=InputsSpec("npz", (("path", "eval.npz"),)),
        recursion=DEPTH,
        checks=checks or (FIDELITY,),
        targets=(Target("soc-8mb", sram_bytes=100),),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def facts(name: str) -> ModelFacts:
    """Return what a file of this name holds."""
    return ModelFacts(
        path=f"{name}.safetensors",
        digest=f"digest of {name}",
        size_bytes=1000,
        file_format="artifact",
        family="trm",
        architecture=(("hidden", 64),),
        depth=DEPTH,
        geometry=None,
        tensors=(),
    )


def measurement(values: tuple[float, ...] = (0.98, 0.99), *, candidate: str = "int8", **fields: object) -> Measurement:
    """Return a fidelity, one value a probe, whose noise floor is perfect."""
    made = Measurement(
        metric="carry_fidelity",
        options=(),
        candidate=candidate,
        unit="",
        direction=Direction.HIGHER,
        per_probe=True,
        floored=False,
        status=MeasureStatus.MEASURED,
        values=values,
        curve=(CurvePoint(1, 1.0, 0.99, 0.98), CurvePoint(2, 0.98, 0.9, 0.8)),
        floor_values=(1.0,) * len(values),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def sram(value: float = 99.0, *, candidate: str = "int8") -> Measurement:
    """Return a peak in bytes, one value in all."""
    return measurement(
        (value,),
        candidate=candidate,
        metric="sram_peak",
        unit="bytes",
        direction=Direction.LOWER,
        per_probe=False,
        curve=(),
        floor_values=(),
    )


def measured(
    *measurements: Measurement, probes: int = 2, candidates: tuple[str, ...] = ("int8",), **fields: object
) -> MeasurementSet:
    """Return these measurements (a fidelity for int8, when none is given), with a perfect noise floor."""
    made = MeasurementSet(
        tool_version="0.1.0",
        provenance=Provenance("sudoku-release", "p" * 64, "i" * 64, "eval.npz", probes, RunSpec(), (), ()),
        reference=ModelRecord("reference", facts("reference"), DEPTH),
        candidates=tuple(ModelRecord(name, facts(name), DEPTH) for name in candidates),
        measurements=measurements or (measurement(),),
        noise_floor=NoiseFloor(1e-6, 0.99, (1.0,) * probes),
    )
    return replace(made, **fields)  # type: ignore[arg-type]
