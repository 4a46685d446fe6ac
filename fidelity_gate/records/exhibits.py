"""Exhibits: a few probes with the answers of both models, to be looked at. Nothing is ever judged by them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One probe, what the reference answers and what a candidate answers, both after their last step.

    Attributes:
        candidate: its name in the policy.
        probe: the row of the inputs, from 0.
        grid: rows and columns that `inputs` is laid out in; one row where a probe is no grid.
        inputs: its tokens.
        reference: the reference's answer: decoded cells of the tokens from `start` on.
        answer: the candidate's answer, as long as the reference's.
        start: the token that the answers begin at.
        labels: the right answer, None where a cell does not count; empty where the inputs have no labels.
        fidelity: mean token cosine of the first stream at the last step; None where it is not finite.
        symbols: how tokens are shown, by token; a token beyond them is shown as its number.
    """

    candidate: str
    probe: int
    grid: tuple[int, int]
    inputs: tuple[int, ...]
    reference: tuple[int, ...]
    answer: tuple[int, ...]
    start: int = 0
    labels: tuple[int | None, ...] = ()
    fidelity: float | None = None
    symbols: tuple[str, ...] = ()

    @property
    def counted(self) -> tuple[bool, ...]:
        """Return which cells of the answers are answers: all, or those with a label that counts."""
        if len(self.labels) != len(self.reference):
            return (True,) * len(self.reference)
        return tuple(label is not None for label in self.labels)

    @property
    def differing(self) -> tuple[int, ...]:
        """Return the cells, from 0, in which the candidate says something else than the reference."""
        cells = zip(self.reference, self.answer, self.counted, strict=False)
        return tuple(cell for cell, (ours, theirs, counts) in enumerate(cells) if counts and ours != theirs)
