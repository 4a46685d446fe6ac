"""What files of named arrays have in common: which of them are inputs, labels and identifiers, and which rows count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import InputsRefused
from fidelity_gate.inputs.making import IGNORED, make_probes, square_grid
from fidelity_gate.inputs.rows import check_first_and_count, chosen_rows, rows_named
from fidelity_gate.inputs.tokens import token_column, token_rows
from fidelity_gate.records import Probes
from fidelity_gate.registry import unknown
from fidelity_gate.text import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMIT_BYTES = 2 * 2**30
MOST_SYMBOLS = 256
IDENTIFIER_NAMES = ("identifiers", "puzzle_identifiers")
_ANSWER = re.compile(r"([0-9]{1,9}):([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """A file of named arrays, one row a probe.

    Attributes:
        path: the file, against the policy's folder.
        inputs: name of the tokens, (N, S).
        labels: name of the labels, (N, S'); by default `labels`, if the file has them.
        identifiers: name of the puzzle identifiers, (N,); by default `identifiers` or `puzzle_identifiers`, if there.
        ignore_label: the label of a cell that does not count; official data sets of sudoku and mazes use 0 for padding.
        grid: rows and columns of a probe, as `9x9`; by default a square, where the length is one.
        answer: the tokens that labels speak about, as `16:40`, where not all of them.
        symbols: how reports show tokens, one character each from token 0 on: `_.123456789`; by default as numbers.
        first: rows to leave out at the start.
        count: rows to take; by default all the rest.
    """

    path: str
    inputs: str = "inputs"
    labels: str | None = None
    identifiers: str | None = None
    ignore_label: int = IGNORED
    grid: tuple[int, int] | None = None
    answer: str | None = None
    symbols: str = ""
    first: int = 0
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse options that no file can meet."""
        if not self.path:
            raise InputsRefused("no file is named", field="path")
        check_first_and_count(self.first, self.count)
        if self.grid is not None and min(self.grid) < 1:
            raise InputsRefused("has at least one row and one column", field="grid")
        if len(self.symbols) > MOST_SYMBOLS or printable(self.symbols, MOST_SYMBOLS) != self.symbols:
            what = "are not characters that can be shown, one a token"
            raise InputsRefused(what, field="symbols", hint=f"at most {MOST_SYMBOLS}, none of them hidden: _.123456789")
        self.answer_slice()

    def probes(self, base: str) -> Probes:
        """Read the file and return its rows."""
        where = str(Path(base) / self.path)
        arrays = self.arrays(base)
        inputs = token_rows(self._pick(arrays, self.inputs, where), where=where, field=self.inputs)
        rows = chosen_rows(len(inputs), self.first, self.count, where)
        labels = self._optional(arrays, self.labels, ("labels",), where)
        identifiers = self._optional(arrays, self.identifiers, IDENTIFIER_NAMES, where)
        if labels is not None:
            labels = self._same_rows(token_rows(labels, where=where, field="labels"), len(inputs), where, "labels")[
                rows
            ]
        if identifiers is not None:
            column = token_column(identifiers, where=where)
            identifiers = self._same_rows(column, len(inputs), where, "identifiers")[rows]
        return make_probes(
            inputs[rows],
            labels,
            identifiers=identifiers,
            source=rows_named(Path(self.path).name, len(inputs), rows),
            ignore_label=self.ignore_label,
            grid=self.grid or square_grid(inputs.shape[1]),
            answer_slice=self.answer_slice(),
            symbols=tuple(self.symbols),
        )

    def arrays(self, base: str) -> Mapping[str, NDArray[Any]]:
        """Return every array of the file by name; what each kind of file does for itself."""
        raise NotImplementedError

    def answer_slice(self) -> tuple[int, int] | None:
        """Return the token span that the labels speak about, where it is not all of them."""
        if self.answer is None:
            return None
        match = _ANSWER.fullmatch(self.answer)
        if match is None or int(match[1]) >= int(match[2]):
            raise InputsRefused(f"'{self.answer[:40]}' is not a span of tokens", field="answer", hint="16:40")
        return int(match[1]), int(match[2])

    @staticmethod
    def _pick(arrays: Mapping[str, NDArray[Any]], name: str, where: str) -> NDArray[Any]:
        if name not in arrays:
            raise unknown(name, arrays, what="there is no array named", where=where, kind=InputsRefused)
        return arrays[name]

    def _optional(
        self, arrays: Mapping[str, NDArray[Any]], asked: str | None, usual: tuple[str, ...], where: str
    ) -> NDArray[Any] | None:
        """Return the array that was asked for by name, else the one under a usual name, else None."""
        if asked is not None:
            return self._pick(arrays, asked, where)
        there = [name for name in usual if name in arrays]
        if len(there) > 1:
            raise InputsRefused(f"has both {' and '.join(there)}", where=where, hint="say which: identifiers: NAME")
        return arrays[there[0]] if there else None

    @staticmethod
    def _same_rows(rows: NDArray[np.int32], total: int, where: str, field: str) -> NDArray[np.int32]:
        if len(rows) != total:
            raise InputsRefused(f"has {len(rows)} rows, the inputs have {total}", where=where, field=field)
        return rows
