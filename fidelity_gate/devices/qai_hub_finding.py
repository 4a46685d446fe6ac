"""Which device of Qualcomm AI Hub a policy means: one, by its exact name and system, or none."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate.devices.qai_hub_asked import FRAMEWORKS
from fidelity_gate.devices.qai_hub_client import connect
from fidelity_gate.errors import NotMeasured, PolicyError
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.devices.qai_hub_client import Hub

SIMULATED = "simulated"  # a part of a device attribute that says so: "vendor:simulated"
_SHOWN, _NAME_LIMIT = 4, 80


@dataclass(frozen=True, slots=True)
class Listed:
    """A device as the service lists it."""

    name: str
    os: str
    attributes: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """Return whether no such device is behind it."""
        return any(SIMULATED in one.split(":") for one in self.attributes)

    def __str__(self) -> str:
        """Return `Samsung Galaxy S24 (os 14)`."""
        return f"{printable(self.name, _NAME_LIMIT)} (os {printable(self.os, _NAME_LIMIT)})"


def listed(seconds: float) -> tuple[Listed, ...]:
    """Return every device that the service lists for this account, by name and system.

    Args:
        seconds: to wait for an answer.

    Raises:
        NotMeasured: no client, no configuration, or no answer.
        OutOfTime: no answer in time.
    """
    return _devices(connect(seconds))


def found_device(hub: Hub, name: str, os: str, runtime: str) -> Listed:
    """Return the device.

    Args:
        hub: the client.
        name: exactly as the service lists it.
        os: its version; "" where the name alone tells.
        runtime: that it has to have.

    Raises:
        PolicyError: no such device, several, or one without that runtime; `field` is the option.
        NotMeasured: the service does not say which devices there are.
    """
    devices, shown = _devices(hub), printable(name, _NAME_LIMIT)
    if not devices:
        raise NotMeasured("Qualcomm AI Hub lists no devices", hint="what may this account use?")
    named = [one for one in devices if one.name == name]
    if not named:
        raise PolicyError(f"no device is named '{shown}'", field="device", hint=_near(name, devices))
    fitting = [one for one in named if os in ("", one.os)]
    if len(fitting) != 1:
        systems = ", ".join(sorted({printable(one.os, _NAME_LIMIT) for one in named}))
        what = (
            f"'{shown}' has no system '{printable(os, _NAME_LIMIT)}'"
            if not fitting
            else f"'{shown}' is not one device alone"
        )
        raise PolicyError(what, field="os", hint=f"os: one of {systems}")
    wanted = FRAMEWORKS[runtime]
    if wanted not in fitting[0].attributes:
        having = [key for key, attribute in FRAMEWORKS.items() if attribute in fitting[0].attributes]
        what = f"'{shown}' does not run {runtime}"
        raise PolicyError(what, field="runtime", hint=f"it runs {', '.join(having) or 'none of these runtimes'}")
    return fitting[0]


def _devices(hub: Hub) -> tuple[Listed, ...]:
    found = [_plain(one) for one in hub.ask("listing devices", hub.client.get_devices)]
    return tuple(sorted(found, key=lambda one: (one.name, one.os)))


def _plain(device: Any) -> Listed:  # noqa: ANN401  (qai_hub.Device)
    attributes = device.attributes if isinstance(device.attributes, list) else [device.attributes]
    return Listed(str(device.name), str(device.os), tuple(map(str, attributes)))


def _near(name: str, devices: Sequence[Listed]) -> str:
    names = sorted({one.name for one in devices})
    folded = {known.lower(): known for known in names}
    holding = [known for known in names if name and name.lower() in known.lower()]
    near = holding or [folded[one] for one in difflib.get_close_matches(name.lower(), folded, n=_SHOWN, cutoff=0.5)]
    shown = " or ".join(f"'{printable(one, _NAME_LIMIT)}'" for one in near[:_SHOWN])
    return f"did you mean {shown}?" if shown else "qai-hub list-devices shows them"
