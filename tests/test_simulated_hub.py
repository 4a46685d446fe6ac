"""The simulated hub, through the real client: devices, uploads, jobs, results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hubs import client_ini, hub  # noqa: F401  (fixtures)

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.simulated_hub import SimulatedHub


def test_the_client_sees_that_every_device_is_simulated(hub: SimulatedHub, client_ini: Path) -> None:  # noqa: F811
    import qai_hub

    devices = qai_hub.get_devices()
    assert "Samsung Galaxy S24" in {device.name for device in devices}
    assert all("vendor:simulated" in device.attributes for device in devices)
    assert [request.path for request in hub.requests] == ["devices/"]
