"""FLOPs of a known family from its architecture alone: no weights, no torch, nothing runs.

A multiply-add counts as 2. A matrix costs 2 FLOPs per weight and row that it is applied to; attention costs 4*L^2*D per
layer (queries times keys, weights times values). Norms, activations, softmax, rotary positions, look-ups and additions
count nothing, as in torch's `FlopCounterMode`, with which these figures agree exactly.
Source: the paper's appendices G and M.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import Compute, Depth, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fidelity_gate.records import Geometry, ModelFacts, Options

    Tensors: TypeAlias = Mapping[str, tuple[tuple[int, ...], Role]]

COUNTED_BY = "closed form"


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the closed form needs of a model."""

    family: str
    tensors: Tensors  # official key -> (shape, role)
    geometry: Geometry | None
    fields: Options  # of the family's plug


@dataclass(frozen=True, slots=True)
class _Level:
    """A block, once: FLOPs of its matrices, FLOPs of its attention, and how often an ACT step calls it."""

    matrices: int
    attention: int
    calls: int


def architecture_of(facts: ModelFacts) -> Architecture:
    """Return the architecture of an opened model."""
    tensors = {tensor.name: (tensor.shape, tensor.role) for tensor in facts.tensors}
    return Architecture(facts.family, tensors, facts.geometry, facts.architecture)


def has_form(family: str) -> bool:
    """Return whether this family is known here."""
    return family in _FORMS


def closed_form(model: Architecture, depth: Depth) -> Compute:
    """Return what the recursion of a model computes at `depth`, for one puzzle.

    Args:
        model: of a family for which `has_form` holds.
        depth: how deep it runs.

    Raises:
        NotMeasured: the number of tokens is not known, or the family has no cycles and the depth asks for some.
    """
    if model.geometry is None:
        raise NotMeasured("the number of tokens is not known", hint="say seq_len")
    levels, heads = _FORMS[model.family](model, model.geometry, depth)
    matrices = sum(level.calls * level.matrices for level in levels)
    attention = sum(level.calls * level.attention for level in levels)
    step = matrices + attention + heads
    shares = (("attention", attention), ("heads", heads), ("matrices", matrices))
    return Compute(
        block_call=(matrices + attention) / sum(level.calls for level in levels),
        step=float(step),
        puzzle=float(depth.steps * step),
        depth=depth,
        counted_by=COUNTED_BY,
        by_operator=tuple((name, float(cost)) for name, cost in shares if cost),
    )


def _two_stream(model: Architecture, geometry: Geometry, depth: Depth) -> tuple[list[_Level], int]:
    """Return the levels of a TRM (one block for both streams) or an HRM (one for each), and the cost of the heads."""
    found = _levels(model.tensors, geometry)
    updates = depth.h_cycles * depth.l_cycles
    calls = {"H_level": depth.h_cycles, "L_level": updates if "H_level" in found else updates + depth.h_cycles}
    levels = [_Level(matrices, attention, calls[name]) for name, (matrices, attention) in sorted(found.items())]
    before = dict(model.fields).get("puzzle_emb_len")  # tokens of the puzzle embedding, which have no answer
    answers = geometry.tokens - (before if isinstance(before, int) else 0)
    heads = 2 * answers * _values(model.tensors, "lm_head.weight") + 2 * _values(model.tensors, "q_head.weight")
    return levels, heads


def _one_stream(model: Architecture, geometry: Geometry, depth: Depth) -> tuple[list[_Level], int]:
    """Return the one block of a Recurrent Transformer, and the cost of its head."""
    if (depth.h_cycles, depth.l_cycles) != (1, 1):
        raise NotMeasured(f"{model.family} has no cycles, and the depth is {depth}", hint="h_cycles: 1, l_cycles: 1")
    levels = [_Level(matrices, attention, 1) for matrices, attention in _levels(model.tensors, geometry).values()]
    return levels, 2 * geometry.tokens * _values(model.tensors, "head.weight")


_FORMS: Mapping[str, Callable[[Architecture, Geometry, Depth], tuple[list[_Level], int]]] = {
    "hrm": _two_stream,
    "recurrent-transformer": _one_stream,
    "trm": _two_stream,
}


def _levels(tensors: Tensors, geometry: Geometry) -> dict[str, tuple[int, int]]:
    """Return level -> FLOPs of its matrices and of its attention in one call.

    A matrix of `mlp_t` mixes tokens: it is applied to every one of the D columns. Every other one is applied to every
    one of the L tokens.
    """
    matrices: dict[str, int] = defaultdict(int)
    attending: dict[str, set[str]] = defaultdict(set)
    for name, (shape, role) in tensors.items():
        level, _, inside = name.partition(".")
        if role is not Role.BLOCK:
            continue
        rows = geometry.width if ".mlp_t." in inside else geometry.tokens
        matrices[level] += 2 * rows * math.prod(shape)
        if "attn." in inside:
            attending[level].add(inside.partition("attn.")[0])  # a layer, however many matrices its attention has
    if not matrices:
        raise NotMeasured("no tensor is known to belong to the recursive block")
    each = 4 * geometry.tokens**2 * geometry.width
    return {level: (cost, each * len(attending[level])) for level, cost in matrices.items()}


def _values(tensors: Tensors, name: str) -> int:
    if name not in tensors:
        raise NotMeasured(f"it has no tensor '{name}'")
    return math.prod(tensors[name][0])
