"""Probes that may be gated on: whole, different from one another, and made of tokens or frames the model knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np

from fidelity_gate.digests import row_bytes, row_digests
from fidelity_gate.errors import InputsRefused
from fidelity_gate.inputs.frame_arrays import frame_rows
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.inputs.tokens import token_column, token_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fidelity_gate.records import Probes

__all__ = ["check_probes", "overlap", "row_digests", "rows_text", "take"]

_ROWS_NAMED = 5


def check_probes(
    probes: Probes, *, vocab: int | None = None, seq_len: int | None = None, minimum: int = 1, where: str = ""
) -> None:
    """Raise unless a verdict may rest on these probes.

    Args:
        probes: from any source, other people's plugs too.
        vocab: how many tokens the model knows; None where it is not known, or where it takes frames.
        seq_len: how many tokens a probe of this model has; None where any number will do.
        minimum: the fewest probes that the policy takes.
        where: the file or the policy line, for errors.

    Raises:
        InputsRefused: with the first fault, and the rows that have it.
    """
    where = where or probes.source
    if probes.frames:
        _check_frames(probes, vocab, where)
    else:
        token_rows(probes.inputs, where=where)
        _check_vocabulary(probes, vocab, where)
    _check_size(probes, seq_len, minimum, where)
    _check_identifiers(probes, where)
    _check_variety(probes, where)
    if probes.labels is not None:
        _check_labels(probes, where)


def take(probes: Probes, start: int, stop: int) -> Probes:
    """Return probes `start` to `stop - 1`, as a view of the same arrays.

    Raises:
        InputsRefused: there are no such rows.
    """
    if not 0 <= start < stop <= len(probes):
        hint = f"there are {len(probes)}, counted from 0"
        raise InputsRefused(f"no probes {start}:{stop}", where=probes.source, field="probes", hint=hint)
    return make_probes(
        probes.inputs[start:stop],
        None if probes.labels is None else probes.labels[start:stop],
        identifiers=probes.identifiers[start:stop],
        source=f"{probes.source}, probes {start} to {stop - 1}",
        ignore_label=probes.ignore_label,
        grid=probes.grid,
        symbols=probes.symbols,
        answer_slice=probes.answer_slice,
    )


def overlap(rows: Sequence[str], others: Sequence[str]) -> tuple[int, ...]:
    """Return which of `rows` are also among `others`, as indices into `rows`; both are row digests."""
    known = frozenset(others)
    return tuple(index for index, digest in enumerate(rows) if digest in known)


def rows_text(rows: Sequence[int]) -> str:
    """Return `row 3`, or `rows 3, 7, 9, 12, 15 and 85 more`, counted from 0."""
    named = ", ".join(map(str, rows[:_ROWS_NAMED]))
    more = f" and {len(rows) - _ROWS_NAMED} more" if len(rows) > _ROWS_NAMED else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {named}{more}"


def _check_frames(probes: Probes, vocab: int | None, where: str) -> None:
    """Refuse frames that are none, or that come with what only tokens have."""
    if vocab is not None:
        raise InputsRefused("probes are frames, and the model takes tokens", where=where, field="inputs")
    if frame_rows(probes.inputs, where=where).dtype != probes.inputs.dtype:
        what = f"holds {probes.inputs.dtype}, and frames are float32"
        raise InputsRefused(what, where=where, field="inputs")
    beside = {"labels": probes.labels, "grid": probes.grid, "answer": probes.answer_slice}
    for name, value in beside.items():
        if value is not None:
            raise InputsRefused("speaks about tokens, and the probes are frames", where=where, field=name)


def _check_size(probes: Probes, seq_len: int | None, minimum: int, where: str) -> None:
    length = probes.inputs.shape[1]
    if seq_len is not None and length != seq_len:
        raise InputsRefused(f"probes have {length} tokens, the model takes {seq_len}", where=where, field="inputs")
    if probes.grid is not None and probes.grid[0] * probes.grid[1] != length:
        rows, columns = probes.grid
        what = f"a grid of {rows}x{columns} has {rows * columns} cells, the probes have {length}"
        raise InputsRefused(what, where=where, field="grid")
    if len(probes) < minimum:
        hint = "give more probes, or lower minimum_probes (100 where the policy does not say) if that is justified"
        raise InputsRefused(f"{len(probes)} probes, at least {minimum} are required", where=where, hint=hint)


def _check_vocabulary(probes: Probes, vocab: int | None, where: str) -> None:
    lowest, highest = int(probes.inputs.min()), int(probes.inputs.max())
    if lowest < 0:
        row = int((probes.inputs < 0).any(axis=1).argmax())
        raise InputsRefused(f"token {lowest} is negative (row {row})", where=where, field="inputs")
    if vocab is not None and highest >= vocab:
        row = int((probes.inputs >= vocab).any(axis=1).argmax())
        what = f"token {highest} is out of the model's vocabulary (first in row {row})"
        raise InputsRefused(what, where=where, field="inputs", hint=f"0 to {vocab - 1}")


def _check_identifiers(probes: Probes, where: str) -> None:
    identifiers = token_column(probes.identifiers, where=where)
    if len(identifiers) != len(probes):
        what = f"has {len(identifiers)} rows, the inputs have {len(probes)}"
        raise InputsRefused(what, where=where, field="identifiers")
    if identifiers.min() < 0:
        raise InputsRefused(f"{identifiers.min()} is negative", where=where, field="identifiers")


def _check_variety(probes: Probes, where: str) -> None:
    """Refuse probes that repeat one another or say nothing: a verdict on them looks better founded than it is."""
    inputs = probes.inputs.reshape(len(probes), -1)
    constant = np.flatnonzero((inputs == inputs[:, :1]).all(axis=1)) if inputs.shape[1] > 1 else np.empty(0, int)
    if constant.size:
        what = f"{rows_text(constant.tolist())}: every {'value' if probes.frames else 'token'} of a probe is the same"
        raise InputsRefused(what, where=where, field="inputs")
    first: dict[tuple[bytes, int], int] = {}
    for row, key in enumerate(zip(row_bytes(inputs), probes.identifiers.tolist(), strict=True)):
        first.setdefault(key, row)
    if len(first) < len(inputs):
        _refuse_repeats(probes, first, where)


def _refuse_repeats(probes: Probes, first: dict[tuple[bytes, int], int], where: str) -> NoReturn:
    keys = zip(row_bytes(probes.inputs), probes.identifiers.tolist(), strict=True)
    originals = [first[key] for key in keys]
    repeated = [row for row, original in enumerate(originals) if row != original]
    what = f"{rows_text(repeated)} repeat earlier probes (row {repeated[0]} is row {originals[repeated[0]]})"
    raise InputsRefused(what, where=where, field="inputs", hint="keep one of each")


def _check_labels(probes: Probes, where: str) -> None:
    labels: NDArray[np.int32] = token_rows(np.asarray(probes.labels), where=where, field="labels")
    if len(labels) != len(probes):
        what = f"has {len(labels)} rows, the inputs have {len(probes)}"
        raise InputsRefused(what, where=where, field="labels")
    _check_label_length(probes, labels.shape[1], where)
    counted = labels != probes.ignore_label
    empty = np.flatnonzero(~counted.any(axis=1))
    if empty.size:
        what = f"{rows_text(empty.tolist())}: no label counts (all are the ignore label {probes.ignore_label})"
        raise InputsRefused(what, where=where, field="labels")
    negative = (labels < 0) & counted
    if negative.any():
        value = int(labels[negative][0])
        hint = f"if such cells do not count: ignore_label: {value}"
        raise InputsRefused(f"label {value} is negative", where=where, field="labels", hint=hint)


def _check_label_length(probes: Probes, length: int, where: str) -> None:
    tokens = probes.inputs.shape[1]
    start, stop = probes.answer_slice or (0, tokens)
    if stop > tokens:
        raise InputsRefused(f"ends at {stop}, probes have {tokens} tokens", where=where, field="answer")
    if length != stop - start:
        what = f"has {length} labels a probe for {stop - start} tokens"
        hint = "" if probes.answer_slice else "say which tokens they speak about: answer: START:STOP"
        raise InputsRefused(what, where=where, field="labels", hint=hint)
