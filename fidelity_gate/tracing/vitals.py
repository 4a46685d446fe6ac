"""Watches one model through all batches for signs that there is nothing to compare: NaN, silence, standing still."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate import arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fidelity_gate.records import Probes, Tensor
    from fidelity_gate.tracing.pairs import Side

# Final carries that differ by less, relative to their largest value, are equal but for rounding: rows of one batch may
# be summed in different orders.
ROUNDING = 1e-6


@dataclass(slots=True, eq=False)
class _Stream:
    """What is known of one stream so far."""

    compared: bool = False  # two steps of one run were there to be compared
    moved: bool = False
    contrasted: bool = False  # two different inputs were there to be contrasted
    depends: bool = False
    zero_tokens: int = 0
    first: Tensor | None = None  # (1, L, D): the final carry of the first probe


@dataclass(slots=True, eq=False)
class Vitals:
    """The vital signs of one model; keeps one probe's final carry, whatever the number of probes and steps."""

    streams: tuple[str, ...]
    _known: dict[str, _Stream] = field(init=False)
    _first_input: NDArray[Any] | None = field(init=False, default=None)  # what the first probe's run was given

    def __post_init__(self) -> None:
        """Start with nothing known."""
        self._known = {stream: _Stream() for stream in self.streams}

    def watch(self, side: Side, batch: Probes, first_probe: int, *, last: bool) -> str:
        """Take note of one state.

        Args:
            side: the model after a step.
            batch: the probes it runs on.
            first_probe: row of the batch's first probe.
            last: whether this is the model's last step.

        Returns:
            Why the state cannot be used ("z_H is not finite at step 3 for probe 17"), or nothing.
        """
        trouble = not_finite(side, first_probe)
        if trouble:
            return trouble
        for stream in self.streams:
            self._known[stream].zero_tokens += int((side.squares(stream) == 0).sum())
            self._watch_motion(side, stream)
        if last:
            self._watch_dependence(side, batch)
        return ""

    def fault(self) -> str:
        """Return why the trajectory is dead, in words, or nothing."""
        for stream, known in self._known.items():
            if known.compared and not known.moved:
                return f"the carry {stream} never moves: it is the same after every step"
            if known.contrasted and not known.depends:
                return f"the carry {stream} ignores the input: it ends the same for every probe"
        return ""

    def note(self) -> str:
        """Return what a reader of fidelities should know, or nothing."""
        zeros = {stream: known.zero_tokens for stream, known in self._known.items() if known.zero_tokens}
        told = ", ".join(f"{count} of {stream}" for stream, count in zeros.items())
        return f"token vectors that are all zero count as cosine 0 ({told})" if told else ""

    def _watch_motion(self, side: Side, stream: str) -> None:
        known = self._known[stream]
        if known.moved or side.before is None:
            return
        known.compared = True
        known.moved = not arrays.same_bits(side.before.state.carry[stream], side.state.carry[stream])

    def _watch_dependence(self, side: Side, batch: Probes) -> None:
        given = _given(batch, side.step)
        if self._first_input is None:
            self._first_input = given[0]
            for stream in self.streams:
                self._known[stream].first = arrays.kept(side.state.carry[stream][:1])
        others = (given != self._first_input).any(axis=1)
        if not others.any():
            return
        for stream, known in self._known.items():
            known.contrasted = True
            if not known.depends:
                gaps = arrays.gap_to_row(side.state.carry[stream], known.first)
                known.depends = bool((gaps[others] > ROUNDING).any())


def _given(batch: Probes, steps: int) -> NDArray[Any]:
    """Return all that the first `steps` steps of every probe were given: (B, S + 1), or (B, values of frames + 1)."""
    if not batch.frames:
        return np.column_stack((batch.inputs, batch.identifiers)).astype(np.int64)
    return np.column_stack((batch.inputs[:, :steps].reshape(len(batch), -1), batch.identifiers))


def zero_token(side: Side, first_probe: int) -> str:
    """Return where a token vector is all zero ("z_H is all zero at step 3 for probe 17, token 0"), or nothing."""
    for stream in side.state.carry:
        rows, tokens = np.nonzero(side.squares(stream) == 0)
        if len(rows):
            return f"{stream} is all zero at step {side.step} for probe {first_probe + int(rows[0])}, token {tokens[0]}"
    return ""


def not_finite(side: Side, first_probe: int) -> str:
    """Return where a state holds NaN or infinity ("z_H is not finite at step 3 for probe 17"), or nothing."""
    # The squared norms that every cosine needs are finite exactly when the carry is: no pass of its own.
    finite = {stream: np.isfinite(side.squares(stream)).all(axis=1) for stream in side.state.carry}
    if side.state.logits is not None:
        finite["logits"] = arrays.finite_probes(side.state.logits)
    if side.state.halt is not None:
        finite["the halting logits"] = arrays.finite_probes(side.state.halt)
    for what, rows in finite.items():
        if not rows.all():
            probe = first_probe + int(np.argmin(rows))
            return f"{what} {'are' if what.endswith('s') else 'is'} not finite at step {side.step} for probe {probe}"
    return ""
