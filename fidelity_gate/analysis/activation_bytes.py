"""How many bytes an activation takes, from its element type and shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fidelity_gate.errors import NotMeasured
from fidelity_gate.graphs.element_types import element_types, stored_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import Dimension, GraphValue


def activation_bytes(name: str, value: GraphValue | None, dimensions: Mapping[str, int]) -> int:
    """Return the bytes of one activation; types below a byte are packed, the last byte is filled up.

    Args:
        name: of the value.
        value: what is known of it.
        dimensions: values of named dimensions.

    Raises:
        NotMeasured: its element type or one of its sizes is not known, or its elements have no fixed size.
    """
    if value is None or value.shape is None or not value.dtype:
        hint = "export it with static shapes, or run onnx.shape_inference on it"
        raise NotMeasured("has no known element type and shape", field=name, hint=hint)
    element = next((one for one in element_types().values() if one.name == value.dtype and one.bits), None)
    if element is None:
        raise NotMeasured(f"holds elements of type {value.dtype}, which have no fixed size", field=name)
    sizes = sized(value, dimensions)
    if sizes is None:
        missing = next(size for size in value.shape if _size(size, dimensions) is None)
        hint = "export it with static shapes" + (f", or give its value: {missing}=1" if missing else "")
        what = f"has a size that is not known: {missing or 'unnamed'}"
        raise NotMeasured(what, field=name, hint=hint)
    return stored_size(element, math.prod(sizes))


def sized(value: GraphValue, dimensions: Mapping[str, int]) -> tuple[int, ...] | None:
    """Return the sizes of a value as numbers, or None where one is not known."""
    sizes = [_size(size, dimensions) for size in value.shape or ()]
    return None if value.shape is None or None in sizes else tuple(size for size in sizes if size is not None)


def _size(size: Dimension, dimensions: Mapping[str, int]) -> int | None:
    return dimensions.get(size) if isinstance(size, str) else size
