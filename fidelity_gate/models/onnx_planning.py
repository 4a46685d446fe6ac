"""A step graph and what is said of it -> how it is run, or one line about what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate import registry
from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.states import NO_STATE
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.models.onnx_axes import axis_of_input, axis_of_state
from fidelity_gate.models.onnx_options import BY_NAME
from fidelity_gate.models.onnx_plan import FLOATS, TOKEN_TYPES, Slot, State, StepPlan, shown_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.graphs.step_metadata import StepMetadata, Unit
    from fidelity_gate.models.onnx_options import StepOptions
    from fidelity_gate.models.onnx_plan import Number
    from fidelity_gate.records import GraphValue, StepGraph

INPUTS = ("input", "input_ids", "inputs", "tokens", "x")
IDENTIFIERS = ("identifiers", "puzzle_identifier", "puzzle_identifiers")
LOGITS, HALTS = ("logits",), ("halt", "q_halt")
FED_BACK = (*FLOATS, "bool", "int8", "int16", "int32", "int64", "uint8")  # what numpy can hold
_LEAST_AXES = 2  # of a state: probes, values
_MOST_NAMED = 3


def plan_of(graph: StepGraph, options: StepOptions, told: StepMetadata | None, where: str) -> StepPlan:
    """Return how a graph is run.

    Args:
        graph: with its states paired.
        options: what the policy says.
        told: what the graph's metadata says.
        where: the file, for errors.

    Raises:
        ModelRefused: no state, an input that nobody feeds, a state that cannot be fed back, or a name missing.
    """
    return _Planner(graph, options, told, where).plan()


@dataclass(frozen=True, slots=True, eq=False)
class _Planner:
    graph: StepGraph
    options: StepOptions
    told: StepMetadata | None
    where: str

    def plan(self) -> StepPlan:
        options = self.options
        inputs = {value.name: value for value in self.graph.inputs}
        self._refuse_names(inputs)
        identifiers = self._identifiers(inputs)
        fed_value = self._fed(inputs, identifiers)
        fed = self._slot(fed_value, axis_of_input(fed_value, self.graph, options.axes, exported=self._exported))
        others = None if identifiers is None else self._slot(inputs[identifiers], 0)
        states = self._states(inputs, fed)
        logits, halt = (
            self._head(chosen, names) for chosen, names in ((options.logits, LOGITS), (options.halt, HALTS))
        )
        return StepPlan(
            states=states,
            fed=fed,
            identifiers=others,
            constants=tuple(
                (self._constant(inputs[name], value, fed), value) for name, value in sorted(options.constants.items())
            ),
            logits=logits,
            halt=halt,
            head_axes={name: options.axes.get(name, 0) for name in (logits, halt)},
            halt_required=options.halt != BY_NAME and bool(halt),
            threshold=options.threshold,
            rows=self._rows(fed, others, states),
            unit=self._unit(),
            inside=self.told.depth if self.told else None,
        )

    @property
    def _exported(self) -> bool:
        return self.told is not None

    # ------------------------------------------------------------ inputs

    def _refuse_names(self, inputs: Mapping[str, GraphValue]) -> None:
        outputs = {value.name: value for value in self.graph.outputs}
        both = {**inputs, **outputs}
        named = [("input", name) for name in (self.options.input,) if name]
        named += [("identifiers", name) for name in (self.options.identifiers,) if name]
        named += [(f"constants.{name}", name) for name in self.options.constants]
        for field, name in named:
            if name not in inputs:
                raise self._unknown(name, inputs, "has no input", field)
        for name in self.options.axes:
            if name and name not in both:
                raise self._unknown(name, both, "has no input or output", f"batch_axis.{name}")

    def _identifiers(self, inputs: Mapping[str, GraphValue]) -> str | None:
        if self.options.identifiers:
            return self.options.identifiers
        taken = {self.options.input, *self.options.constants}
        usual = [name for name in IDENTIFIERS if name in inputs and name not in taken]
        return usual[0] if usual and inputs[usual[0]].dtype in TOKEN_TYPES else None

    def _fed(self, inputs: Mapping[str, GraphValue], identifiers: str | None) -> GraphValue:
        """Return the input that probes are fed to: the one that is named, or the one that is left."""
        states = {pair.input for pair in self.graph.states}
        taken = {*states, *self.options.constants, identifiers}
        left = [name for name in inputs if name not in taken]
        usual = [name for name in left if name in INPUTS] if len(left) > 1 else left
        chosen = self.options.input or (usual[0] if len(usual) == 1 else "")
        unfed = [name for name in left if name != chosen]
        if self.options.input and self.options.input in taken:
            raise ModelRefused("is a state, a constant or the identifiers", where=self.where, field=self.options.input)
        if unfed:
            what = f"nothing feeds the input{'s' if len(unfed) > 1 else ''} {_some(unfed)}"
            doubt = next(iter(self.graph.state_doubts), "")
            hint = doubt or f"say which: state: {{{unfed[0]}: OUTPUT}}, input: {unfed[0]}, or constants"
            raise ModelRefused(what, where=self.where, field="model", hint=hint)
        if not chosen:
            hint = "its result would not depend on any puzzle"
            raise ModelRefused("has no input that probes could be fed to", where=self.where, field="input", hint=hint)
        return inputs[chosen]

    def _constant(self, value: GraphValue, number: Number, fed: Slot) -> Slot:
        """Return where a constant goes: an axis named as the one that counts probes is of their number."""
        field = f"constants.{value.name}"
        if any(value.name == pair.input for pair in self.graph.states):
            hint = f"state: {{{value.name}: none}} if it is none"
            raise ModelRefused("is a state, which is fed its own output", where=self.where, field=field, hint=hint)
        if value.name == self.options.identifiers:
            raise ModelRefused("is fed the puzzle identifiers", where=self.where, field=field)
        if value.dtype not in FED_BACK or not _holds(value.dtype, number):
            raise ModelRefused(f"{number} is no {value.dtype or 'tensor'}", where=self.where, field=field)
        batch = fed.shape[fed.axis or 0]
        shape = value.shape or ()
        axis = shape.index(batch) if isinstance(batch, str) and batch in shape else None
        return self._slot(value, axis)

    def _slot(self, value: GraphValue, axis: int | None) -> Slot:
        if value.shape is None:
            raise ModelRefused("has an input of unknown rank", where=self.where, field=value.name)
        if axis is not None and not 0 <= axis < len(value.shape):
            what = f"has no axis {axis}: its shape is {shown_shape(value.shape)}"
            raise ModelRefused(what, where=self.where, field=value.name, hint="batch_axis counts from 0")
        return Slot(value.name, value.dtype, value.shape, axis)

    # ------------------------------------------------------------ states

    def _states(self, inputs: Mapping[str, GraphValue], fed: Slot) -> tuple[State, ...]:
        if not self.graph.states:
            hint = next(iter(self.graph.state_doubts), "") or "say which: state: {INPUT: OUTPUT}"
            raise ModelRefused("no output is known to be fed back", where=self.where, field="state", hint=hint)
        outputs = {value.name: value for value in self.graph.outputs}
        streams, wiring = self._streams(), Wiring(self.graph)
        found = []
        for pair in self.graph.states:
            value = inputs[pair.input]
            self._refuse_unfeedable(value, outputs[pair.output])
            axis = axis_of_state(value, fed, self.options.axes, self.where, exported=self._exported)
            stream, keeps = streams.get(pair.input, pair.input), wiring.only_moved(pair.output)
            found.append(State(stream, self._slot(value, axis), pair.output, keeps))
        if not any(state.compared for state in found):
            raise ModelRefused("has no state of floating point numbers", where=self.where, field="state")
        _refuse_shared([state.stream for state in found], self.where)
        return tuple(found)

    def _streams(self) -> Mapping[str, str]:
        """Return state input -> the name that the policy gives it."""
        known = {name: pair.input for pair in self.graph.states for name in (pair.output, pair.input)}
        named: dict[str, str] = {}
        for stream, name in sorted(self.options.names.items()):
            if name not in known:
                raise self._unknown(name, known, "has no state", f"map.{stream}")
            if known[name] in named:
                what = f"'{name}' already stands for {named[known[name]]}"
                raise ModelRefused(what, where=self.where, field=f"map.{stream}")
            named[known[name]] = stream
        return named

    def _refuse_unfeedable(self, value: GraphValue, output: GraphValue) -> None:
        ours, theirs = value.shape, output.shape
        if value.dtype not in FED_BACK or output.dtype != value.dtype:
            what = f"is {value.dtype or 'of unknown type'}, and {output.name} is {output.dtype or 'of unknown type'}"
            raise ModelRefused(f"{what}: it cannot be fed back", where=self.where, field=value.name)
        unequal = ours is None or theirs is None or len(ours) != len(theirs)
        pairs = () if ours is None or theirs is None or unequal else zip(ours, theirs, strict=True)
        if unequal or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
            what = f"has shape {shown_shape(ours)}, and {output.name} has {shown_shape(theirs)}: it cannot be fed back"
            raise ModelRefused(what, where=self.where, field=value.name)
        if len(ours or ()) < _LEAST_AXES:
            hint = "a state has an axis that counts probes, and one of values"
            what = f"is a state of shape {shown_shape(ours)}"
            raise ModelRefused(what, where=self.where, field=value.name, hint=hint)

    # ------------------------------------------------------------ the rest

    def _head(self, chosen: str | None, usual: tuple[str, ...]) -> str:
        outputs = {value.name: value for value in self.graph.outputs}
        if chosen == BY_NAME:
            return next((name for name in usual if name in outputs), "")
        if chosen == NO_STATE and chosen not in outputs:  # policies have no null
            return ""
        if chosen is not None and chosen not in outputs:
            raise self._unknown(chosen, outputs, "has no output", usual[0])
        return chosen or ""

    def _rows(self, fed: Slot, identifiers: Slot | None, states: tuple[State, ...]) -> int:
        """Return how many probes a run takes; 0 for any number."""
        slots = [fed, *(state.slot for state in states), *([identifiers] if identifiers else [])]
        fixed: dict[int, str] = {}
        for slot in slots:
            size = slot.shape[slot.axis or 0]
            if isinstance(size, int):
                fixed.setdefault(size, slot.name)
        if len(fixed) > 1:
            told = ", ".join(f"{name} takes {size}" for size, name in sorted(fixed.items()))
            what = f"its inputs take different numbers of probes: {told}"
            raise ModelRefused(what, where=self.where, field="batch_axis", hint="say which axis counts probes")
        return next(iter(fixed), 0)

    def _unit(self) -> Unit | None:
        told = self.told.unit if self.told else None
        asked = self.options.unit
        if told and asked and told is not asked:
            what = f"is {asked}, and the file says that one run is one {told}"
            raise ModelRefused(what, where=self.where, field="unit")
        return told or asked

    def _unknown(self, name: str, known: Mapping[str, object], what: str, field: str) -> Exception:
        return registry.unknown(name, known, what=what, where=self.where, field=field, kind=ModelRefused)


def _holds(dtype: str, number: Number) -> bool:
    """Return whether a type holds a number: flags are flags, and whole numbers stay whole and in range."""
    kind = np.dtype(dtype).kind
    if (kind == "b") != isinstance(number, bool) or (kind in "iu" and not isinstance(number, int)):
        return False
    if kind in "iu":
        return bool(np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)
    return kind == "b" or bool(abs(number) <= np.finfo(dtype).max)


def _refuse_shared(streams: list[str], where: str) -> None:
    for stream in streams:
        if streams.count(stream) > 1:
            raise ModelRefused("is the name of two states", where=where, field=f"map.{stream}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
