"""The devices that Qualcomm AI Hub has, for people who look for the name of one."""

from __future__ import annotations

from fidelity_gate.devices.qai_hub_client import connect
from fidelity_gate.devices.qai_hub_finding import Listed


def every_device(timeout: float) -> tuple[Listed, ...]:
    """Return all devices of the service, sorted by name and system.

    Args:
        timeout: seconds to wait for its answer.

    Raises:
        NotMeasured: no client, no configuration, or no answer.
    """
    hub = connect(timeout)
    found = [
        Listed(str(one.name), str(one.os), tuple(map(str, one.attributes)))
        for one in hub.ask("listing devices", hub.client.get_devices)
    ]
    return tuple(sorted(found, key=lambda one: (one.name, one.os)))
