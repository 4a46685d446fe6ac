"""FG505: rows or columns of a matrix that are all zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fidelity_gate.analysis.rules._common import tensor_place, tensors_of
from fidelity_gate.analysis.rules._matrices import is_readable
from fidelity_gate.records import Found, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fidelity_gate.protocols import Subject

_MATRIX = 2


@dataclass(frozen=True, slots=True)
class Pruned:
    """Looks for matrices of the recursive block of which whole rows or columns became zero.

    A row counts when every value in it is zero; the share of such rows (or columns, whichever is larger) is compared
    with the reference's own share in the tensor of the same name. Very coarse scales make rows zero as well, and that
    is the same loss. Weights whose values the file does not tell (they, or their scales, lie elsewhere) are left out.

    Attributes:
        share: of zero rows or columns, beyond the reference's own, from which it is a finding.
    """

    share: float = 0.05

    code: ClassVar[str] = "FG505"
    title: ClassVar[str] = "pruned-structures"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Small recursive models have nothing to spare: structured pruning of 25 % kept 86.4 % of Maze's cells and not "
        "one puzzle, on every task of the paper (appendix K)."
    )
    fix: ClassVar[str] = "Do not prune structures of the recursive block; quantize it instead."
    needs: ClassVar[tuple[Need, ...]] = (Need.WEIGHTS, Need.REFERENCE)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a matrix."""
        theirs = subject.reference
        facts = theirs.facts.tensors if theirs and theirs.weights else ()
        known = {tensor.name for tensor in facts if theirs and is_readable(theirs, tensor)}
        for tensor in tensors_of(subject, Role.BLOCK):
            if len(tensor.shape) != _MATRIX or not is_readable(subject, tensor):
                continue
            share, axis = _zero_share(_is_zero(subject, tensor.name))
            if share < self.share:
                continue
            own = _zero_share(_is_zero(theirs, tensor.name))[0] if theirs and tensor.name in known else 0.0
            if share - own >= self.share:
                message = f"{share:.1%} of its {axis} are all zero ({own:.1%} in the reference)"
                yield Found(tensor_place(tensor), message, (("share", share),))


def _is_zero(subject: Subject, name: str) -> NDArray[np.bool_]:
    """Return which values are zero, without widening integers."""
    weights = subject.weights
    if weights is None:
        return np.zeros((1, 1), dtype=np.bool_)
    stored = weights.quantized(name)
    if stored is None or stored.integers.ndim != _MATRIX:  # split into blocks, it has neither rows nor columns
        return np.asarray(weights.dense(name) == 0)
    return np.asarray(stored.integers == stored.zero.astype(stored.integers.dtype))


def _zero_share(zero: NDArray[np.bool_]) -> tuple[float, str]:
    """Return the larger share of all-zero rows or columns, and which it is."""
    if not zero.size:
        return 0.0, "rows"
    rows, columns = float(zero.all(axis=1).mean()), float(zero.all(axis=0).mean())
    return (rows, "rows") if rows >= columns else (columns, "columns")
