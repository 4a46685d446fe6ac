"""How a step graph is run: what is fed where, what is fed back, and how many probes a run takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.step_metadata import Unit

if TYPE_CHECKING:
    from fidelity_gate.records import Depth, Dimension

Number: TypeAlias = int | float | bool

FLOATS = ("float16", "float32", "float64")
TOKEN_TYPES = ("int32", "int64")


@dataclass(frozen=True, slots=True)
class Slot:
    """An input of the graph.

    Attributes:
        name: of the input.
        dtype: of its elements.
        shape: as the file declares it.
        axis: which axis counts probes; None where none does.
    """

    name: str
    dtype: str
    shape: tuple[Dimension, ...]
    axis: int | None

    def sized(self, rows: int) -> tuple[Dimension, ...]:
        """Return the shape for a run of `rows` probes; sizes that the file leaves open stay as they are."""
        return tuple(rows if place == self.axis else size for place, size in enumerate(self.shape))

    @property
    def of_a_probe(self) -> tuple[Dimension, ...]:
        """Return the shape without the axis that counts probes."""
        return tuple(size for place, size in enumerate(self.shape) if place != self.axis)


@dataclass(frozen=True, slots=True)
class State:
    """A state: where it enters, where it leaves, and what it is called.

    Integer states (counters, positions) are fed back as they are; metrics compare floats only. A state that only keeps
    what was fed, such as the last samples, is the same in every model.
    """

    stream: str
    slot: Slot
    output: str
    only_keeps: bool = False

    @property
    def axis(self) -> int:
        """Return which axis counts probes."""
        return self.slot.axis or 0

    @property
    def compared(self) -> bool:
        """Return whether it is a stream of the carry."""
        return self.slot.dtype in FLOATS


@dataclass(frozen=True, slots=True, eq=False)
class StepPlan:
    """How a step graph is run.

    Attributes:
        states: in the order of the graph's inputs.
        fed: the input that tokens or frames are fed to.
        identifiers: the input that puzzle identifiers are fed to.
        constants: other inputs, and what each is filled with.
        logits: the output that answers are decoded from; "" for none.
        halt: the output with the halting logits; "" for none.
        head_axes: head -> which axis of it counts probes.
        halt_required: whether the policy names the halting output, so that another shape than (B, 2) is an error.
        threshold: of logits with one value an answer.
        rows: probes of a run; 0 for any number.
        unit: what one run is; None where nobody says.
        inside: the depth that the graph says it has; None where it says none.
    """

    states: tuple[State, ...]
    fed: Slot
    identifiers: Slot | None
    constants: tuple[tuple[Slot, Number], ...]
    logits: str
    halt: str
    head_axes: Mapping[str, int]
    halt_required: bool
    threshold: float | None
    rows: int
    unit: Unit | None
    inside: Depth | None

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the names of the carry's streams; metrics look at the first, so what only keeps comes last."""
        ordered = sorted(self.states, key=lambda state: state.only_keeps)
        return tuple(state.stream for state in ordered if state.compared)

    def runs(self, depth: Depth) -> int:
        """Return how many runs make one ACT step.

        Raises:
            ModelRefused: the graph holds other cycles than `depth` says, or nobody says what one run is.
        """
        if self.unit is None:
            if depth.h_cycles == 1:
                return 1
            hint = f"h_cycles: 1, or model: {{unit: {Unit.H_CYCLE}}} or {{unit: {Unit.ACT_STEP}}}"
            what = f"nothing says whether one run is an H-cycle or a step, and the depth is {depth}"
            raise ModelRefused(what, field="recursion", hint=hint)
        whole = self.unit is Unit.ACT_STEP
        if self.inside is not None:
            told, asked = ((one.h_cycles if whole else 0, one.l_cycles) for one in (self.inside, depth))
            if told != asked:
                what = f"the graph holds the cycles of {self.inside}, and is run at {depth}"
                raise ModelRefused(what, field="recursion", hint="cycles inside a graph cannot be changed")
        return 1 if whole else depth.h_cycles


def shown_shape(shape: tuple[Dimension, ...] | None) -> str:
    """Return a shape as people write it; `?` for what is not known."""
    return "unknown" if shape is None else "x".join(str(size or "?") for size in shape) or "scalar"
