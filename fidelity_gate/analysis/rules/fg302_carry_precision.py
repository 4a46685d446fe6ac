"""FG302: a carry is stored in fewer bits than it is said to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._carry import bits_of
from fidelity_gate.analysis.rules._common import sizes
from fidelity_gate.analysis.rules._matrices import matrices
from fidelity_gate.graphs.step_metadata import INITIAL
from fidelity_gate.records import Found, Location, LocationKind, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphValue, StepGraph

_FLOAT32 = "float32"


@dataclass(frozen=True, slots=True)
class CarryPrecision:
    """Looks for state inputs of fewer bits than the reference, or the file's own metadata, says that the carry has.

    The stated precision of a state is that of the state input of the same name in the reference's graph; float32 for a
    reference whose block is stored in float32; else what `fidelity_gate.initial.NAME` in the metadata says. One finding
    for every state. A state that a host rounds between two steps is not seen here, because the graph does not know.

    It is a warning: the zoo's models keep a fidelity of 0.9986 to 1.0000 with everything in float16. What float16
    cannot hold are carries that grow without a norm: one model's went from 8 to 220 over its recursion, and squares
    above 65,504 are infinite.
    """

    code: ClassVar[str] = "FG302"
    title: ClassVar[str] = "carry-precision"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "The carry is the only thing that lives from step to step, so that its rounding adds up over the whole "
        "recursion; the footprint of the paper counts it in float32."
    )
    fix: ClassVar[str] = (
        "Keep the state inputs and outputs in float32 (onnxruntime's converter: keep_io_types=True, then "
        "topological_sort), or state the lower precision."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.STATES,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every state input."""
        if subject.graph is None:
            return
        states = {pair.input for pair in subject.graph.states}
        for value in subject.graph.inputs:
            told, who = _stated(subject, subject.graph, value)
            if value.name in states and value.dtype and bits_of(value.dtype) < bits_of(told or value.dtype):
                place = Location(LocationKind.INPUT, value.name, f"{value.dtype} {sizes(value.shape or ())}")
                figures = (("bits", bits_of(value.dtype)), ("stated_bits", bits_of(told)))
                yield Found(place, f"the carry is {value.dtype}, and {who} says {told}", figures)


def _stated(subject: Subject, graph: StepGraph, value: GraphValue) -> tuple[str, str]:
    """Return what a state should be stored as, and who says so; "" where nobody does."""
    reference = subject.reference
    if reference is not None and reference.graph is not None:
        told = next((other.dtype for other in reference.graph.inputs if other.name == value.name), "")
        if told:
            return told, "the reference"
    elif reference is not None and _all_float32(reference):
        return _FLOAT32, "the reference"
    return _told_by(graph.metadata.get(INITIAL + value.name, "")), f"its metadata ({INITIAL}{value.name})"


def _all_float32(reference: Subject) -> bool:
    block = matrices(reference, Role.BLOCK)
    return bool(block) and all(tensor.stored_as == _FLOAT32 for tensor in block)


def _told_by(text: str) -> str:
    try:
        told = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return ""  # opening the file speaks of metadata that cannot be read
    dtype = told.get("dtype", "") if isinstance(told, dict) else ""
    return dtype if isinstance(dtype, str) else ""
