"""A step graph through Qualcomm AI Hub: uploaded, compiled, run with profiling, and its outputs fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.devices import qai_hub_asked as asking
from fidelity_gate.devices import qai_hub_jobs as jobs
from fidelity_gate.devices import qai_hub_models as models
from fidelity_gate.devices import qai_hub_names as names
from fidelity_gate.devices.qai_hub_errors import Throttled, Unanswered
from fidelity_gate.devices.qai_hub_finding import Listed
from fidelity_gate.errors import ModelRefused, NotMeasured
from fidelity_gate.files import sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fidelity_gate.devices.qai_hub_asked import Asked
    from fidelity_gate.devices.qai_hub_client import Hub
    from fidelity_gate.records import StepFile

    Feeds = Mapping[str, Sequence[NDArray[Any]]]

_LARGEST_INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A compiled step graph.

    Attributes:
        model: the client's model.
        job: the message of the compile job.
    """

    model: Any
    job: Any


@dataclass(frozen=True, slots=True, eq=False)
class Runner:
    """Runs step graphs on one device, as one policy asks."""

    hub: Hub
    asked: Asked
    device: Listed

    def compiled(self, graph: StepFile) -> Compiled:
        """Return the step graph compiled for the device; raises NotMeasured or OutOfTime."""
        options, source = self.asked.compiler(graph.outputs), _Source(self.hub, graph)
        specs = asking.specs(graph.feeds)

        def fits(told: Any) -> str:  # noqa: ANN401  (public_api_pb2.CompileJob)
            devices = [*told.devices.devices, *([told.device] if told.HasField("device") else [])]
            return (
                self._other_device(devices)
                or _other_options(told.options, options)
                or ("" if source.is_model(told.model.model_id) else "it compiled another model")
            )

        order = jobs.Order(
            kind=names.COMPILE,
            type="COMPILE",
            name=names.job_name(names.COMPILE, self._question(graph, options, str(sorted(specs.items())))),
            max_age=self.asked.max_age,
            fits=fits,
            submit=lambda: self.hub.client.submit_compile_job(
                source.found(),
                device=self._target(),
                name=order.name,
                input_specs=specs,
                options=options,
                retry=False,
                project=self.hub.project,
            ),
        )
        done = jobs.done(self.hub, order, before=source.found)
        job_id = done.compile_job.compile_job_id
        job = self.hub.ask("reading the compile job", lambda: self.hub.client.get_job(job_id))
        model = job.get_target_model()
        if model is None:
            raise NotMeasured(f"compile job {job_id} succeeded and made no model", hint=self.hub.job_url(job_id))
        if model.model_type.name not in asking.MODEL_TYPES[self.asked.runtime]:
            what = f"compile job {job_id} made a model of the type {model.model_type.name}, not one for"
            raise NotMeasured(f"{what} {self.asked.runtime}", hint=self.hub.job_url(job_id))
        return Compiled(model, done)

    def ran(self, graph: StepFile, compiled: Compiled, feeds: Feeds, kind: str) -> Any:  # noqa: ANN401
        """Return the message of a finished job that ran the compiled graph on these feeds, profiled.

        Args:
            graph: the step graph.
            compiled: what became of it.
            feeds: input -> its array in every entry.
            kind: `names.PROFILE`, or `names.INFER` where outputs are wanted too.

        Raises:
            NotMeasured: it did not run, or something else did.
            OutOfTime: it has not ended.
        """
        sent = self._sent(feeds)
        options, digest = self.asked.profiler(), names.feeds_digest(sent)
        dataset = _Dataset(self.hub, sent, digest)

        def fits(told: Any) -> str:  # noqa: ANN401  (public_api_pb2.InferenceJob)
            return (
                self._other_device([told.device])
                or _other_options(told.options, options)
                or ("" if told.model.model_id == compiled.model.model_id else "it ran another model")
                or ("" if told.is_profiling_on else "it was not profiled")
                or ("" if dataset.is_dataset(told.dataset.dataset_id) else "it was fed something else")
            )

        asked = {**self._question(graph, options, digest), "compiler": compiled.job.compile_job.options}
        order = jobs.Order(
            kind=kind,
            type="INFERENCE",
            name=names.job_name(kind, asked),
            max_age=self.asked.max_age,
            fits=fits,
            submit=lambda: self.hub.client.submit_inference_job(
                compiled.model,
                device=self._target(),
                inputs=dataset.found(),
                name=order.name,
                options=options,
                retry=False,
                profile=True,
                project=self.hub.project,
            ),
        )
        return jobs.done(self.hub, order, before=dataset.found)

    def _question(self, graph: StepFile, options: str, inputs: str) -> dict[str, str]:
        return {
            "model": graph.digest,
            "device": self.device.name,
            "os": self.device.os,
            "runtime": self.asked.runtime,
            "options": options,
            "inputs": inputs,
        }

    def _target(self) -> Any:  # noqa: ANN401  (qai_hub.Device)
        return self.hub.module("client").Device(name=self.device.name, os=self.device.os)

    def _other_device(self, told: Sequence[Any]) -> str:
        """Return which other device it is; "" where it is the one that was asked for."""
        named = {(str(one.name), str(one.os)) for one in told}
        if named == {(self.device.name, self.device.os)}:
            return ""
        other = " and ".join(str(Listed(name, os, ())) for name, os in sorted(named)) or "an unnamed device"
        return f"it is of {other}, not of {self.device} alone"

    def _sent(self, feeds: Feeds) -> dict[str, list[NDArray[Any]]]:
        """Return the feeds as the compiled model takes them."""
        plain = {name: [np.ascontiguousarray(one) for one in entries] for name, entries in feeds.items()}
        if not self.asked.narrowed:
            return plain
        return {name: [_narrowed(name, one) for one in entries] for name, entries in plain.items()}


def _narrowed(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype != np.int64:
        return array
    if array.size and not -_LARGEST_INT32 - 1 <= array.min() <= array.max() <= _LARGEST_INT32:
        raise ModelRefused(f"is fed numbers beyond 32 bits, and {asking.TRUNCATED} is set", field=name)
    return array.astype(np.int32)


def _other_options(told: str, asked: str) -> str:
    return "" if sorted(told.split()) == sorted(asked.split()) else f"its options were '{told}'"


@dataclass(slots=True, eq=False)
class _Source:
    """The step graph at the service: the model that was found or uploaded, once it is known."""

    hub: Hub
    graph: StepFile
    _model: Any = None

    def found(self) -> Any:  # noqa: ANN401  (qai_hub.Model)
        """Return the model; uploads it where it is not there."""
        if self._model is None:
            self._model = models.source_model(self.hub, self.graph)
        return self._model

    def is_model(self, model_id: str) -> bool:
        """Return whether the bytes of a model are the step graph's; raises Unanswered or Throttled, as `is_dataset`."""
        if self._model is not None and self._model.model_id == model_id:
            return True
        try:
            model = self.hub.ask("looking at a model", lambda: self.hub.client.get_model(model_id))
            return sha256_hex(models.stored_file(self.hub, model)) == self.graph.digest
        except (Unanswered, Throttled):
            raise
        except NotMeasured:
            return False


@dataclass(slots=True, eq=False)
class _Dataset:
    """What a job is fed, at the service: uploaded once, where no job that was fed the same is found."""

    hub: Hub
    feeds: Mapping[str, list[NDArray[Any]]]
    digest: str
    _dataset: Any = None

    def found(self) -> Any:  # noqa: ANN401  (qai_hub.Dataset)
        """Return the dataset; uploads it where it is not there."""
        if self._dataset is None:
            self.hub.say("uploading inputs")
            name = f"{names.PREFIX} inputs {self.digest}"
            self._dataset = self.hub.once(
                "uploading inputs",
                lambda: self.hub.client.upload_dataset(dict(self.feeds), name=name, project=self.hub.project),
            )
        return self._dataset

    def is_dataset(self, dataset_id: str) -> bool:
        """Return whether the arrays of a dataset are these; False too where it cannot be fetched any more.

        Raises:
            Unanswered, Throttled: nobody knows: to take it for another would pay for the same job twice.
        """
        if self._dataset is not None:
            return bool(self._dataset.dataset_id == dataset_id)
        if not dataset_id:
            return False
        try:
            dataset = self.hub.ask("looking at inputs", lambda: self.hub.client.get_dataset(dataset_id))
            arrays = self.hub.ask("fetching inputs", dataset.download)
        except (Unanswered, Throttled):
            raise
        except NotMeasured:
            return False
        return names.feeds_digest(arrays) == self.digest


def outputs_of(hub: Hub, job: Any, device_outputs: Sequence[str]) -> dict[str, list[NDArray[Any]]]:  # noqa: ANN401
    """Return what a finished job computed, by the graph's own names.

    Args:
        hub: the client.
        job: its message.
        device_outputs: which outputs are wanted.

    Raises:
        NotMeasured: it gave none of them, or cannot be read.
    """
    job_id = job.inference_job.inference_job_id
    client_job = hub.ask("reading the job", lambda: hub.client.get_job(job_id))
    found = hub.ask("fetching outputs", client_job.download_output_data) or {}
    missing = [name for name in device_outputs if name not in found]
    if missing:
        told = ", ".join(sorted(found)) or "none"
        what = f"job {job_id} gave back no {' and no '.join(missing)}"
        raise NotMeasured(what, hint=f"its outputs are {told}")
    return {name: [np.asarray(one) for one in found[name]] for name in device_outputs}
