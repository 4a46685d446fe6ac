"""The profile that Qualcomm AI Hub gives of a run -> seconds, bytes and compute units, in base units.

This is the one place where the service's microseconds become seconds. Its bytes are bytes.

The shape is that of the client's `download_profile()`, and of the JSON file it writes:

    {"execution_summary": {"all_inference_times": [4205, 4310], "estimated_inference_time": 4205, ...},
     "execution_detail": [{"name": "...", "type": "MatMul", "compute_unit": "NPU", "execution_time": 12}, ...]}

What was not measured is 0, null or absent there, depending on the profile's version; all three are None here. A time of
a run that is not a positive finite number is no measurement, and neither is a profile with one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import DeviceProfile, UnitShare
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

MICROSECONDS = 1_000_000  # a second
UNITS = ("npu", "gpu", "cpu", "unknown")
_MOST = 1e18  # microseconds or bytes: beyond it nothing was measured
_TYPES_SHOWN, _NAME_LIMIT = 6, 60

Layer = Mapping[str, object]


def profile_of(
    profile: Mapping[str, object], compiled_bytes: int | None = None
) -> tuple[tuple[float, ...], DeviceProfile]:
    """Return the seconds of every timed run, in order, and what else the profile says.

    Args:
        profile: what the client's `download_profile()` returns, or its file holds; of any version.
        compiled_bytes: size of the compiled model's file, which a profile does not hold.

    Raises:
        NotMeasured: it is empty, holds no time at all, or a figure that cannot be.
    """
    summary = profile.get("execution_summary")
    if not isinstance(summary, Mapping):
        raise NotMeasured("the job gave no profile", hint="a job without profiling, or one that failed")
    estimated = _seconds(summary, "estimated_inference_time")
    runs = _runs(summary)
    if not runs and estimated is None:
        raise NotMeasured("the profile holds no inference time")
    return runs, DeviceProfile(
        shares=_shares(profile.get("execution_detail")),
        estimated_seconds=estimated,
        first_load_seconds=_seconds(summary, "first_load_time"),
        warm_load_seconds=_seconds(summary, "warm_load_time"),
        compiled_bytes=compiled_bytes,
        process_peak_bytes=_bytes(summary, "estimated_inference_peak_memory"),
        inference_peak_bytes=_range(summary, "inference_memory_peak_range"),
    )


def _runs(summary: Mapping[str, object]) -> tuple[float, ...]:
    """Return the time of every run; none where the profile is of a version that keeps them to itself."""
    times = summary.get("all_inference_times")
    if times is None:
        return ()
    if not isinstance(times, list | tuple):
        raise NotMeasured("the profile's all_inference_times is no list")
    for time in times:
        if _number(time, "all_inference_times") <= 0:
            raise NotMeasured(f"the profile holds a run of {time} us, so it was not measured")
    return tuple(_number(time, "all_inference_times") / MICROSECONDS for time in times)


def _seconds(summary: Mapping[str, object], key: str) -> float | None:
    value = summary.get(key)
    return None if value is None or not _number(value, key) else _number(value, key) / MICROSECONDS


def _bytes(summary: Mapping[str, object], key: str) -> int | None:
    value = summary.get(key)
    return None if value is None else int(_number(value, key)) or None


def _range(summary: Mapping[str, object], key: str) -> tuple[int, int] | None:
    """Return the lowest and the highest; the lowest may be 0, the highest is then what was measured."""
    value = summary.get(key)
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise NotMeasured(f"the profile's {key} is no pair")
    low, high = (int(_number(end, key)) for end in value)
    if low > high:
        raise NotMeasured(f"the profile's {key} ends before it begins: {low} to {high}")
    return (low, high) if high else None


def _number(value: object, key: str) -> float:
    """Return a figure of the profile, 0 for one that is missing; raises NotMeasured where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotMeasured(f"the profile's {key} holds {printable(str(value), _NAME_LIMIT)}, which is no number")
    if not (isinstance(value, int) or math.isfinite(value)) or not 0 <= value <= _MOST:
        raise NotMeasured(f"the profile's {key} holds {printable(str(value), _NAME_LIMIT)}, which cannot be")
    return value


def _shares(detail: object) -> tuple[UnitShare, ...]:
    """Return what each compute unit did; nothing where the profile tells no layers."""
    layers = list(detail) if isinstance(detail, list | tuple) else []
    if not all(isinstance(layer, Mapping) for layer in layers):
        raise NotMeasured("the profile's execution_detail holds something that is no layer")
    by_unit: dict[str, list[Layer]] = {unit: [] for unit in UNITS}
    for layer in layers:
        by_unit[_unit(layer)].append(layer)
    # Where one layer has no time, no sum is one of all its layers, and shares of time would mislead.
    timed = all(layer.get("execution_time") is not None for layer in layers)
    return tuple(
        UnitShare(unit, len(found), _sum(found) if timed else None, _types(found))
        for unit, found in by_unit.items()
        if found
    )


def _unit(layer: Layer) -> str:
    named = str(layer.get("compute_unit", "")).lower()
    return named if named in UNITS else "unknown"


def _sum(layers: Sequence[Layer]) -> float:
    return math.fsum(_number(layer["execution_time"], "execution_time") for layer in layers) / MICROSECONDS


def _types(layers: Sequence[Layer]) -> tuple[tuple[str, int], ...]:
    counted = Counter(printable(str(layer.get("type") or ""), _NAME_LIMIT) for layer in layers)
    counted.pop("", None)
    return tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_TYPES_SHOWN])
