"""Aligned pairs of states, and the numbers that several metrics want of them, each computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate import arrays

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from fidelity_gate.arrays import Numbers
    from fidelity_gate.records import Probes, StepState


class Side:
    """One model right after one step; what is derived from its state is kept as long as the state itself.

    A reference's side is shared by all its candidates, so its norms are computed once however many there are.
    """

    __slots__ = ("_kept", "before", "state", "step")

    def __init__(self, state: StepState, step: int, before: Side | None = None) -> None:
        self.state = state
        self.step = step
        self.before = before
        if before is not None:
            before.before = None  # two states are alive, never a chain of them
        self._kept: dict[tuple[str, str], NDArray[Any]] = {}

    def squares(self, stream: str) -> Numbers:
        """Return the squared norm of every token: (B, L)."""
        carry = self.state.carry[stream]
        return self._once("squares", stream, lambda: arrays.token_products(carry, carry))

    def norms(self, stream: str) -> Numbers:
        """Return the norm of every probe's stream: (B,)."""
        return self._once("norms", stream, lambda: np.sqrt(self.squares(stream).sum(axis=1)))

    def largest(self, stream: str) -> Numbers:
        """Return the largest absolute value of every probe's stream: (B,)."""
        return self._once("largest", stream, lambda: arrays.largest_magnitudes(self.state.carry[stream]))

    def turned(self, stream: str) -> Numbers:
        """Return the mean token cosine between the state one step earlier and this one: (B,)."""
        return self._once("turned", stream, lambda: _turn(self, stream))

    def answers(self) -> NDArray[np.int64]:
        """Return the decoded answers: (B, S)."""
        return self._once("answers", "", lambda: arrays.choices(_there(self.state.logits)))

    def halting(self) -> Numbers:
        """Return the halting logits: (B, 2), halt and continue."""
        return self._once("halting", "", lambda: arrays.host64(_there(self.state.halt)))

    def _once(self, what: str, stream: str, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        key = (what, stream)
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]


class AlignedPair:
    """The reference and one candidate after the same ACT step (or after their own last steps)."""

    __slots__ = ("_cosines", "aligned", "batch", "candidate", "first_probe", "last", "reference", "step")

    def __init__(self, reference: Side, candidate: Side, batch: Probes, first_probe: int, *, last: bool) -> None:
        self.reference = reference
        self.candidate = candidate
        self.batch = batch
        self.first_probe = first_probe
        self.step = candidate.step
        self.last = last
        self.aligned = reference.step == candidate.step
        self._cosines: dict[str, Numbers] = {}

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the names of the carry's streams, in the model's order."""
        return tuple(self.reference.state.carry)

    def cosines(self, stream: str) -> Numbers:
        """Return the cosine of every token of `stream` between the two models: (B, L)."""
        if stream not in self._cosines:
            ours, theirs = self.reference.state.carry[stream], self.candidate.state.carry[stream]
            products = arrays.token_products(ours, theirs)
            self._cosines[stream] = arrays.token_cosines(
                products, self.reference.squares(stream), self.candidate.squares(stream)
            )
        return self._cosines[stream]


def _turn(side: Side, stream: str) -> Numbers:
    earlier = _there(side.before)
    products = arrays.token_products(earlier.state.carry[stream], side.state.carry[stream])
    cosines = arrays.token_cosines(products, earlier.squares(stream), side.squares(stream))
    return np.asarray(cosines.mean(axis=1))


def _there(value: Any) -> Any:  # noqa: ANN401
    if value is None:
        raise LookupError("asked of a state that does not have it")
    return value
