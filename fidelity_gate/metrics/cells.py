"""Decoded cells of a batch: the span that counts, the labels, and what copying the input would score."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.errors import NotMeasured
from fidelity_gate.lazy import Postponed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.protocols import Pair, Side
    from fidelity_gate.records import Probes

    Cells: TypeAlias = NDArray[np.int64]
    Mask: TypeAlias = NDArray[np.bool_]
else:
    np = Postponed("numpy")


NO_LOGITS = "the models have no logits to decode an answer from"


def decoded(pair: Pair) -> bool:
    """Return whether both models give an answer at this step; some give one after their last step only."""
    return pair.reference.state.logits is not None and pair.candidate.state.logits is not None


def answers(side: Side, batch: Probes) -> Cells:
    """Return the decoded cells of the span that the answer is in: (B, S'). The side must have logits.

    Raises:
        NotMeasured: the model has fewer cells than the span needs.
    """
    decoded = side.answers()
    cells = decoded.reshape(len(decoded), -1)
    start, stop = batch.answer_slice or (0, cells.shape[1])
    if stop > cells.shape[1]:
        raise NotMeasured(f"the answer is in tokens {start} to {stop - 1}, and the model has {cells.shape[1]}")
    return cells[:, start:stop]


def labelled(batch: Probes) -> tuple[Cells, Mask]:
    """Return the labels (B, S') and which of them count (B, S').

    Raises:
        NotMeasured: there are no labels, or a probe has none that counts.
    """
    if batch.labels is None:
        raise NotMeasured("the inputs have no labels")
    labels = batch.labels.astype(np.int64)
    return labels, np.asarray(labels != batch.ignore_label)


def answering(batch: Probes, shape: tuple[int, ...]) -> Mask:
    """Return which decoded cells are answers (B, S'): all, or those whose label is not the one to ignore."""
    if batch.labels is None or batch.labels.shape != shape:
        return np.ones(shape, dtype=np.bool_)
    return labelled(batch)[1]


def right(side: Side, batch: Probes) -> Mask:
    """Return which decoded cells equal their labels: (B, S'). Raises NotMeasured when they do not line up."""
    labels, _ = labelled(batch)
    cells = answers(side, batch)
    if cells.shape != labels.shape:
        what = f"the model decodes {cells.shape[1]} cells a probe, and there are {labels.shape[1]} labels"
        raise NotMeasured(what)
    return np.asarray(cells == labels)


def given(batch: Probes) -> Cells:
    """Return the input tokens of the span that the answer is in: (B, S')."""
    start, stop = batch.answer_slice or (0, batch.inputs.shape[1])
    return np.asarray(batch.inputs[:, start:stop], dtype=np.int64)


def shares(hits: Mask, counted: Mask, pair: Pair, what: str) -> NDArray[np.float64]:
    """Return every probe's share of counted cells that are hits: two (B, S') -> (B,).

    Raises:
        NotMeasured: a probe has no cell that counts.
    """
    totals = counted.sum(axis=1)
    if not totals.all():
        probe = pair.first_probe + int(np.argmin(totals))
        raise NotMeasured(f"probe {probe} has no {what}")
    return np.asarray((hits & counted).sum(axis=1) / totals)
