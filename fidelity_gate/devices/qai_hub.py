"""qai_hub: a device of Qualcomm AI Hub, on which the step graph is compiled, run and profiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fidelity_gate.devices.qai_hub_asked import ITERATIONS, OUTPUTS, RUNTIME, UNIT, Asked
from fidelity_gate.errors import NotMeasured, PolicyError, UsageError
from fidelity_gate.records import DeviceInference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fidelity_gate.devices.qai_hub_client import Hub
    from fidelity_gate.devices.qai_hub_running import Compiled, Runner
    from fidelity_gate.records import DeviceRun, Options, StepFile, Workload

FEWEST_RUNS, MOST_RUNS = 5, 10_000
LONGEST = 86_400.0  # seconds; the service itself gives up a job after 8 hours
_SECONDS_A_DAY = 86_400.0
_OWN = {RUNTIME: "runtime", UNIT: "compute_unit", ITERATIONS: "runs", OUTPUTS: "nothing: outputs keep their names"}
_SECRETS = ("token", "password", "secret", "authorization", "api_key", "apikey")
_LONGEST_OPTIONS = 2000
_SHORTEST_TOKEN = 8  # a shorter one is none, and could be a part of any word


@dataclass(frozen=True, slots=True, kw_only=True)
class QaiHub:
    """A device of Qualcomm AI Hub, reached with the qai-hub client and its own configuration.

    Attributes:
        device: its name, exactly as the service lists it.
        os: its version of the operating system; left out where only one device has the name.
        runtime: what the step graph is compiled for.
        compute_unit: where it is to run; a profile that ran elsewhere is no measurement.
        options: further options of the service's compiler, as the service writes them.
        profile_options: further options of its profiler.
        runs: timed runs.
        timeout: seconds for one model, from upload to profile; a policy writes "30 min".
        max_age: days within which a finished job of the very same question answers again; 0: only one of this run. One
            that still runs is always found.
        host_overhead: seconds that the host adds to every run of the graph; a policy writes "0.2 ms".
        max_spread: the largest spread, (p90 - p10) / p50, at which a latency is believed; left out: any.
        allow_simulated: take what a simulated hub says, where no device ran anything.
    """

    device: str
    os: str = ""
    runtime: Literal["onnx", "tflite", "qnn_dlc"] = "onnx"
    compute_unit: Literal["npu", "gpu", "cpu", "all"] = "npu"
    options: str = ""
    profile_options: str = ""
    runs: int = 100
    timeout: float = 1800.0
    max_age: float = 1.0
    host_overhead: float = 0.0
    max_spread: float | None = None
    allow_simulated: bool = False

    units: ClassVar[Mapping[str, str]] = {
        "host_overhead": "seconds",
        "max_age": "days",
        "max_spread": "fraction",
        "timeout": "duration",
    }
    runs_graphs: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = frozenset({"inference", "profile", "seconds"})

    def __post_init__(self) -> None:
        """Refuse options with which a figure would mean nothing, and what must not stand in a policy."""
        if not self.device.strip():
            raise UsageError("is empty", field="device", hint="qai-hub list-devices shows their names")
        _within("runs", self.runs, FEWEST_RUNS, MOST_RUNS)
        _within("timeout", self.timeout, 1, LONGEST)
        _within("max_age", self.max_age, 0, 365)
        _within("host_overhead", self.host_overhead, 0, 10)
        if self.max_spread is not None:
            _within("max_spread", self.max_spread, 0, 10)
        for field in ("options", "profile_options"):
            _refuse_options(field, getattr(self, field))

    def describe(self) -> Options:
        """Return what is asked for; what really ran is in every run."""
        facts = {"compute_unit": self.compute_unit, "processor": self.device, "runtime": self.runtime, "os": self.os}
        return tuple(sorted((name, value) for name, value in facts.items() if value))

    def run(self, workload: Workload) -> DeviceRun:
        """Compile, run and profile one step graph.

        Raises:
            PolicyError: the service has no such device, or it does not run the runtime; or an option holds the token.
            NotMeasured: the model is no step graph; no client, no answer, a failed job, or evidence that is not of what
                was asked for.
            OutOfTime: a job has not ended.
        """
        from fidelity_gate.devices import qai_hub_names as names
        from fidelity_gate.devices.qai_hub_reading import with_steps

        graph = _step_graph(workload)
        runner = self._runner(workload)
        compiled = runner.compiled(graph)
        job = runner.ran(graph, compiled, {name: [array] for name, array in graph.feeds.items()}, names.PROFILE)
        told = replace(self._read(runner, job, compiled, workload), max_spread=self.max_spread)
        return with_steps(told, graph.runs, workload.depth, self.host_overhead)

    def infer(
        self, workload: Workload, feeds: Mapping[str, Sequence[NDArray[Any]]], outputs: Sequence[str]
    ) -> DeviceInference:
        """Run the step graph once an entry, all entries in one job, which is profiled too.

        Raises:
            As `run`.
        """
        from fidelity_gate.devices import qai_hub_names as names
        from fidelity_gate.devices.qai_hub_reading import with_steps
        from fidelity_gate.devices.qai_hub_running import outputs_of

        graph = _step_graph(workload)
        runner = self._runner(workload)
        compiled = runner.compiled(graph)
        ordered = {name: feeds[name] for name in graph.feeds if name in feeds}
        job = runner.ran(graph, compiled, ordered, names.INFER)
        told = self._read(runner, job, compiled, workload)
        found = outputs_of(runner.hub, job, outputs)
        return DeviceInference(found, with_steps(told, graph.runs, workload.depth, self.host_overhead))

    def _runner(self, workload: Workload) -> Runner:
        """Return who runs it, once the device is known and nothing that was forbidden is simulated."""
        from fidelity_gate.devices.qai_hub_client import connect
        from fidelity_gate.devices.qai_hub_finding import found_device
        from fidelity_gate.devices.qai_hub_running import Runner

        hub = connect(self.timeout, tell=workload.tell)
        self._refuse_token(hub.translator.secret)
        self._refuse_simulated(simulated=hub.simulated)
        found = found_device(hub, self.device, self.os, self.runtime)
        self._refuse_simulated(simulated=found.simulated)
        return Runner(hub, self._asked(), found)

    def _asked(self) -> Asked:
        return Asked(
            runtime=self.runtime,
            compute_unit=self.compute_unit,
            options=" ".join(self.options.split()),
            profile_options=" ".join(self.profile_options.split()),
            runs=self.runs,
            max_age=self.max_age * _SECONDS_A_DAY,
        )

    def _refuse_token(self, token: str) -> None:
        """Refuse a policy that holds the token, under whatever name: its options are sent, kept and shown."""
        for field in ("options", "profile_options"):
            if len(token) >= _SHORTEST_TOKEN and token in getattr(self, field):
                hint = "take it out, and have a new one made: whoever reads the policy has this one"
                raise PolicyError("holds the token of the client's configuration", field=field, hint=hint)

    def _refuse_simulated(self, *, simulated: bool) -> None:
        if simulated and not self.allow_simulated:
            what = "what answers is a simulated AI Hub: no device would run anything"
            raise NotMeasured(what, hint="allow_simulated: true for a trial; or the real api_url for the client")

    def _read(self, runner: Runner, job: Any, compiled: Compiled, workload: Workload) -> DeviceRun:  # noqa: ANN401
        from fidelity_gate.devices.qai_hub_models import stored_size
        from fidelity_gate.devices.qai_hub_reading import Ran, run_of

        hub: Hub = runner.hub
        ran = Ran(
            runtime=self.runtime,
            compiler=compiled.job.compile_job.options,
            digest=_step_graph(workload).digest,
            simulated=hub.simulated or runner.device.simulated,
            compiled_bytes=stored_size(hub, compiled.model) if workload.compiled else None,
        )
        return run_of(hub, job, ran)


def _step_graph(workload: Workload) -> StepFile:
    if workload.graph is None:
        hint = "export it first: fidelity-gate export MODEL -o STEP.onnx"
        raise NotMeasured("not a step graph", hint=hint)
    return workload.graph


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"must be from {least:g} to {most:g}, not {value:g}", field=name)


def _refuse_options(field: str, text: str) -> None:
    """Refuse options that have a key of their own, and any that looks like a secret: policies are read by many."""
    if len(text) > _LONGEST_OPTIONS:
        raise UsageError(f"is longer than {_LONGEST_OPTIONS:,} characters", field=field)
    for word in text.split():
        name = word.partition("=")[0]
        if any(secret in name.lower() for secret in _SECRETS):
            hint = "the client's own configuration holds it: qai-hub configure --api_token TOKEN"
            raise UsageError("looks like a secret, which has no place in a policy", field=field, hint=hint)
        if name in _OWN:
            raise UsageError(f"{name} is not set here", field=field, hint=f"use {_OWN[name]}")
