"""Peak SRAM of one recursion step, in three deployment scenarios, and the bytes of parameters and tables.

Source: the paper's appendix M (Table 15) and Table 1. With L tokens, D width, b bytes per value and W bytes of one
block layer:

* activations = `streams`*L*D*4 (the carries, kept in float32) + 6*L*D*b;
* streaming = W + activations: one layer at a time is copied from flash;
* full load = layers*W + activations: the whole block stays in SRAM (a layer tied to another takes no further bytes);
* host-side compression = W + 8*L*D*1: the carries rest as INT8 between steps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fidelity_gate.records import Footprint, Role

if TYPE_CHECKING:
    from fidelity_gate.records import Geometry, ModelFacts, TensorFact

FLOAT32_BYTES = 4
CARRY_BYTES = FLOAT32_BYTES  # carries stay in float32 between steps
WORKING_BUFFERS = 6  # activation tensors of (L, D) alive inside a block call (appendix M)
INT8_BYTES = 1


def footprint(facts: ModelFacts) -> Footprint | None:
    """Return the footprint of a model file from what it really stores, or None without a geometry.

    W is the stored bytes of an average block layer, scales and zero points included; b is taken from the widest block
    matrix, so a file that leaves one matrix in float32 is counted as a float32 model.

    Args:
        facts: of a file whose tensors carry roles.
    """
    block = [tensor for tensor in facts.tensors if tensor.role is Role.BLOCK]
    if facts.geometry is None or not block:
        return None
    bytes_per_value = max(tensor.bits for tensor in block) / 8
    return _scenarios(facts.geometry, _layer_bytes(facts.geometry, block), bytes_per_value, _own_share(block))


def paper_footprint(geometry: Geometry, bytes_per_value: float) -> Footprint:
    """Return the footprint of an architecture alone, every block value stored in `bytes_per_value` bytes."""
    return _scenarios(geometry, geometry.layer_values * bytes_per_value, bytes_per_value)


def backbone_bytes(parameters: int, bits: float) -> int:
    """Return the bytes that `parameters` values take at `bits` bits each, scales not counted."""
    return math.ceil(parameters * bits / 8)


def embedding_bytes(rows: int, width: int, *, bytes_per_value: float = 4.0, rank: int | None = None) -> int:
    """Return the resident bytes of an embedding table, or of its factors after an SVD of `rank` (paper Table 1)."""
    values = rows * width if rank is None else rank * (rows + width)
    return math.ceil(values * bytes_per_value)


def _layer_bytes(geometry: Geometry, block: list[TensorFact]) -> float:
    """Return the stored bytes of one layer of `geometry.layer_values` values, at the block's own bytes per value."""
    taken = sum(tensor.values * tensor.bits / 8 if tensor.tied_to else tensor.stored_bytes for tensor in block)
    return geometry.layer_values * taken / _values(block)


def _own_share(block: list[TensorFact]) -> float:
    """Return the share of the block's values that are stored for it, and not for another tensor."""
    return _values([tensor for tensor in block if not tensor.tied_to]) / _values(block)


def _values(tensors: list[TensorFact]) -> int:
    return sum(tensor.values for tensor in tensors)


def _scenarios(geometry: Geometry, layer_bytes: float, bytes_per_value: float, own: float = 1.0) -> Footprint:
    cells = geometry.tokens * geometry.width
    activations = cells * (geometry.streams * CARRY_BYTES + WORKING_BUFFERS * bytes_per_value)
    return Footprint(
        streaming=math.ceil(layer_bytes + activations),
        full_load=math.ceil(geometry.layers * layer_bytes * own + activations),
        host_compressed=math.ceil(layer_bytes + cells * (geometry.streams + WORKING_BUFFERS) * INT8_BYTES),
        bytes_per_value=bytes_per_value,
    )
