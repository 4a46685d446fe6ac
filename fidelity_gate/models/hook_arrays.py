"""Finding a stream in what a module returns, laying it out as (B, L, D), and putting another in its place."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import ModelRefused

if TYPE_CHECKING:
    from fidelity_gate.records import Tensor


def selected(output: Any, select: tuple[str, ...], field: str) -> Tensor:  # noqa: ANN401  (what user code returns)
    """Return the tensor at `select` in a module's output: indices of tuples, keys of mappings, attribute names.

    Raises:
        ModelRefused: there is no tensor.
    """
    import torch

    value = output
    for part in select:
        value = _child(value, part, field)
    if not isinstance(value, torch.Tensor):
        hint = f"say where in it: select: {_example(value)}"
        raise ModelRefused(f"returns a {type(value).__name__}, not a tensor", field=field, hint=hint)
    return value


def replaced(output: Any, select: tuple[str, ...], value: Tensor, field: str) -> Any:  # noqa: ANN401
    """Return the output with another tensor at `select`; what is shared with the caller is copied, never changed."""
    if not select:
        return value
    part, rest = select[0], select[1:]
    inner = replaced(_child(output, part, field), rest, value, field)
    if isinstance(output, tuple):
        at = _index(output, part) % len(output)
        items = (inner if index == at else item for index, item in enumerate(output))
        return type(output)._make(items) if hasattr(output, "_make") else tuple(items)
    changed = copy.copy(output)
    if isinstance(changed, list):
        changed[int(part)] = inner
    elif isinstance(changed, dict):
        changed[part] = inner
    else:
        object.__setattr__(changed, part, inner)  # frozen dataclasses too: this copy is ours
    return changed


def as_tokens(tensor: Tensor, *, batch_axis: int, feature_axis: int, batch: int, field: str) -> Tensor:
    """Return any layout as (B, L, D): every axis that is neither batch nor feature counts tokens.

    Raises:
        ModelRefused: no such axes, or another batch size than the probes'.
    """
    ranks = tensor.dim()
    axes = {axis + ranks if axis < 0 else axis for axis in (batch_axis, feature_axis)}
    if len(axes) != 2 or not axes <= set(range(ranks)) or tensor.shape[batch_axis] != batch:
        what = f"has shape {tuple(tensor.shape)}, where axis {batch_axis} should count {batch} probes"
        raise ModelRefused(what, field=field, hint="say how it lies: batch_axis, feature_axis")
    moved = tensor.movedim((batch_axis, feature_axis), (0, -1))
    return moved.reshape(batch, math.prod(moved.shape[1:-1]), moved.shape[-1])


def as_before(tokens: Tensor, like: Tensor, *, batch_axis: int, feature_axis: int) -> Tensor:
    """Return (B, L, D) in the layout, type and place of `like`."""
    moved = like.movedim((batch_axis, feature_axis), (0, -1))
    return tokens.reshape(moved.shape).movedim((0, -1), (batch_axis, feature_axis)).to(like)


def _child(value: Any, part: str, field: str) -> Any:  # noqa: ANN401
    try:
        if isinstance(value, tuple | list):
            return value[_index(value, part)]
        return value[part] if isinstance(value, Mapping) else getattr(value, part)
    except (LookupError, ValueError, AttributeError) as error:
        what = f"returns a {type(value).__name__} that has no '{part}'"
        raise ModelRefused(what, field=field, hint=f"it has: {_example(value)}") from error


def _index(items: Any, part: str) -> int:  # noqa: ANN401
    """Return an index of a tuple or a list, which named tuples also know by name."""
    return items._fields.index(part) if part in getattr(items, "_fields", ()) else int(part)


def _example(value: Any) -> str:  # noqa: ANN401
    """Return where a tensor could be in a value, for a hint."""
    if isinstance(value, tuple | list):
        return ", ".join(getattr(value, "_fields", None) or map(str, range(len(value))))
    names = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    return ", ".join(sorted(str(name) for name in names if not str(name).startswith("_"))[:6]) or "nothing"
