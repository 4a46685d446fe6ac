"""One Protocol per room: what a plug has to be. A plug is a frozen dataclass whose fields are its policy keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.records import (
        Artifact,
        Carry,
        Comparison,
        Depth,
        DeviceInference,
        DeviceRun,
        DeviceSteps,
        Direction,
        Evidence,
        Found,
        Geometry,
        Grid,
        LintReport,
        Measured,
        ModelFacts,
        ModelRecord,
        ModelSpec,
        Need,
        OnnxArtifact,
        Options,
        Part,
        Probes,
        QuantizedWeight,
        Ran,
        Report,
        Role,
        RunSpec,
        Severity,
        StepGraph,
        StepState,
        StepsWanted,
        Target,
        Tensor,
        Workload,
    )


# ---------------------------------------------------------------- models


class Family(Protocol):
    """models/families: one recursion. The fields of the dataclass are its architecture (`model:` keys).

    Nothing but `build` may import torch.
    """

    name: ClassVar[str]

    @classmethod
    def derive(cls, shapes: Mapping[str, tuple[int, ...]], hints: Options) -> Family | None:
        """Return the architecture that these tensor shapes (official keys, prefix removed) and hints describe.

        None when the shapes are not this family's. Raises ModelRefused when they are, but a fact is missing or
        contradicts another.
        """

    def tensors(self) -> Mapping[str, tuple[tuple[int, ...], Role]]:
        """Return every tensor this architecture consists of: official key -> (shape, role)."""

    def geometry(self) -> Geometry | None:
        """Return what the footprint formulas need; None where the number of tokens is not known."""

    def declared_depth(self) -> Depth | None:
        """Return the depth that the architecture's fields declare, if they do."""

    def architecture(self) -> Options:
        """Return the fields, sorted, as plain values."""

    def build(self, weights: Mapping[str, Tensor], run: RunSpec) -> Recursion:
        """Return the model on the CPU, in eval mode, with exactly these weights.

        A weight is a float32 torch tensor, or a callable torch module that stands for `x @ weight.T` (LLM.int8).
        """


class Recursion(Protocol):
    """A model ready to step. Several runs of it may be open at once, each stepped in turn; none may disturb another."""

    streams: tuple[str, ...]  # ("z_H", "z_L")

    def run(
        self, batch: Probes, depth: Depth, *, perturbation: float = 0.0, seed: int = 0
    ) -> Generator[StepState, Carry | None, None]:
        """Yield the state after every ACT step, `depth.steps` of them.

        A carry sent into the generator replaces the model's own before the next step (teacher forcing).
        What was yielded is never changed afterwards: a later step writes to new memory.

        Args:
            batch: B probes.
            depth: how deep to run.
            perturbation: relative size of Gaussian noise added to the initial carry (noise floor).
            seed: of that noise.
        """


class GraphSession(Protocol):
    """A step graph in memory, which a host runs once at a time."""

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return these outputs for these inputs, states among both."""


@runtime_checkable
class GraphRecursion(Recursion, Protocol):
    """A recursion that runs a step graph again and again, its states fed back."""

    @property
    def rows(self) -> int:
        """Return how many probes a run takes; 0 for any number."""

    def runs(self, depth: Depth) -> int:
        """Return how many runs of the graph make one ACT step; raises ModelRefused where that is not known."""

    @property
    def session(self) -> GraphSession:
        """Return the session that it runs its graph in."""

    def over(self, session: GraphSession) -> Recursion:
        """Return the same recursion over another session, whose graph has at least the same inputs and outputs."""


class OpenedModel(Protocol):
    """A model file that was read, hashed and understood, but does not run yet."""

    @property
    def facts(self) -> ModelFacts:
        """Return what the file holds."""

    def load(self, run: RunSpec) -> Recursion:
        """Return the model ready to step."""

    def dense(self) -> Mapping[str, NDArray[np.float32]]:
        """Return every tensor as float32 (dequantized), official key -> array."""

    def stored_weights(self) -> Weights | None:
        """Return the weights for whoever wants to look at some of them; None where the format has none to show."""

    def step_graph(self, sizes: Mapping[str, int] | None = None) -> StepGraph | None:
        """Return the step graph that the file is; None for formats that hold tensors only.

        Args:
            sizes: for dimensions that the file leaves open, by their name; their shapes are worked out with them.
        """


@runtime_checkable
class OpenedGraph(OpenedModel, Protocol):
    """A step graph that was opened."""

    @property
    def data(self) -> bytes:
        """Return the bytes of its file, as they were hashed."""

    @property
    def running(self) -> bytes:
        """Return the bytes that run: those of the file, or the file with its known conditions decided."""


class Weights(Protocol):
    """The weights of a model file, read only when somebody asks; nothing is kept of what was read."""

    def quantized(self, name: str) -> QuantizedWeight | None:
        """Return the integers and scales of a tensor of `ModelFacts.tensors`; None where it holds floats."""

    def dense(self, name: str) -> NDArray[np.float32]:
        """Return the tensor's values (dequantized) in its logical shape. Raises ModelRefused."""


@runtime_checkable
class ModelFormat(Protocol):
    """models: one file format."""

    def recognises(self, path: str, head: bytes) -> bool:
        """Return whether a file with this name and these first bytes is in this format."""

    def open(self, spec: ModelSpec) -> OpenedModel:
        """Read, hash and understand the file; raises ModelRefused or UnsafeContent."""


# ---------------------------------------------------------------- inputs, compress


@runtime_checkable
class Inputs(Protocol):
    """inputs: one source of probes."""

    def probes(self, base: str) -> Probes:
        """Return the probes; relative paths are against the folder `base`. Raises InputsRefused."""


@runtime_checkable
class Recipe(Protocol):
    """compress: one way of making a model smaller. The fields are its options (`int4-calibrated,clip=mse`)."""

    takes_calibration: ClassVar[bool]  # whether calibration puzzles mean anything to it

    def compress(
        self, model: OpenedModel, calibration: Probes | None, progress: Progress | None = None
    ) -> Artifact | OnnxArtifact:
        """Return what was compressed: tensors in our format, or a step graph where the model is one.

        Raises:
            UsageError: the model is none that this recipe takes, or the recipe would change nothing.
        """


# ---------------------------------------------------------------- metrics


class Side(Protocol):
    """One model right after one step, and the numbers that several metrics want of it; each is computed once."""

    @property
    def state(self) -> StepState:
        """Return the state itself; keep no tensor of it."""

    @property
    def before(self) -> Side | None:
        """Return the same model one step earlier, None at step 1."""

    def norms(self, stream: str) -> NDArray[np.float64]:
        """Return the norm of every probe's stream: (B,)."""

    def largest(self, stream: str) -> NDArray[np.float64]:
        """Return the largest absolute value of every probe's stream: (B,)."""

    def turned(self, stream: str) -> NDArray[np.float64]:
        """Return the mean token cosine between the step before and this one: (B,). Needs `before`."""

    def answers(self) -> NDArray[np.int64]:
        """Return the decoded answers: (B, S). Needs `state.logits`."""

    def halting(self) -> NDArray[np.float64]:
        """Return the halting logits: (B, 2), halt and continue. Needs `state.halt`."""


class Pair(Protocol):
    """One aligned pair of states of a batch, as accumulators see it."""

    step: int  # from 1
    last: bool  # both models are at their own last step
    aligned: bool  # False only where depths differ and just the last states are comparable
    first_probe: int  # row of the batch's first probe
    batch: Probes

    @property
    def reference(self) -> Side:
        """Return the reference after this step."""

    @property
    def candidate(self) -> Side:
        """Return the candidate after this step."""

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the names of the streams, the same for both models, in the model's order."""

    def cosines(self, stream: str) -> NDArray[np.float64]:
        """Return the cosine of every token between the two models: (B, L)."""


@runtime_checkable
class Accumulator(Protocol):
    """Sees every aligned pair once, keeps only numbers."""

    def observe(self, pair: Pair) -> None:
        """Take what the metric needs from the pair; keep no tensor of it."""

    def finish(self) -> Measured:
        """Return the values; raises NotMeasured with the reason when there are none."""


class TraceMetric(Protocol):
    """metrics: evidence from stepping both models (`evidence` FREE or FORCED)."""

    unit: ClassVar[str]
    direction: ClassVar[Direction]
    evidence: ClassVar[Evidence]
    per_probe: ClassVar[bool]
    floored: ClassVar[bool]
    limits: ClassVar[tuple[float | None, float | None]]  # lowest and highest value there can be
    dead: ClassVar[float | None]  # the value of a candidate whose carry is dead; None: not measured then

    def accumulator(self, depth: Depth) -> Accumulator:
        """Return a fresh accumulator for one candidate that runs this deep."""


class FileMetric(Protocol):
    """metrics: evidence from files alone (`evidence` FILE)."""

    unit: ClassVar[str]
    direction: ClassVar[Direction]
    evidence: ClassVar[Evidence]
    per_probe: ClassVar[bool]
    floored: ClassVar[bool]
    limits: ClassVar[tuple[float | None, float | None]]

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the value; raises NotMeasured with the reason when there is none."""


class DeviceMetric(FileMetric, Protocol):
    """metrics: evidence from a device that ran the model alone (`evidence` DEVICE); `measure` finds it in records."""

    @property
    def device(self) -> str:
        """Return the device, by its name in the policy."""

    @property
    def part(self) -> Part | None:
        """Return what has to be timed; None: nothing."""

    @property
    def memory(self) -> bool:
        """Return whether memory has to be measured."""

    @property
    def fewest_runs(self) -> int:
        """Return with how many runs it can be told at all."""


@runtime_checkable
class StepsMetric(Protocol):
    """metrics: evidence from what a device computes (`evidence` DEVICE): steps of the candidate beside the reference's.

    Every run that it watches is shown to an accumulator of its own, pair by pair, as a trace shows its runs.
    """

    unit: ClassVar[str]
    direction: ClassVar[Direction]
    evidence: ClassVar[Evidence]
    per_probe: ClassVar[bool]
    floored: ClassVar[bool]
    limits: ClassVar[tuple[float | None, float | None]]
    watches: ClassVar[tuple[Ran, ...]]

    @property
    def device(self) -> str:
        """Return the device, by its name in the policy."""

    @property
    def steps_wanted(self) -> StepsWanted:
        """Return what the device has to compute."""

    def accumulator(self, depth: Depth) -> Accumulator:
        """Return a fresh accumulator for one run of a candidate that runs this deep."""

    def measured(self, found: Mapping[Ran, Measured], told: DeviceSteps, candidate: ModelRecord) -> Measured:
        """Return the value.

        Args:
            found: what the accumulators came to; a run that there could not be is missing.
            told: what the device computed.
            candidate: the candidate.

        Raises:
            NotMeasured: there is no value, with the reason.
        """


# ---------------------------------------------------------------- analysis


class Subject(Protocol):
    """What a lint rule may look at; nothing runs, and weights are read only through `weights`."""

    @property
    def name(self) -> str:
        """Return the candidate's id, or the file's name."""

    @property
    def facts(self) -> ModelFacts:
        """Return what the file holds."""

    @property
    def depth(self) -> Depth | None:
        """Return the depth as the policy, the command line or the file says."""

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what says that it is compressed: its recipe, its name, the policy; as written."""

    @property
    def weights(self) -> Weights | None:
        """Return its weights; None where the format has none to show."""

    @property
    def graph(self) -> StepGraph | None:
        """Return the step graph that it is; None for what holds tensors only."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """Return the device classes that it is meant for."""

    @property
    def reference(self) -> Subject | None:
        """Return what it is held against."""

    def grid(self, name: str) -> Grid | None:
        """Return what a tensor's integers and scales come to, counted once; None for floats and code books."""


class LintRule(Protocol):
    """analysis.rules: one known mistake. Fields are thresholds (the policy's `lint: {options: {CODE: ...}}`).

    Its docstring's first line says what it looks for, in one sentence; the rest is its documentation: what exactly is
    compared, when it is wrong to complain, and the source.
    """

    code: ClassVar[str]  # "FG201"; never reused
    title: ClassVar[str]  # "per-tensor-low-bits"
    severity: ClassVar[Severity]  # unless the policy says otherwise; follows the evidence in docs/results.md
    why: ClassVar[str]  # why it matters, with the measured effect where there is one; one or two sentences
    fix: ClassVar[str]  # how to mend it; one sentence
    needs: ClassVar[tuple[Need, ...]]  # the rule is skipped, by name, where one is missing

    def check(self, subject: Subject) -> Iterable[Found]:
        """Yield every place where the mistake is, in the file's order. Raises ModelRefused for unreadable weights."""


# ---------------------------------------------------------------- devices


class Device(Protocol):
    """devices: who runs a model, and says how long it takes. The fields are options of a policy's `devices:` entry.

    Two more class variables may be there. `runs_graphs = True`: it runs step graphs alone, and takes
    `Workload.graph`. `gives = frozenset({"seconds", ...})`: what its runs hold, of "seconds", "memory", "profile"; a
    policy whose check needs anything else of it is refused. Without it, nothing is known, and nothing refused.
    """

    units: ClassVar[Mapping[str, str]]  # option -> unit, of options that a policy writes as quantities: "20 %"

    def describe(self) -> Options:
        """Return what it runs on, sorted by name, without running anything."""

    def run(self, workload: Workload) -> DeviceRun:
        """Run one model; `device` and `plug` of the answer are filled in by whoever asks.

        Raises:
            Refused: the model cannot be run here.
            Undecided: the device cannot say: out of time, out of memory, not there.
        """


@runtime_checkable
class InferringDevice(Device, Protocol):
    """A device that also gives back what it computes. It runs the step graph alone, never the recursion around it."""

    def infer(
        self, workload: Workload, feeds: Mapping[str, Sequence[NDArray[Any]]], outputs: Sequence[str]
    ) -> DeviceInference:
        """Run the workload's step graph once an entry, every entry on its own.

        Args:
            workload: the step graph, by the digest of its file; nothing of it is timed or weighed.
            feeds: input of the graph -> its array in every entry, E of them, all of one shape and element type. Every
                input of the graph is fed.
            outputs: the outputs that are wanted, by their names in the graph; others may come back, and are ignored.

        Returns:
            At least these outputs, each with E arrays. Whoever asks checks names, numbers, shapes, types and values.

        Raises:
            Refused: the model cannot be run here.
            Undecided: the device cannot say, or what answered is not what was asked: another device, another file.
        """


# ---------------------------------------------------------------- doors


class Progress(Protocol):
    """How a long stage tells a door how far it is."""

    def start(self, label: str, total: int) -> None:
        """Begin a stage of `total` units."""

    def advance(self, count: int) -> None:
        """Say that `count` more units are done."""

    def done(self) -> None:
        """End the stage, whether it was completed or not."""


# ---------------------------------------------------------------- reports


@runtime_checkable
class Reporter(Protocol):
    """reports: a report record -> text. Decides nothing."""

    suffix: ClassVar[str]  # of the file written when only a folder is given: ".xml"

    def render(self, report: Report) -> str:
        """Return the whole text."""


@runtime_checkable
class ComparisonReporter(Protocol):
    """reports.comparison: a comparison record -> text. Decides nothing."""

    suffix: ClassVar[str]

    def render(self, comparison: Comparison) -> str:
        """Return the whole text."""


@runtime_checkable
class LintReporter(Protocol):
    """reports.lint: a lint report record -> text. Decides nothing."""

    suffix: ClassVar[str]

    def render(self, report: LintReport) -> str:
        """Return the whole text."""
