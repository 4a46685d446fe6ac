"""Anatomy and latency model -> what a profile says: times of all runs, layers by compute unit, loads, memory."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.simulated_hub.anatomy import Anatomy, Layer
    from fidelity_gate.simulated_hub.latency import Latency

UNITS = ("npu", "gpu", "cpu")  # as --compute_unit of the service names them
_MEGA = 1e6


@dataclass(frozen=True, slots=True)
class LayerTime:
    """One layer of a profile."""

    name: str
    operator: str
    unit: str  # "npu", "gpu", "cpu"
    microseconds: int | None  # None: not said


@dataclass(frozen=True, slots=True)
class Profile:
    """What one profile says; microseconds and bytes, as the service speaks."""

    times: tuple[int, ...]  # of all runs, in order
    layers: tuple[LayerTime, ...]
    first_load: int
    warm_load: int
    process_peak: int  # of the whole process
    inference_peak: tuple[int, int]  # what inference itself reached, lowest and highest
    told: str  # where it comes from


@dataclass(frozen=True, slots=True)
class Setting:
    """What a job asks of the device.

    Attributes:
        unit: where layers run if they can.
        runs: timed runs; 0: as many as the latency model says.
        key: whatever else decides the jitter: digest, device, runtime.
    """

    unit: str
    runs: int
    key: str


def profile_of(anatomy: Anatomy, latency: Latency, setting: Setting) -> Profile:
    """Return the profile that a latency model gives a model; the same for the same arguments."""
    layers = [_layer_time(layer, latency, setting.unit) for layer in anatomy.layers]
    changes = sum(one[0] != other[0] for one, other in itertools.pairwise(layers))
    total = latency.overhead_us + sum(time for _, time in layers) + changes * latency.switch_us
    megabytes = (anatomy.weight_bytes + anatomy.activation_bytes) / _MEGA
    highest = anatomy.weight_bytes + anatomy.activation_bytes
    return Profile(
        times=jittered(total, latency, setting),
        layers=tuple(
            LayerTime(layer.name, layer.operator, unit, _whole(time))
            for layer, (unit, time) in zip(anatomy.layers, layers, strict=True)
        ),
        first_load=_whole(1000 * (latency.first_load_ms + megabytes)),
        warm_load=_whole(1000 * (latency.warm_load_ms + 0.1 * megabytes)),
        process_peak=_whole(latency.process_mb * _MEGA + highest),
        inference_peak=(max(1, anatomy.activation_bytes), max(1, highest)),
        told="latency model",
    )


def jittered(total: float, latency: Latency, setting: Setting) -> tuple[int, ...]:
    """Return the times of all runs around `total` microseconds, each at least 1."""
    draw = random.Random(f"{latency.seed} {setting.key}")  # noqa: S311  (noise, not a secret)
    runs = setting.runs or latency.runs
    return tuple(_whole(total * math.exp(draw.gauss(0.0, latency.jitter))) for _ in range(runs))


def on_cpu(profile: Profile, latency: Latency) -> Profile:
    """Return a profile of which every layer fell back to the CPU, and takes the longer for it."""
    slower = max(1.0, latency.npu_float_gflops / latency.cpu_gflops)
    layers = tuple(
        replace(layer, unit="cpu", microseconds=_whole((layer.microseconds or 0) * slower)) for layer in profile.layers
    )
    return replace(profile, layers=layers, times=tuple(_whole(time * slower) for time in profile.times))


def unit_asked(options: Iterable[str]) -> str:
    """Return the unit that the values of --compute_unit come to: the first that the simulator knows, else the NPU."""
    return next((unit for unit in options if unit in UNITS), "npu")


def _layer_time(layer: Layer, latency: Latency, asked: str) -> tuple[str, float]:
    """Return where a layer runs, and the microseconds it takes there."""
    left_out = layer.foreign or layer.operator in latency.cpu_operators
    left_out = left_out or (layer.flops > 0 and not latency.throughput(asked, layer.precision))
    unit = "cpu" if left_out else asked
    throughput = latency.throughput(unit, layer.precision)
    moved = layer.float_bytes * (1.0 if unit == "cpu" else 0.5) + layer.other_bytes
    compute = layer.flops / throughput if layer.flops else 0.0
    return unit, latency.layer_us + 1e6 * (compute + moved / (latency.bandwidth_gbs * 1e9))


def _whole(number: float) -> int:
    return max(1, round(number))
