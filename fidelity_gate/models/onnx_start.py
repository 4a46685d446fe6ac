"""Where the states of a step graph start: as its metadata or the policy says, else at zero; and how they are shaken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate import registry
from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.onnx_beside import is_file
from fidelity_gate.models.onnx_options import ZEROS
from fidelity_gate.models.onnx_plan import shown_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.graphs.reading import OnnxFile
    from fidelity_gate.graphs.step_metadata import StepMetadata
    from fidelity_gate.models.onnx_beside import Beside
    from fidelity_gate.models.onnx_plan import State, StepPlan


class Starts:
    """The initial states of one model."""

    def __init__(self, given: Mapping[str, NDArray[Any]], where: str) -> None:
        """Take state input -> what it starts from, broadcast over probes; states that are not in it start at zero."""
        self._given = given
        self._where = where

    def of(self, state: State, rows: int) -> NDArray[Any]:
        """Return where a state starts for `rows` probes, in the graph's own layout.

        Raises:
            ModelRefused: its size is not known, or what it starts from does not fit.
        """
        shape = state.slot.sized(rows)
        start = self._given.get(state.slot.name)
        sizes = tuple(size for size in shape if isinstance(size, int))
        if len(sizes) < len(shape):
            what = f"has the shape {shown_shape(shape)}, so nobody knows how large it starts"
            raise ModelRefused(what, where=self._where, field=state.slot.name, hint="fix the sizes in the graph")
        if start is None:
            return np.zeros(sizes, state.slot.dtype)
        aligned = _aligned(start, sizes, state.axis)
        if aligned is None:
            what = f"has the shape {shown_shape(shape)}, and starts from {shown_shape(start.shape)}"
            probe = shown_shape(state.slot.of_a_probe)
            hint = f"the state of one probe, {probe}, or one value for each of the last axis"
            raise ModelRefused(what, where=self._where, field=state.slot.name, hint=hint)
        return np.array(np.broadcast_to(aligned, sizes), dtype=state.slot.dtype, order="C")


def starts_of(plan: StepPlan, told: StepMetadata | None, file: OnnxFile, beside: Beside, where: str) -> Starts:
    """Return where the states start: what the policy says of a state, else what the metadata says, else zero.

    Args:
        plan: how the graph runs.
        told: the graph's metadata.
        file: the graph, read.
        beside: what the policy says, with the files that it names.
        where: the graph's path.

    Raises:
        ModelRefused: a name that is not there, or values that are not finite or of another type than the state.
    """
    types = {state.slot.name: state.slot.dtype for state in plan.states}
    names = tuple(types)
    said = beside.initial
    for name in said:
        if name and name not in names:
            what, field = "has no state", f"initial.{name}"
            raise registry.unknown(name, names, what=what, where=where, field=field, kind=ModelRefused)
    common = said.get("", ZEROS)
    if len(names) > 1 and common != ZEROS and not is_file(common):
        hint = f"initial: {{{names[0]}: {common}}}"
        raise ModelRefused("does not say of which state", where=where, field="initial", hint=hint)
    given: dict[str, NDArray[Any]] = dict(told.initial) if told else {}
    for name in names:
        source = said.get(name, said.get("", ""))
        if source == ZEROS:
            given.pop(name, None)
        elif source:
            given[name] = _read(source, name, file, beside, where)
            _refuse_unfit(given[name], name, types[name], where)
    _refuse_more(beside, names)
    return Starts({name: array for name, array in given.items() if name in names}, where)


def _read(source: str, name: str, file: OnnxFile, beside: Beside, where: str) -> NDArray[Any]:
    if not is_file(source):
        if source not in file.contents:
            known = (*file.contents, ZEROS)
            field = f"initial.{name}"
            raise registry.unknown(source, known, what="has no constant", where=where, field=field, kind=ModelRefused)
        return file.contents[source].values(where)
    tensors = beside.tensors[source]
    if name not in tensors:
        raise registry.unknown(name, tensors, what="holds no tensor", where=source, kind=ModelRefused)
    return tensors[name]


def _refuse_unfit(array: NDArray[Any], name: str, dtype: str, where: str) -> None:
    """Refuse values of another type than the state's, and values that are not finite: nothing is cast."""
    field = f"initial.{name}"
    if array.dtype.name != dtype:
        what = f"starts from {array.dtype.name}, and the state is {dtype}"
        raise ModelRefused(what, where=where, field=field, hint=f"save it as {dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ModelRefused("starts from values that are not finite", where=where, field=field)


def _refuse_more(beside: Beside, names: tuple[str, ...]) -> None:
    """Refuse a file that holds what no state starts from: it was made for another graph, or a name is misspelt."""
    for source, tensors in beside.tensors.items():
        more = next((name for name in tensors if name not in names), "")
        if more:
            raise registry.unknown(
                more, names, what="holds a tensor for the unknown state", where=source, kind=ModelRefused
            )


def _aligned(start: NDArray[Any], sizes: tuple[int, ...], axis: int) -> NDArray[Any] | None:
    """Return a start that broadcasts over probes alone, or over all but the last axis; None where it fits neither."""
    of_a_probe = sizes[:axis] + sizes[axis + 1 :]
    if start.shape == of_a_probe:
        return np.expand_dims(start, axis)
    alike = start.ndim == len(sizes) and start.shape[axis] in (1, sizes[axis])
    if alike and start.shape[:axis] + start.shape[axis + 1 :] == of_a_probe:
        return start
    return start if axis < len(sizes) - 1 and start.shape == sizes[-1:] else None


def shaken(tokens: NDArray[Any], size: float, noise: np.random.Generator) -> NDArray[Any]:
    """Return a state (B, L, D) plus Gaussian noise of `size` times each probe's root mean square.

    A probe whose state is all zero has none to be relative to, and recurrent cells keep their states around one: there
    the noise has the size `size` itself. Without it the noise floor of any model that starts at zero would be perfect.
    """
    level = np.sqrt(np.square(tokens, dtype=np.float64).mean(axis=(1, 2), keepdims=True))
    normal = noise.standard_normal(tokens.shape)
    return np.asarray(tokens + size * np.where(level > 0, level, 1.0) * normal, dtype=tokens.dtype)
