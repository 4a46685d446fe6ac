"""A submitted job -> the order that the workshop carries out, with everything that it names checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate.simulated_hub.catalog import matching
from fidelity_gate.simulated_hub.containers import RUNTIMES
from fidelity_gate.simulated_hub.exchange import Refusal
from fidelity_gate.simulated_hub.jobs import JobRecord, Order
from fidelity_gate.simulated_hub.messages import now
from fidelity_gate.simulated_hub.store import Model
from fidelity_gate.simulated_hub.working import target_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.simulated_hub.catalog import SimulatedDevice
    from fidelity_gate.simulated_hub.store import Dataset, Store
    from fidelity_gate.simulated_hub.working import Workshop

_LONGEST_OPTIONS = 10_000


@dataclass(frozen=True, slots=True)
class Submission:
    """Makes jobs of what was sent."""

    messages: Any  # protobuf
    devices: Sequence[SimulatedDevice]
    store: Store
    workshop: Workshop

    def job(self, kind: str, told: Any, faults: frozenset[str], seconds: float) -> JobRecord:  # noqa: ANN401
        """Return the job; raises Refusal where it names what there is not."""
        if kind not in ("compile", "inference", "quantize"):
            raise Refusal(400, f"the simulator has no {kind or 'such'} jobs")
        inner = getattr(told, f"{kind}_job")
        if len(inner.options) > _LONGEST_OPTIONS:
            raise Refusal(400, "the options are too long")
        key = self.store.new_id("j")
        model = self._model(inner.model.model_id)
        order = Order(
            kind=kind,
            message=inner,
            model=model,
            device=None if kind == "quantize" else self._device(inner),
            dataset=self._dataset(_dataset_id(kind, inner)),
            target=None,
        )
        if kind != "inference":
            order = Order(kind, inner, model, order.device, order.dataset, self._target(key, order, faults))
        producer = self.workshop.producer(model)
        after = producer.ends if producer else 0.0
        return JobRecord(key, order, faults, seconds, after, now(), name=inner.name[:1000])

    def _model(self, key: str) -> Model:
        model = self.store.models.get(key)
        if model is None:
            raise Refusal(404, f"no model is known by the id {key}")
        if not model.complete and self.workshop.producer(model) is None:
            raise Refusal(400, f"the model {key} was not uploaded completely")
        return model

    def _dataset(self, key: str) -> Dataset | None:
        if not key:
            return None
        dataset = self.store.datasets.get(key)
        if dataset is None:
            raise Refusal(404, f"no dataset is known by the id {key}")
        if not dataset.complete:
            raise Refusal(400, f"the dataset {key} was not uploaded completely")
        if dataset.expires is not None and dataset.expires < now():
            raise Refusal(400, f"the dataset {key} has expired")
        return dataset

    def _device(self, inner: Any) -> SimulatedDevice:  # noqa: ANN401
        named = list(inner.devices.devices) if hasattr(inner, "devices") else []
        told = named[0] if named else inner.device
        found = matching(self.devices, told.name, told.os, told.attributes)
        if not told.name or not found:
            raise Refusal(400, f"no device is named {told.name or 'so'}, {told.os or 'any os'}")
        return found[0]

    def _target(self, key: str, order: Order, faults: frozenset[str]) -> Model:
        """Return the model that the job will make; the client wants to hear of it at once."""
        runtime = target_runtime(order.option("target_runtime"), faults) if order.kind == "compile" else "onnx"
        type_name, suffix = RUNTIMES[runtime]
        stem = order.model.name.removesuffix(".onnx").removeprefix("simulated_")
        name = f"simulated_{stem}_{'quantized' if order.kind == 'quantize' else runtime}{suffix}"
        code = self.messages.ModelType.Value(type_name)
        return self.store.add_model(
            lambda model, path: Model(
                model,
                name,
                code,
                now(),
                path,
                producer=key,
                source=order.model.id,
                filename=name,
                runtime=runtime,
            )
        )


def _dataset_id(kind: str, inner: Any) -> str:  # noqa: ANN401
    dataset = inner.dataset if kind == "inference" else inner.calibration_dataset
    return str(dataset.dataset_id)
