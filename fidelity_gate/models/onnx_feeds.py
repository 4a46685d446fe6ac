"""Probes -> the arrays that a step graph is fed besides its states: tokens once, or another frame at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import InputsRefused, ModelRefused
from fidelity_gate.models.onnx_plan import FLOATS, TOKEN_TYPES, shown_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.models.onnx_plan import Slot, StepPlan
    from fidelity_gate.models.onnx_session import Session
    from fidelity_gate.records import Depth, Probes

    Feeds = Mapping[str, NDArray[Any]]


class Embedding:
    """The graph that makes the step graph's input of tokens; run once a probe."""

    def __init__(self, session: Session, inputs: Mapping[str, str], output: str) -> None:
        """Take the session, input -> element type, and the output that the step graph takes."""
        self._session = session
        self._inputs = inputs
        self._output = output

    def run(self, tokens: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return what the step graph is fed; (B, L, D)."""
        given = {name: tokens[name].astype(dtype, copy=False) for name, dtype in self._inputs.items()}
        return self._session.run([self._output], given)[0]


class Feeder:
    """Feeds one run of the graph after the other, for the probes of one batch."""

    def __init__(self, plan: StepPlan, embedding: Embedding | None, batch: Probes, depth: Depth) -> None:
        """Check that the graph can be fed with these probes.

        Raises:
            InputsRefused: frames for tokens or the reverse, of another shape, or fewer frames than steps.
            ModelRefused: frames for a graph of several cycles, or an input of a type that nothing feeds.
        """
        self._plan, self._embedding, self._batch = plan, embedding, batch
        if batch.frames:
            self._check_frames(depth)
        else:
            self._check_tokens()

    def constant(self, rows: NDArray[np.intp]) -> Feeds:
        """Return what is the same at every step, for these rows of the batch."""
        plan = self._plan
        feeds = {slot.name: _filled(slot, len(rows), value) for slot, value in plan.constants}
        if plan.identifiers is not None:
            feeds[plan.identifiers.name] = self._batch.identifiers[rows].astype(plan.identifiers.dtype, copy=False)
        if self._batch.frames:
            return feeds
        tokens = self._batch.inputs[rows]  # (b, S)
        if self._embedding is None:
            feeds[plan.fed.name] = np.ascontiguousarray(np.moveaxis(tokens, 0, plan.fed.axis or 0), plan.fed.dtype)
        else:
            feeds[plan.fed.name] = self._embedding.run(
                {"inputs": tokens, "puzzle_identifiers": self._batch.identifiers[rows]}
            )
        return feeds

    def changing(self, rows: NDArray[np.intp], step: int) -> Feeds:
        """Return what only this step is fed, counted from 0."""
        if not self._batch.frames:
            return {}
        fed = self._plan.fed
        frame = self._batch.inputs[rows, step]  # (b, ...)
        shaped = frame.reshape(len(rows), *self._frame_shape())
        return {fed.name: np.ascontiguousarray(np.moveaxis(shaped, 0, fed.axis or 0), fed.dtype)}

    # ------------------------------------------------------------ checks

    def _check_tokens(self) -> None:
        fed = self._plan.fed
        if self._embedding is not None:
            return
        if fed.dtype not in TOKEN_TYPES:
            what = f"probes are tokens, and the graph's {fed.name} is {fed.dtype or 'of unknown type'}"
            hint = "model: {embedding: STEP.embed.onnx} names the graph that makes it of tokens; or give frames"
            raise self._refused(what, hint)
        if len(fed.shape) != 2:
            raise self._refused(f"the graph's {fed.name} has the shape {shown_shape(fed.shape)}, not probes x tokens")
        found, wanted = self._batch.inputs.shape[1], fed.of_a_probe[0]
        if isinstance(wanted, int) and wanted != found:
            raise self._refused(f"probes have {found} tokens, the graph takes {wanted}")

    def _check_frames(self, depth: Depth) -> None:
        fed, frames = self._plan.fed, self._batch.inputs.shape[1]
        if self._embedding is not None or fed.dtype not in FLOATS:
            raise self._refused(f"probes are frames, and the graph's {fed.name} takes tokens")
        if self._plan.runs(depth) != 1:
            what = f"a step of {depth.h_cycles} runs has no frame for each"
            raise ModelRefused(what, field="recursion", hint="h_cycles: 1 for a graph that is fed frames")
        if depth.steps > frames:
            raise self._refused(f"probes have {frames} frames, and the recursion {depth.steps} steps")
        self._frame_shape()

    def _frame_shape(self) -> tuple[int, ...]:
        """Return the shape that the graph takes a frame in, probes left out: axes of size 1 may come and go."""
        fed, found = self._plan.fed, self._batch.inputs.shape[2:]
        wanted = fed.of_a_probe
        sizes = tuple(size for size in wanted if isinstance(size, int))
        if len(wanted) == len(found) and all(
            not isinstance(size, int) or size == given for size, given in zip(wanted, found, strict=True)
        ):
            return tuple(found)
        if len(sizes) == len(wanted) and [size for size in sizes if size != 1] == [size for size in found if size != 1]:
            return sizes
        what = f"a frame has the shape {shown_shape(found)}, and the graph's {fed.name} takes {shown_shape(wanted)}"
        raise self._refused(what, f"batch_axis: {{{fed.name}: 0}} says which of its axes counts probes")

    def _refused(self, what: str, hint: str = "") -> InputsRefused:
        return InputsRefused(what, where=self._batch.source, field="inputs", hint=hint)


def _filled(slot: Slot, rows: int, value: float | bool) -> NDArray[Any]:
    """Return a constant input in its shape; raises ModelRefused where a size is not known."""
    shape = slot.sized(rows)
    sizes = tuple(size for size in shape if isinstance(size, int))
    field = f"constants.{slot.name}"
    if len(sizes) < len(shape):
        raise ModelRefused(f"has the shape {shown_shape(shape)}, of which not every size is known", field=field)
    return np.full(sizes, value, slot.dtype)
