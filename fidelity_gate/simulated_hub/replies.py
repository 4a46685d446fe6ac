"""Models, datasets and jobs of a simulated hub -> the messages that the client reads, with the faults of each job."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fidelity_gate.simulated_hub.faults import KINDS
from fidelity_gate.simulated_hub.jobs import UNKNOWN_STATE
from fidelity_gate.simulated_hub.messages import SIMULATED, now, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.records import GraphValue
    from fidelity_gate.simulated_hub.anatomy import Anatomy
    from fidelity_gate.simulated_hub.catalog import SimulatedDevice
    from fidelity_gate.simulated_hub.jobs import JobRecord
    from fidelity_gate.simulated_hub.profiling import Profile
    from fidelity_gate.simulated_hub.store import Dataset, Model

_OTHER_OS = "1"
_MAJOR, _MINOR = 1, 8  # of the profile's format


class Replies:
    """Makes messages; the protobuf module is handed in, because nothing may import it before a hub starts."""

    DEVICE_LOG, HUB_LOG = 1, 5  # JobArtifactType

    def __init__(self, messages: Any, devices: Sequence[SimulatedDevice]) -> None:  # noqa: ANN401
        self.pb = messages
        self.devices = devices

    def user(self) -> Any:  # noqa: ANN401
        """Return who the token belongs to."""
        return self.pb.User(id=1, first_name="Simulated", last_name="User", email="simulated@localhost", org_id=1)

    def device(self, device: SimulatedDevice) -> Any:  # noqa: ANN401
        """Return a device."""
        return self.pb.Device(name=device.name, os=device.os, attributes=device.attributes, soc_description="simulated")

    def model(self, model: Model, anatomy: Anatomy | None = None) -> Any:  # noqa: ANN401
        """Return a model; with its inputs and outputs where they are known."""
        made = self.pb.Model(
            model_id=model.id,
            owner=self.user(),
            name=model.name,
            model_type=model.type,
            file_upload_complete=model.complete,
            producer_id=model.producer,
            is_directory=model.is_directory,
        )
        stamp(made.creation_time, model.created)
        if anatomy is not None:
            self._specs(made.input_spec, anatomy.inputs)
            self._specs(made.output_spec, anatomy.outputs)
        return made

    def dataset(self, dataset: Dataset) -> Any:  # noqa: ANN401
        """Return a dataset."""
        made = self.pb.Dataset(
            dataset_id=dataset.id,
            owner=self.user(),
            name=dataset.name,
            file_upload_complete=dataset.complete,
            permanent=dataset.expires is None,
        )
        stamp(made.creation_time, dataset.created)
        if dataset.expires is not None:
            stamp(made.expiration_time, dataset.expires)
        return made

    # ------------------------------------------------------------ jobs

    def job(self, job: JobRecord) -> Any:  # noqa: ANN401
        """Return a job as it stands."""
        made = self.pb.Job(hub_version=SIMULATED)
        inner = getattr(made, f"{job.kind}_job")
        inner.CopyFrom(job.order.message)
        setattr(inner, f"{job.kind}_job_id", job.id)
        inner.name = job.name
        inner.job_state = self.state(job)
        inner.user.CopyFrom(self.user())
        inner.model.CopyFrom(self._job_model(job))
        self._times(inner, job)
        self._data(inner, job)
        if job.order.device is not None:
            inner.device.CopyFrom(self._job_device(job, job.order.device))
        # From the first reply on, or the client never hears of it; after a failure it is a model without a file.
        if job.order.target is not None and "no-target-model" not in job.faults:
            inner.target_model.CopyFrom(self.model(job.order.target))
        if "wrong-options" in job.faults:
            inner.options = "--compute_unit cpu --target_runtime tflite"
        made.notices.add(context=self.pb.Notice.USER, severity=self.pb.Notice.INFO, message=SIMULATED)
        if job.over:
            self._ending(made, inner, job)
        return made

    def state(self, job: JobRecord) -> int:
        """Return the JobState of a job, as its number."""
        name = job.state()
        return UNKNOWN_STATE if name == "UNKNOWN" else int(self.pb.JobState.Value(f"JOB_STATE_{name}"))

    def summary(self, job: JobRecord) -> Any:  # noqa: ANN401
        """Return the line of a job in a list."""
        made = self.pb.JobSummary()
        inner = getattr(made, f"{job.kind}_job_summary")
        inner.job_id, inner.name, inner.job_state = job.id, job.name, self.state(job)
        inner.user.CopyFrom(self.user())
        self._times(inner, job)
        if job.order.device is not None:
            inner.device_name, inner.device_os_version = job.order.device.name, job.order.device.os
        if job.kind == "inference":
            inner.is_profiling_on = job.order.profiling
            profile = job.outcome.profile
            if job.over and profile is not None and not job.faults:
                inner.execution_time = min(profile.times)
                inner.execution_peak_memory.lower, inner.execution_peak_memory.upper = profile.inference_peak
        return made

    def result(self, job: JobRecord) -> Any:  # noqa: ANN401
        """Return what came of a job that is over."""
        made = self.pb.JobResult()
        inner = getattr(made, f"{job.kind}_job_result")
        setattr(inner, f"{job.kind}_job_id", job.id)
        if job.kind != "inference":
            detail = getattr(inner, f"{job.kind}_detail")
            detail.tool_versions.add(name="simulator", version=SIMULATED)
            return made
        if "no-outputs" not in job.faults:
            inner.output_dataset_id = job.outcome.outputs
        if job.outcome.profile is not None and "no-profile" not in job.faults:
            inner.detail.CopyFrom(self._detail(job.outcome.profile, job.faults))
        return made

    def artifacts(self, job: JobRecord) -> tuple[int, ...]:
        """Return the JobArtifactTypes that a job has when it is over."""
        return (self.HUB_LOG, self.DEVICE_LOG) if job.kind == "inference" else (self.HUB_LOG,)

    # ------------------------------------------------------------ parts of a job

    def _job_model(self, job: JobRecord) -> Any:  # noqa: ANN401
        if "wrong-model" not in job.faults:
            return self.model(job.order.model)
        return self.model(replace(job.order.model, id=job.order.model.id + "x", name="another model"))

    def _data(self, inner: Any, job: JobRecord) -> None:  # noqa: ANN401
        """Tell of the dataset, and of the inputs once the model was looked at."""
        if job.order.dataset is not None:
            given = inner.dataset if job.kind == "inference" else inner.calibration_dataset
            given.CopyFrom(self.dataset(job.order.dataset))
        if job.over and job.outcome.inputs:
            told = inner.target_tensor_type_list if job.kind == "compile" else inner.tensor_type_list
            del told.types[:]
            self._specs(told, job.outcome.inputs)

    def _job_device(self, job: JobRecord, device: SimulatedDevice) -> Any:  # noqa: ANN401
        told = self.device(device)
        if "wrong-device" in job.faults:
            other = next((one for one in self.devices if one.name != device.name), None)
            told = self.device(other) if other else self.pb.Device(name="Another Device", os=device.os)
        if "wrong-os" in job.faults:
            told.os = _OTHER_OS
        return told

    def _times(self, inner: Any, job: JobRecord) -> None:  # noqa: ANN401
        stamp(inner.creation_time, job.created)
        stamp(inner.queued_time, job.created)
        stamp(inner.last_updated_time, now())
        if job.over:
            stamp(inner.start_time, job.created)
            stamp(inner.completion_time, job.created + max(0.0, job.ends - job.began))

    def _ending(self, made: Any, inner: Any, job: JobRecord) -> None:  # noqa: ANN401
        made.available_artifacts.extend(self.artifacts(job))
        failure = job.outcome.failure
        made.failure_type = self.pb.JobFailureType.Value(failure or "JOB_FAILURE_TYPE_SUCCESS")
        if failure:
            inner.failure_reason = job.outcome.reason

    def _specs(self, specs: Any, values: tuple[GraphValue, ...]) -> None:  # noqa: ANN401
        for value in values:
            code = getattr(self.pb, f"TENSOR_DTYPE_{value.dtype.upper()}", None)
            if code:  # the client fails on a type that it does not know
                shape = [size if isinstance(size, int) else -1 for size in value.shape or ()]
                specs.types.add(name=value.name, tensor_type=self.pb.TensorType(shape=shape, dtype=code))

    # ------------------------------------------------------------ profiles

    def _detail(self, profile: Profile, faults: frozenset[str]) -> Any:  # noqa: ANN401
        if "empty-profile" in faults:
            return self.pb.ProfileDetail()
        detail = self.pb.ProfileDetail(major_version=_MAJOR, minor_version=_MINOR)
        self._all_times(detail, profile, faults)
        if "missing-memory" not in faults:
            self._memory(detail, profile, zero="zero-memory" in faults)
        if "missing-layers" not in faults:
            self._layers(detail, profile)
        detail.tool_versions.add(name="simulator", version=SIMULATED)
        detail.tool_versions.add(name="times", version=profile.told)
        detail.runtime_config.add(name="simulated").properties.add(key="simulated", value="true")
        return detail

    def _all_times(self, detail: Any, profile: Profile, faults: frozenset[str]) -> None:  # noqa: ANN401
        if "zero-times" in faults:
            detail.all_execution_times.extend([0] * len(profile.times))
            return
        detail.execution_time = min(profile.times)  # by two reports the service's estimate is its fastest run
        detail.cold_load_time, detail.warm_load_time = profile.first_load, profile.warm_load
        if "missing-times" in faults:
            return
        times = list(profile.times)
        if "zero-time" in faults:
            times[len(times) // 2] = 0
        detail.all_execution_times.extend(times)
        detail.all_cold_load_times.append(profile.first_load)
        detail.all_warm_load_times.append(profile.warm_load)

    def _memory(self, detail: Any, profile: Profile, *, zero: bool) -> None:  # noqa: ANN401
        if zero:
            detail.execution_memory.peak.SetInParent()
            return
        detail.after_execution_peak_memory = profile.process_peak
        detail.after_cold_load_peak_memory = detail.after_warm_load_peak_memory = profile.process_peak
        low, high = profile.inference_peak
        for usage in (detail.execution_memory, detail.cold_load_memory, detail.warm_load_memory):
            usage.increase.lower, usage.increase.upper = 0, high - low
            usage.peak.lower, usage.peak.upper = low, high

    def _layers(self, detail: Any, profile: Profile) -> None:  # noqa: ANN401
        for layer in profile.layers:
            unit = self.pb.ComputeUnit.Value(f"COMPUTE_UNIT_{layer.unit.upper()}")
            made = detail.layer_details.add(name=layer.name, layer_type_name=layer.operator, compute_unit=unit)
            if layer.microseconds is not None:
                made.execution_time = layer.microseconds


def failure_of(faults: frozenset[str]) -> tuple[str, str]:
    """Return name and reason of the failure that a job was told to show; two empty texts for none."""
    for name in sorted(faults):
        if KINDS[name].failure:
            return KINDS[name].failure, KINDS[name].reason
    return "", ""
