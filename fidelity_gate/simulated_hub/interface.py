"""The interface of a simulated hub: which call of the client is answered by what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fidelity_gate.simulated_hub.catalog import matching
from fidelity_gate.simulated_hub.exchange import Refusal, message, route
from fidelity_gate.simulated_hub.store import Full

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.simulated_hub.catalog import SimulatedDevice
    from fidelity_gate.simulated_hub.desk import JobDesk
    from fidelity_gate.simulated_hub.exchange import Asked, Reply, Route
    from fidelity_gate.simulated_hub.replies import Replies

_FRAMEWORKS = ("ONNX", "QAIRT", "TFLite")


@dataclass(frozen=True)
class Interface:
    """Answers requests.

    Attributes:
        devices: that are listed.
        replies: that makes messages.
        desk: for jobs, and through it models and datasets.
    """

    devices: Sequence[SimulatedDevice]
    replies: Replies
    desk: JobDesk

    def answer(self, asked: Asked) -> Reply:
        """Return the answer to a request; raises Refusal."""
        there = False
        for method, pattern, answer in self._routes:
            found = pattern.fullmatch(asked.path)
            there = there or bool(found)
            if found and method == asked.method:
                try:
                    return answer(asked, *found.groups())
                except Full as error:
                    raise Refusal(413, "the simulator keeps no more") from error
        raise Refusal(405, f"{asked.method} is not allowed here") if there else Refusal(404, "there is no such call")

    @cached_property
    def _routes(self) -> tuple[Route, ...]:
        own = (
            route("GET", "devices/", self._get_devices),
            route("GET", "frameworks/", self._get_frameworks),
            route("GET", "users/auth/user/", self._get_user),
        )
        return (*own, *self.desk.library.routes(), *self.desk.routes())

    def _get_devices(self, asked: Asked) -> Reply:
        found = matching(self.devices, asked.one("name"), asked.one("os"), asked.query.get("attributes", ()))
        if asked.one("select").lower() == "true":
            found = found[:1]
        devices = [self.replies.device(device) for device in found]
        return message(self.replies.pb.DeviceList(devices=devices, total_query_count=len(devices)))

    def _get_frameworks(self, asked: Asked) -> Reply:
        pb = self.replies.pb
        made = [pb.Framework(name=n, api_version="0", api_tags=["simulated"], full_version="0") for n in _FRAMEWORKS]
        return message(pb.FrameworkList(frameworks=made, total_query_count=len(made)))

    def _get_user(self, asked: Asked) -> Reply:
        return message(self.replies.user())
