"""Texts of a command line -> the latency of every device: `figure=value`, or a JSON file with figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.errors import UsageError
from fidelity_gate.files import read_file
from fidelity_gate.json_fields import parse
from fidelity_gate.registry import unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fidelity_gate.simulated_hub.catalog import SimulatedDevice
    from fidelity_gate.simulated_hub.latency import Latency

LIMIT_BYTES = 1 << 20
_DEVICES = "devices"  # key of a file under which figures of single devices stand


def latencies(texts: Iterable[str], devices: Sequence[SimulatedDevice]) -> Mapping[str, Latency]:
    """Return device -> its latency, with everything that was said applied in order.

    Args:
        texts: `figure=value` for all devices, or the path of a JSON file: an object of figures for all devices, where
            "devices" may hold an object of figures for each of some devices.
        devices: whose own figures are changed.

    Raises:
        UsageError: a figure, a device or a value that cannot be; the file and the key are named.
    """
    found = {device.name: device.latency for device in devices}
    for text in texts:
        key, equals, value = text.partition("=")
        if equals and not key.endswith(".json"):
            found = {name: latency.changed({key.strip(): value.strip()}) for name, latency in found.items()}
        else:
            found = _from_file(text, found)
    return found


def _from_file(path: str, found: Mapping[str, Latency]) -> dict[str, Latency]:
    content = parse(read_file(path, limit_bytes=LIMIT_BYTES, kind=UsageError).data, where=path, kind=UsageError)
    if not isinstance(content, dict):
        raise UsageError("must be an object of figures", where=path, hint='{"overhead_us": 100, "devices": {...}}')
    single = content.pop(_DEVICES, {})
    if not isinstance(single, dict) or not all(isinstance(figures, dict) for figures in single.values()):
        raise UsageError("must be an object with an object for each device", where=path, field=_DEVICES)
    changed = {name: latency.changed(content, path) for name, latency in found.items()}
    for name, figures in single.items():
        if name not in changed:
            raise unknown(name, changed, what="no device is named", where=path, field=_DEVICES, kind=UsageError)
        changed[name] = changed[name].changed(figures, path)
    return changed
