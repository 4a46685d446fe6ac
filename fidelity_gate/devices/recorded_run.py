"""A saved profile -> what a device says of a model: steps and puzzles from runs, labelled with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate.device_records.saved import SMALLEST_SIDE, TOKENS, UNSTATED, Origin, moment
from fidelity_gate.devices.qai_hub_reading import with_steps
from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import DeviceJob, DeviceRun
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from datetime import datetime

    from fidelity_gate.device_records.saved import SavedProfile
    from fidelity_gate.records import DeviceProfile, Options, Scalar, Workload

_SHOWN = 120
_DIGEST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Reading:
    """What the policy says of figures, beside those of the record.

    Attributes:
        host_overhead: seconds that the host adds to every run; None: as recorded.
        max_spread: the largest at which a latency is believed; None: any.
        runs_per_step: for a published source that does not say.
        peak_is: which figure a source's unnamed peak is; "" for neither.
    """

    host_overhead: float | None = None
    max_spread: float | None = None
    runs_per_step: int | None = None
    peak_is: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """A record that was found to be bound to what the policy asks.

    Attributes:
        record: the saved profile.
        digest: SHA-256 of the file it lies in.
        now: with a zone; its age is told against it.
        reading: what the policy says.
    """

    record: SavedProfile
    digest: str
    now: datetime
    reading: Reading

    def run(self, workload: Workload) -> DeviceRun:
        """Return the run; raises NotMeasured where nobody says how many runs of the graph make one ACT step."""
        record, reading = self.record, self.reading
        host = record.host_seconds if reading.host_overhead is None else reading.host_overhead
        found = DeviceRun(
            machine=self._machine(),
            max_spread=reading.max_spread,
            run_seconds=record.run_seconds,
            job=self._job(),
            profile=self._profile(),
        )
        return with_steps(found, self._runs(workload), workload.depth, host)

    def _runs(self, workload: Workload) -> int:
        """Return how many runs make one ACT step: as the file itself says, then as the record does, then the policy."""
        published = self.record.origin is Origin.PUBLISHED
        if workload.graph is not None and not published:
            return workload.graph.runs
        runs = self.record.runs_per_step or self.reading.runs_per_step
        if runs is None:
            what = "nothing says how many runs of the graph make one ACT step"
            raise NotMeasured(what, hint="runs_per_step: 1 for the device, where one run is one step")
        return runs

    def _machine(self) -> Options:
        record = self.record
        facts = {
            # What every figure's text begins with, so that none goes without where it comes from.
            "processor": f"{record.origin.label} ({self._age()}), {record.device}",
            "system": f"os {record.os}" if record.os else "",
            "runtime": record.runtime,
            "unit": record.compute_unit,
            "source": record.source,
            "records": f"sha256 {self.digest[:_DIGEST_SHOWN]}",
            "tools": " ".join(f"{name} {version}" for name, version in record.tools),
        }
        told: dict[str, Scalar] = {name: printable(text, _SHOWN) for name, text in facts.items() if text}
        if record.origin is Origin.PUBLISHED:
            model = {TOKENS: record.tokens, SMALLEST_SIDE: record.smallest_side}
            told |= {name: value for name, value in model.items() if value is not None}
        return tuple(sorted(told.items()))

    def _age(self) -> str:
        made = moment(self.record.measured)
        days = (self.now - made).days if made else 0
        return f"{self.record.measured[:10]}, {max(days, 0)} days old"

    def _job(self) -> DeviceJob:
        record = self.record
        return DeviceJob(
            id=record.job_id,
            url=record.job_url,
            device=record.device,
            os=record.os,
            runtime=record.runtime or UNSTATED,
            compute_unit=record.compute_unit or UNSTATED,
            model_digest=record.graph_digest or record.model_digest,
            finished=record.measured,
            simulated=record.simulated,
            options=record.options,
        )

    def _profile(self) -> DeviceProfile:
        profile, peak = self.record.profile, self.record.peak_bytes
        if peak is None or not self.reading.peak_is:
            return profile
        if self.reading.peak_is == "process":
            return replace(profile, process_peak_bytes=profile.process_peak_bytes or peak)
        return replace(profile, inference_peak_bytes=profile.inference_peak_bytes or (0, peak))
