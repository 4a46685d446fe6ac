"""What a simulated device's times follow from: fixed costs, throughput by precision, bandwidth. All of it is stated."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from fidelity_gate.errors import UsageError
from fidelity_gate.registry import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the NPU runtime leaves to the CPU, beside every operator of a foreign domain and every one with a body.
CPU_OPERATORS = (
    "ConvInteger",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "NonZero",
    "Unique",
)
_MOST_RUNS = 10_000
_MOST = 1e12


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency model of one device.

    One layer takes `layer_us` + FLOPs / throughput + bytes / bandwidth: the bytes of its inputs, outputs and weights,
    float32 counted as two bytes but on the CPU; a run takes `overhead_us`, all its layers, and `switch_us` for
    every change of compute unit. A throughput of 0 means that the unit does not compute in this precision, and the CPU
    does. The defaults are those of the Samsung Galaxy S24. By their operation counts ResNet18 comes to 1.0 ms with them
    (published: 0.94), in INT8 to 0.55 ms (0.58), and ViT to 9.1 ms (9.06). No other model was compared.

    Attributes:
        overhead_us: of every run.
        layer_us: of every layer.
        switch_us: of every change between compute units within a run.
        npu_float_gflops: 10^9 operations a second; a multiply-add counts as 2.
        npu_int8_gflops: where weights and activations are integers of 8 or 16 bits.
        npu_int4_gflops: where weights have 4 bits and activations are integers.
        gpu_gflops: in every precision.
        cpu_gflops: in float.
        cpu_int8_gflops: in integers.
        bandwidth_gbs: 10^9 bytes a second.
        first_load_ms: of the first load, and 1 ms more a megabyte of the model.
        warm_load_ms: of later loads, and 0.1 ms more a megabyte.
        process_mb: what the process takes without the model, in 10^6 bytes.
        jitter: standard deviation of the logarithm of a run's time.
        runs: timed runs.
        seed: of the jitter.
        cpu_operators: what runs on the CPU whatever was asked for.
    """

    overhead_us: float = 60.0
    layer_us: float = 1.0
    switch_us: float = 40.0
    npu_float_gflops: float = 6000.0
    npu_int8_gflops: float = 12000.0
    npu_int4_gflops: float = 12000.0
    gpu_gflops: float = 800.0
    cpu_gflops: float = 30.0
    cpu_int8_gflops: float = 60.0
    bandwidth_gbs: float = 80.0
    first_load_ms: float = 200.0
    warm_load_ms: float = 20.0
    process_mb: float = 60.0
    jitter: float = 0.02
    runs: int = 100
    seed: int = 0
    cpu_operators: tuple[str, ...] = CPU_OPERATORS

    def __post_init__(self) -> None:
        """Refuse what no device can be."""
        for name in _NUMBERS:
            value = float(getattr(self, name))
            least = 1 if name == "runs" else 0
            most = {"runs": _MOST_RUNS, "jitter": 1.0}.get(name, _MOST)
            if not (math.isfinite(value) and least <= value <= most):
                raise UsageError(f"is {value:g}", field=f"latency {name}", hint=f"from {least:g} to {most:g}")
        for name in ("bandwidth_gbs", "cpu_gflops", "cpu_int8_gflops"):
            if not getattr(self, name):
                raise UsageError("is 0, and there is nothing to fall back to", field=f"latency {name}")

    def throughput(self, unit: str, precision: str) -> float:
        """Return operations a second of a unit ("npu", "gpu", "cpu"); 0 where it does not compute in this precision."""
        if unit == "gpu":
            return self.gpu_gflops * 1e9
        found = getattr(self, f"{unit}_{precision}_gflops", None)
        if found is None:
            found = self.cpu_gflops if precision == "float" else self.cpu_int8_gflops
        return float(found) * 1e9

    def changed(self, settings: Mapping[str, object], where: str = "") -> Latency:
        """Return the model with some figures replaced; raises UsageError for a key or a value that cannot be."""
        return replace(self, **{key: _value(key, value, where) for key, value in settings.items()})  # type: ignore[arg-type]


_NUMBERS = tuple(item.name for item in fields(Latency) if item.name != "cpu_operators")


def _value(key: str, value: object, where: str) -> object:
    if key == "cpu_operators":
        names = value.split(",") if isinstance(value, str) else value
        if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
            return tuple(name.strip() for name in names if name.strip())
        raise UsageError("must be names of operators", where=where, field=f"latency {key}")
    if key not in _NUMBERS:
        allowed = (*_NUMBERS, "cpu_operators")
        raise unknown(
            key, allowed, what="no figure of a latency is named", where=where, field="latency", kind=UsageError
        )
    whole = key in ("runs", "seed")
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or (whole and number != int(number)):
        raise UsageError("must be a whole number" if whole else "must be a number", where=where, field=f"latency {key}")
    return int(number) if whole else number
