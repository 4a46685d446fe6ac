"""Which axis of an input counts probes: declared, told by the names of sizes, or by sizes where only one fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.models.onnx_plan import Slot
    from fidelity_gate.records import Dimension, GraphValue, StepGraph


def axis_of_input(value: GraphValue, graph: StepGraph, axes: Mapping[str, int], *, exported: bool) -> int:
    """Return the axis of the input that probes are fed to.

    Args:
        value: the input.
        graph: whose states are paired.
        axes: what the policy says, by name.
        exported: whether the graph is an export of ours, which always has probes first.

    Returns:
        What is declared; else the one axis whose size has a name that every float state has a size of too (`batch` of
        x (1, batch, 40) and h (2, batch, 64)); else the first.
    """
    if value.name in axes:
        return axes[value.name]
    if exported:
        return 0
    states = {pair.input for pair in graph.states}
    shapes = [state.shape or () for state in graph.inputs if state.name in states and "float" in state.dtype]
    shared = [
        place
        for place, size in enumerate(value.shape or ())
        if isinstance(size, str) and shapes and all(size in shape for shape in shapes)
    ]
    return shared[0] if len(shared) == 1 else 0


def axis_of_state(value: GraphValue, fed: Slot, axes: Mapping[str, int], where: str, *, exported: bool) -> int:
    """Return the axis of a state.

    Args:
        value: the state input.
        fed: the input that probes are fed to, with its own axis.
        axes: what the policy says, by name; under "" what holds for all states.
        where: the file, for errors.
        exported: whether the graph is an export of ours.

    Raises:
        ModelRefused: several axes could count probes, or none.
    """
    declared = axes.get(value.name, axes.get(""))
    if declared is not None or exported:
        return declared or 0
    batch, shape = fed.shape[fed.axis or 0], value.shape or ()
    found = _fitting(batch, shape)
    if batch == 1 and found:
        return found[0]  # axes of size 1 lie alike whichever of them counts the one probe
    if len(found) == 1:
        return found[0]
    sizes = "x".join(str(size or "?") for size in shape)
    which = "several axes" if found else "no axis"
    what = f"{which} of {sizes} could count probes, of which {fed.name} has {batch or '?'}"
    raise ModelRefused(what, where=where, field=value.name, hint=f"say which: batch_axis: {{{value.name}: 0}}")


def _fitting(batch: Dimension, shape: tuple[Dimension, ...]) -> list[int]:
    """Return the axes that could count probes; values come last, so the last axis only where its size has the name."""
    named = [place for place, size in enumerate(shape) if isinstance(batch, str) and size == batch]
    same = [place for place, size in enumerate(shape[:-1]) if isinstance(batch, int) and size == batch]
    unknown = [place for place, size in enumerate(shape[:-1]) if not isinstance(size, int)]
    return named or same or unknown
