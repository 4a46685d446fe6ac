"""Arrays of whatever a file held -> int32 tokens, or one clear line about the first value that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import InputsRefused, UnsafeContent
from fidelity_gate.lazy import Postponed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = Postponed("numpy")

MOST_CELLS = 2**28  # 1 GiB as int32
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1  # of int32
_KINDS = {
    "O": "Python objects",
    "U": "text",
    "S": "bytes",
    "V": "records",
    "c": "complex numbers",
    "b": "true and false",
}


def token_rows(array: NDArray[Any], *, where: str = "", field: str = "inputs") -> NDArray[np.int32]:
    """Return (N, S) whole numbers as int32.

    Floats are taken when every one of them is a whole number, because some tools save tokens so.

    Raises:
        InputsRefused: not (N, S); no rows or no cells; NaN, infinite, fractional or beyond 32 bits, naming the first.
        UnsafeContent: more than `MOST_CELLS` cells.
    """
    if array.ndim != 2:
        what = "a single value" if array.ndim == 0 else f"an array of shape {list(array.shape)}"
        framed = array.ndim > 2 and array.dtype.kind == "f"
        hint = "frames are read by use: frames" if framed else "one row a probe: (probes, tokens)"
        raise InputsRefused(f"is {what}, not a table of tokens", where=where, field=field, hint=hint)
    if array.shape[0] == 0:
        raise InputsRefused("holds no probes", where=where, field=field)
    if array.shape[1] == 0:
        raise InputsRefused("holds probes without tokens", where=where, field=field)
    return _int32(array, where, field)


def token_column(array: NDArray[Any], *, where: str = "", field: str = "identifiers") -> NDArray[np.int32]:
    """Return (N,) whole numbers as int32; see `token_rows`."""
    if array.ndim != 1:
        raise InputsRefused(f"has shape {list(array.shape)}, not one number a probe", where=where, field=field)
    return _int32(array, where, field)


def _int32(array: NDArray[Any], where: str, field: str) -> NDArray[np.int32]:
    if array.size > MOST_CELLS:
        hint = f"at most {MOST_CELLS:,}; see first and count"
        raise UnsafeContent(f"holds {array.size:,} cells", where=where, field=field, hint=hint)
    kind = array.dtype.kind
    if kind not in "iuf":
        what = _KINDS.get(kind, str(array.dtype))
        raise InputsRefused(f"holds {what}, not whole numbers", where=where, field=field)
    if kind == "f":
        array = array.astype(np.float64)  # narrower floats cannot hold the bounds below
        _refuse_cells(array, ~np.isfinite(array), "not finite", where, field)
        _refuse_cells(array, array != np.floor(array), "not a whole number", where, field)
    _refuse_cells(array, (array < _LOWEST) | (array > _HIGHEST), "beyond 32 bits", where, field)
    rows = np.ascontiguousarray(array, np.int32)
    return rows if rows.flags.writeable else rows.copy()  # torch warns of arrays that share read-only bytes


def _refuse_cells(array: NDArray[Any], wrong: NDArray[np.bool_], what: str, where: str, field: str) -> None:
    if wrong.any():
        at = np.unravel_index(int(wrong.argmax()), array.shape)
        place = ", ".join(f"{name} {int(index)}" for name, index in zip(("row", "cell"), at, strict=False))
        count = f" ({int(wrong.sum()):,} such values)" if wrong.sum() > 1 else ""
        raise InputsRefused(f"{place} is {array[at]}, {what}{count}", where=where, field=field)
