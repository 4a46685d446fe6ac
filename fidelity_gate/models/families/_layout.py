"""Tensor names, shapes and sizes that official TRM and HRM share; no torch."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.families._blueprint import Blueprint
from fidelity_gate.records import Depth, Geometry, Role

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from fidelity_gate.models.families.hrm import Hrm
    from fidelity_gate.models.families.trm import Trm
    from fidelity_gate.records import Options

Shapes: TypeAlias = dict[str, tuple[tuple[int, ...], Role]]

INTER_MULTIPLE = 256
USUAL_EXPANSION = 4.0
LARGEST = 2**24  # of any size that a header or a policy may claim
MOST_LAYERS = 256


def inter_size(width: int, expansion: float) -> int:
    """Return the inner width of a SwiGLU: two thirds of `expansion * width`, rounded up to a multiple of 256."""
    return -(round(expansion * width * 2 / 3) // -INTER_MULTIPLE) * INTER_MULTIPLE


def attention_values(width: int) -> int:
    """Return the weight values of an attention mixer: query, key, value and output."""
    return 4 * width * width


def swiglu_values(width: int, expansion: float) -> int:
    """Return the weight values of a SwiGLU: gate, up and down."""
    return 3 * width * inter_size(width, expansion)


def model_tensors(plan: Blueprint, vocab_size: int, identifiers: int, expansion: float) -> Shapes:
    """Return every tensor of a two-stream model, sorted by name."""
    found = _outer_tensors(plan, vocab_size, identifiers)
    for layer in plan.h_layers + plan.l_layers:
        found |= _layer_tensors(layer, plan, expansion)
    return dict(sorted(found.items()))


def blueprint_of(model: Trm | Hrm, high: tuple[str, ...], low: tuple[str, ...], *, token_mixing: bool) -> Blueprint:
    """Return what the shared recursion needs of a family with these layers."""
    return Blueprint(
        hidden_size=model.hidden_size,
        token_mixing=token_mixing,
        num_heads=model.num_heads,
        positions=model.positions,
        puzzle_emb_len=model.puzzle_emb_len,
        puzzle_emb_ndim=model.puzzle_emb_ndim,
        seq_len=model.seq_len,
        rms_norm_eps=model.rms_norm_eps,
        rope_theta=model.rope_theta,
        h_layers=high,
        l_layers=low,
    )


def geometry_of(plan: Blueprint, expansion: float) -> Geometry | None:
    """Return tokens, width, all layers and the values of one layer; None without a number of tokens."""
    if not plan.seq_len:
        return None
    tokens = plan.seq_len + plan.puzzle_emb_len
    mixer = swiglu_values(tokens, expansion) if plan.token_mixing else attention_values(plan.hidden_size)
    return Geometry(
        tokens=tokens,
        width=plan.hidden_size,
        layers=len({*plan.h_layers, *plan.l_layers}),  # TRM's levels share theirs, HRM's do not
        layer_values=mixer + swiglu_values(plan.hidden_size, expansion),
    )


def depth_of(model: Trm | Hrm) -> Depth | None:
    """Return the declared depth, where all three of its numbers are there."""
    if not (model.h_cycles and model.l_cycles and model.steps):
        return None
    return Depth(model.h_cycles, model.l_cycles, model.steps)


def options_of(model: DataclassInstance) -> Options:
    """Return a plug's fields, sorted."""
    return tuple(sorted((field.name, getattr(model, field.name)) for field in fields(model)))


def refuse_impossible(plan: Blueprint, model: DataclassInstance) -> None:
    """Refuse an architecture that cannot be, whoever claims it.

    Raises:
        ModelRefused: a size is out of range, or sizes contradict each other.
    """
    for field, value in options_of(model):
        if isinstance(value, int):
            _refuse_size(field, value)
        elif isinstance(value, float) and not 0 < value < float("inf"):
            raise ModelRefused(f"is {value}, and must be above 0", field=field)
    if not plan.token_mixing and (plan.num_heads < 1 or plan.hidden_size % (2 * plan.num_heads)):
        what = f"{plan.num_heads} heads cannot share {plan.hidden_size} values in even parts"
        raise ModelRefused(what, field="num_heads")
    if (plan.token_mixing or plan.positions == "learned") and not plan.seq_len:
        raise ModelRefused("is needed: these weights are made for one number of tokens", field="seq_len")
    needed = -(plan.puzzle_emb_ndim // -plan.hidden_size)
    if plan.puzzle_emb_len < needed or (plan.puzzle_emb_len and not needed):
        what = f"{plan.puzzle_emb_len} tokens for a puzzle embedding of {plan.puzzle_emb_ndim} values"
        raise ModelRefused(what, field="puzzle_emb_len")


def _refuse_size(field: str, size: int) -> None:
    least = 1 if field in ("hidden_size", "vocab_size", "layers", "h_layers", "l_layers") else 0
    most = MOST_LAYERS if field.endswith("layers") else LARGEST
    if not least <= size <= most:
        raise ModelRefused(f"is {size}, and must be from {least} to {most}", field=field)


def _outer_tensors(plan: Blueprint, vocab_size: int, identifiers: int) -> Shapes:
    """Return everything but the block layers: embeddings, heads, initial carries."""
    width = plan.hidden_size
    found: Shapes = {
        "H_init": ((width,), Role.OTHER),
        "L_init": ((width,), Role.OTHER),
        "embed_tokens.embedding_weight": ((vocab_size, width), Role.EMBEDDING),
        "lm_head.weight": ((vocab_size, width), Role.HEAD),
        "q_head.weight": ((2, width), Role.HEAD),
        "q_head.bias": ((2,), Role.OTHER),
    }
    if plan.positions == "learned":
        found["embed_pos.embedding_weight"] = ((plan.seq_len + plan.puzzle_emb_len, width), Role.EMBEDDING)
    if plan.puzzle_emb_ndim:
        found["puzzle_emb.weights"] = ((identifiers, plan.puzzle_emb_ndim), Role.EMBEDDING)
    return found


def _layer_tensors(prefix: str, plan: Blueprint, expansion: float) -> Shapes:
    """Return the matrices of one block layer."""
    width = plan.hidden_size
    mlp = _swiglu_tensors(f"{prefix}.mlp", width, expansion)
    if plan.token_mixing:
        return mlp | _swiglu_tensors(f"{prefix}.mlp_t", plan.seq_len + plan.puzzle_emb_len, expansion)
    return mlp | {
        f"{prefix}.self_attn.qkv_proj.weight": ((3 * width, width), Role.BLOCK),
        f"{prefix}.self_attn.o_proj.weight": ((width, width), Role.BLOCK),
    }


def _swiglu_tensors(prefix: str, width: int, expansion: float) -> Shapes:
    inner = inter_size(width, expansion)
    return {
        f"{prefix}.gate_up_proj.weight": ((2 * inner, width), Role.BLOCK),
        f"{prefix}.down_proj.weight": ((width, inner), Role.BLOCK),
    }
