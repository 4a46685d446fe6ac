"""The devices of a simulated hub, and which of them a filter keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.simulated_hub.latency import Latency

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MARK = "vendor:simulated"  # an attribute of every device, which the client shows
_FRAMEWORKS = ("framework:onnx", "framework:qnn", "framework:tflite")
_INTERVAL = re.compile(r"\[([^,\[\])]*),([^,\[\])]*)\)")


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """A device that is not there.

    Attributes:
        name: as the service lists it.
        os: the version of its operating system.
        attributes: as the service lists them; `vendor:simulated` is always among them.
        latency: what its times are worked out from.
    """

    name: str
    os: str
    attributes: tuple[str, ...] = (*_FRAMEWORKS, "format:phone", "os:android")
    latency: Latency = field(default_factory=Latency)

    def __post_init__(self) -> None:
        """Mark it as simulated, whatever it is given."""
        object.__setattr__(self, "attributes", tuple(sorted({*self.attributes, MARK})))


def _phone(name: str, os: str, chipset: str, hexagon: str, latency: Latency) -> SimulatedDevice:
    attributes = (
        *_FRAMEWORKS,
        "format:phone",
        "os:android",
        f"chipset:qualcomm-snapdragon-{chipset}",
        f"hexagon:{hexagon}",
    )
    return SimulatedDevice(name, os, attributes, latency)


_8GEN1 = Latency(npu_float_gflops=2500, npu_int8_gflops=5000, bandwidth_gbs=50, cpu_gflops=20)
_8GEN2 = Latency(npu_float_gflops=4500, npu_int8_gflops=9000, bandwidth_gbs=65, cpu_gflops=25)
_8GEN3 = Latency()
_8ELITE = Latency(npu_float_gflops=9000, npu_int8_gflops=18000, bandwidth_gbs=85, cpu_gflops=45)
_QCS6490 = Latency(
    overhead_us=150,
    layer_us=4,
    npu_float_gflops=600,
    npu_int8_gflops=3000,
    npu_int4_gflops=3000,
    bandwidth_gbs=12,
    cpu_gflops=8,
    cpu_int8_gflops=16,
)

# Two have one name and another version of Android, so that the name alone is ambiguous.
DEVICES = (
    _phone("Samsung Galaxy S25", "15", "8-elite", "v79", _8ELITE),
    _phone("Samsung Galaxy S24", "14", "8gen3", "v75", _8GEN3),
    _phone("Samsung Galaxy S23", "13", "8gen2", "v73", _8GEN2),
    _phone("Samsung Galaxy S22 5G", "12", "8gen1", "v69", _8GEN1),
    _phone("Samsung Galaxy S22 5G", "13", "8gen1", "v69", _8GEN1),
    SimulatedDevice(
        "Dragonwing RB3 Gen 2 Vision Kit",
        "1.6",
        (*_FRAMEWORKS, "format:iot", "os:linux", "chipset:qualcomm-qcs6490", "hexagon:v68"),
        _QCS6490,
    ),
)


def matching(
    devices: Sequence[SimulatedDevice], name: str, os: str, attributes: Iterable[str]
) -> tuple[SimulatedDevice, ...]:
    """Return the devices that have this name, a version within `os`, and every attribute, as the service filters.

    Args:
        devices: to choose from.
        name: exact; "" for any.
        os: a version ("14" also keeps "14.1"), an interval "[12,14)" with either end left out, or "".
        attributes: all of which a device must have.
    """
    wanted = set(attributes)
    return tuple(
        device
        for device in devices
        if name in ("", device.name) and _os_fits(device.os, os) and wanted <= set(device.attributes)
    )


def _os_fits(version: str, wanted: str) -> bool:
    if not wanted:
        return True
    interval = _INTERVAL.fullmatch(wanted)
    if interval is None:
        return version == wanted or version.startswith(f"{wanted}.")
    low, high = (_numbers(end) for end in interval.groups())
    return (not low or low <= _numbers(version)) and (not high or _numbers(version) < high)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version))
