"""Does the work of jobs, one after the other in a thread of its own: compiles, quantizes, runs and profiles."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from fidelity_gate.errors import GateError, InputsRefused, OutOfMemory, OutOfTime
from fidelity_gate.sandbox import Limits, run_limited
from fidelity_gate.simulated_hub import worker
from fidelity_gate.simulated_hub.anatomy import anatomy_of
from fidelity_gate.simulated_hub.containers import RUNTIMES, unwrapped, wrapped
from fidelity_gate.simulated_hub.jobs import Outcome
from fidelity_gate.simulated_hub.messages import SIMULATED, now
from fidelity_gate.simulated_hub.profiling import Setting, on_cpu, profile_of, unit_asked
from fidelity_gate.simulated_hub.replies import failure_of
from fidelity_gate.simulated_hub.store import KEPT_DAYS, Dataset, Full

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fidelity_gate.sandbox import Json
    from fidelity_gate.simulated_hub.anatomy import Anatomy
    from fidelity_gate.simulated_hub.jobs import JobRecord
    from fidelity_gate.simulated_hub.profiling import Profile
    from fidelity_gate.simulated_hub.replay import Replay
    from fidelity_gate.simulated_hub.store import Model, Store

LIMITS = Limits(memory_bytes=6 << 30, seconds=120)
DAY = 86_400.0
_MOST_KEPT = 64  # anatomies
_MOST_RUNS = 10_000
_WRONG_RUNTIME = {"onnx": "tflite", "qnn_context_binary": "onnx", "qnn_dlc": "onnx", "tflite": "onnx"}
_TYPES = {1: "INT8", 3: "INT16", 5: "INT4"}  # QuantizeDtype


class Workshop:
    """Carries jobs out; one that waits for the model of another comes after it in the queue."""

    def __init__(self, store: Store, replay: Replay | None) -> None:
        self._store = store
        self._replay = replay
        self._queue: queue.SimpleQueue[JobRecord | None] = queue.SimpleQueue()
        self._anatomies: dict[str, Anatomy] = {}
        self._producers: dict[str, JobRecord] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="simulated-hub-jobs", daemon=True)
        self._thread.start()

    def submit(self, job: JobRecord) -> None:
        """Carry out a job as soon as those before it are done."""
        if job.order.target is not None:
            self._producers[job.order.target.id] = job
        self._queue.put(job)

    def close(self, seconds: float) -> None:
        """Take no more jobs, and wait so long for the one at work."""
        self._queue.put(None)
        self._thread.join(seconds)

    def producer(self, model: Model) -> JobRecord | None:
        """Return the job that makes a model."""
        return self._producers.get(model.id)

    def anatomy(self, model: Model) -> Anatomy:
        """Return the anatomy of a model that is there; raises GateError for one that is no ONNX graph."""
        with self._lock:
            known = self._anatomies.get(model.digest)
        if known is not None and model.digest:
            return known
        found = anatomy_of(self._onnx(model), model.name)
        with self._lock:
            if len(self._anatomies) >= _MOST_KEPT:
                self._anatomies.pop(next(iter(self._anatomies)))
            self._anatomies[model.digest] = found
        return found

    # ------------------------------------------------------------ one job

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            job.settle(self._outcome(job))

    def _outcome(self, job: JobRecord) -> Outcome:
        kinds: Mapping[str, Callable[[JobRecord], Outcome]] = {
            "compile": self._compile,
            "inference": self._infer,
            "quantize": self._quantize,
        }
        try:
            failure, reason = failure_of(job.faults)
            if failure:
                return Outcome(failure, reason, log=(f"asked to fail: {failure}",))
            producer = self.producer(job.order.model)
            if producer is not None and producer.outcome.failure:
                return _failed("INVALID_ARGUMENT", f"The job {producer.id} that makes the model failed.")
            return kinds[job.kind](job)
        except GateError as error:
            return _failed(_kind(error), str(error))
        except Full:
            return _failed("RUNTIME_OUT_OF_DISK", "The simulator keeps no more.")
        except Exception as error:  # noqa: BLE001  (nothing is above this thread; a job that breaks is a failed one)
            return _failed("INTERNAL_UNKNOWN", f"{type(error).__name__}: {error}")

    def _compile(self, job: JobRecord) -> Outcome:
        target = job.order.target
        runtime = job.order.option("target_runtime") or "tflite"  # the service's own default
        if runtime not in RUNTIMES:
            return _failed("INVALID_ARGUMENT", f"--target_runtime {runtime}: one of {', '.join(RUNTIMES)}")
        data = self._onnx(job.order.model)
        inputs = self.anatomy(job.order.model).inputs  # raises where it is no graph
        if target is None or "no-target-model" in job.faults:
            return Outcome(log=("no model is handed back, as asked",))
        self._finish(target, wrapped(data, target.runtime))
        return Outcome(inputs=inputs, log=(f"target runtime {target.runtime}; nothing was compiled",))

    def _quantize(self, job: JobRecord) -> Outcome:
        if job.order.target is None or job.order.dataset is None:
            return _failed("INVALID_INPUTS", "There is no calibration dataset.")
        message = job.order.message
        types = _TYPES.get(message.weights_dtype, ""), _TYPES.get(message.activations_dtype, "")
        if types[0] not in ("INT4", "INT8") or types[1] not in ("INT8", "INT16"):
            return _failed("INVALID_ARGUMENT", "Weights must be INT8 or INT4, activations INT8 or INT16.")
        request = {"weights": types[0], "activations": types[1], "mark": SIMULATED}
        self._finish(job.order.target, self._child("quantize", job, request))
        return Outcome(log=(f"onnxruntime static QDQ, weights {types[0]}, activations {types[1]}",))

    def _infer(self, job: JobRecord) -> Outcome:
        anatomy = self.anatomy(job.order.model)
        outputs, log = "", []
        if job.order.dataset is not None and "no-outputs" not in job.faults:
            faults: list[Json] = [*sorted(job.faults)]
            made = self._child("infer", job, {"faults": faults})
            outputs = self._keep_dataset(f"{job.name} outputs", made)
            log.append("onnxruntime ran the model on this machine")
        profile = self._profile(job, anatomy) if job.order.profiling else None
        if profile is not None:
            log.append(f"times: {profile.told}; operators of unknown cost: {anatomy.unknown}")
        return Outcome(profile=profile, outputs=outputs, inputs=anatomy.inputs, log=tuple(log))

    def _profile(self, job: JobRecord, anatomy: Anatomy) -> Profile:
        device, model = job.order.device, job.order.model
        if device is None:
            raise InputsRefused("no device was named")
        unit = unit_asked(job.order.option("compute_unit").split(","))
        runs = job.order.option("max_profiler_iterations")
        count = min(int(runs), _MOST_RUNS) if runs.isascii() and runs.isdigit() and len(runs) < 10 else 0
        setting = Setting(unit, count, f"{model.digest} {device.name} {device.os} {model.runtime} {unit}")
        row = None
        if self._replay is not None:
            names = (job.name, model.name, self._origin(model).name)
            row = self._replay.find(names, device.name, model.runtime, anatomy.precision)
        if row is not None and self._replay is not None:
            profile = self._replay.profile(row, device.latency, setting)
        else:
            profile = profile_of(anatomy, device.latency, setting)
        return on_cpu(profile, device.latency) if "cpu-fallback" in job.faults else profile

    # ------------------------------------------------------------ files

    def _onnx(self, model: Model) -> bytes:
        return unwrapped(model.path.read_bytes(), model.name)

    def _origin(self, model: Model) -> Model:
        """Return the model that was uploaded, through all that was made of it."""
        while model.source in self._store.models:
            model = self._store.models[model.source]
        return model

    def _child(self, what: str, job: JobRecord, request: Mapping[str, Json]) -> bytes:
        """Return what a function of the worker makes of the job's model and dataset, in a process with limits."""
        dataset = job.order.dataset
        files = {worker.MODEL: self._onnx(job.order.model), worker.DATA: dataset.path.read_bytes() if dataset else b""}
        entry = f"fidelity_gate.simulated_hub.worker:{what}"
        answer = run_limited(entry, request, limits=LIMITS, files=files, where=job.order.model.name)
        return answer.files[worker.MADE]

    def _finish(self, target: Model, data: bytes) -> None:
        target.digest = self._store.fill(target.path, data)
        target.complete = True

    def _keep_dataset(self, name: str, data: bytes) -> str:
        made = self._store.add_dataset(lambda key, path: Dataset(key, name, now(), now() + KEPT_DAYS * DAY, path))
        self._store.fill(made.path, data)
        made.complete = True
        return made.id


def target_runtime(asked: str, faults: frozenset[str]) -> str:
    """Return the runtime that a compiled model is for; with the fault, another than was asked for."""
    runtime = asked if asked in RUNTIMES else "tflite"
    return _WRONG_RUNTIME[runtime] if "wrong-runtime" in faults else runtime


def _failed(failure: str, reason: str) -> Outcome:
    return Outcome(f"JOB_FAILURE_TYPE_{failure}", reason, log=(reason,))


def _kind(error: GateError) -> str:
    kinds = {InputsRefused: "INVALID_INPUTS", OutOfMemory: "RUNTIME_OUT_OF_MEMORY", OutOfTime: "RUNTIME_TIMEOUT"}
    return next((name for kind, name in kinds.items() if isinstance(error, kind)), "MODEL_INVALID")
