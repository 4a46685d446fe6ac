"""Arrays of whatever a file held -> float32 frames, or one clear line about the first value that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import InputsRefused, UnsafeContent
from fidelity_gate.lazy import Postponed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = Postponed("numpy")

MOST_VALUES = 2**28  # 1 GiB as float32
_LEAST_AXES = 3  # probes, frames, and at least one of values


def frame_rows(array: NDArray[Any], *, where: str = "", field: str = "inputs") -> NDArray[np.float32]:
    """Return (N, T, ...) floating point numbers as float32: N probes of T frames, of any shape.

    Raises:
        InputsRefused: not floating point, too few axes, an empty axis, or a value that float32 does not hold.
        UnsafeContent: more than `MOST_VALUES` values.
    """
    if array.dtype.kind != "f":
        hint = "frames are float16, float32 or float64, scaled as the model wants them"
        raise InputsRefused(f"holds {array.dtype}, not floating point numbers", where=where, field=field, hint=hint)
    refuse_frameless(array.shape, where=where, field=field)
    if array.size > MOST_VALUES:
        hint = f"at most {MOST_VALUES:,}"
        raise UnsafeContent(f"holds {array.size:,} values", where=where, field=field, hint=hint)
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(array, np.float32)
    wrong = ~np.isfinite(rows)
    if wrong.any():
        row, frame, *_ = np.unravel_index(int(wrong.argmax()), rows.shape)
        count = f" ({int(wrong.sum()):,} such values)" if wrong.sum() > 1 else ""
        what = f"row {int(row)}, frame {int(frame)} is not finite in float32{count}"
        raise InputsRefused(what, where=where, field=field)
    return rows


def refuse_frameless(shape: tuple[int, ...], *, where: str = "", field: str = "inputs") -> None:
    """Raise InputsRefused for a shape with too few axes for frames, or with an empty one."""
    if len(shape) < _LEAST_AXES or 0 in shape:
        hint = "(probes, frames, values of a frame), a single value has an axis too"
        raise InputsRefused(f"has shape {list(shape)}, which holds no frames", where=where, field=field, hint=hint)
