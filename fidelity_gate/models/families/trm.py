"""TRM: one shared block updates both streams (Tiny Recursive Models)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.models.families import _layout as layout
from fidelity_gate.models.families._blueprint import Blueprint
from fidelity_gate.models.families._reading import Reading
from fidelity_gate.models.families._two_stream_family import TwoStreamFamily

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import Options

_FIRST = "L_level.layers.0"
_POSITIONS = ("rope", "learned", "none")


@dataclass(frozen=True, slots=True)
class Trm(TwoStreamFamily):
    """TRM with attention or with an MLP over the token axis.

    Attributes:
        hidden_size: D, width of a token.
        vocab_size: tokens of inputs and answers.
        mixer: how tokens are mixed, attention or mlp.
        num_heads: attention heads; 0 for mlp.
        layers: layers of the one block.
        seq_len: S, tokens of a puzzle; 0 where the weights take any number.
        positions: rope, learned or none; an mlp needs none.
        expansion: of every SwiGLU.
        puzzle_emb_ndim: values of a puzzle embedding; 0 for none.
        puzzle_emb_len: tokens that the puzzle embedding fills, zero-padded.
        num_puzzle_identifiers: puzzles that have an embedding.
        h_cycles: updates of z_H in an ACT step; 0 when not declared.
        l_cycles: updates of z_L before each of z_H; 0 when not declared.
        steps: ACT steps of an evaluation; 0 when not declared.
        rms_norm_eps: added to the mean square.
        rope_theta: base of the rotary frequencies.
    """

    name: ClassVar[str] = "trm"

    hidden_size: int
    vocab_size: int
    mixer: Literal["attention", "mlp"] = "attention"
    num_heads: int = 0
    layers: int = 2
    seq_len: int = 0
    positions: Literal["rope", "learned", "none"] = "rope"
    expansion: float = layout.USUAL_EXPANSION
    puzzle_emb_ndim: int = 0
    puzzle_emb_len: int = 0
    num_puzzle_identifiers: int = 0
    h_cycles: int = 0
    l_cycles: int = 0
    steps: int = 0
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        layout.refuse_impossible(self.blueprint(), self)

    @classmethod
    def derive(cls, shapes: Mapping[str, tuple[int, ...]], hints: Options) -> Trm | None:
        """Return the TRM that these shapes are; None when they are not one (an HRM has an H_level)."""
        levels = {name.partition(".")[0] for name in shapes}
        if "L_level" not in levels or "H_level" in levels:
            return None
        read = Reading(shapes, hints, cls.name)
        hidden = read.width()
        inner_of = {hidden: read.size(f"{_FIRST}.mlp.down_proj.weight", 1)}
        mixes = read.has(f"{_FIRST}.mlp_t.gate_up_proj.weight")
        if mixes:
            tokens = read.size(f"{_FIRST}.mlp_t.gate_up_proj.weight", 1)
            inner_of[tokens] = read.size(f"{_FIRST}.mlp_t.down_proj.weight", 1)
        read.said("mixer", "mlp" if mixes else "attention")
        return cls(
            mixer="mlp" if mixes else "attention",
            num_heads=0 if mixes else read.heads(),
            layers=read.layers("L_level.layers", "layers"),
            positions=read.positions("none" if mixes else None, _POSITIONS),  # type: ignore[arg-type]
            expansion=read.expansion(inner_of),
            **read.shared(hidden, tokens if mixes else None),  # type: ignore[arg-type]
        )

    def blueprint(self) -> Blueprint:
        """Return what the recursion and the layout need."""
        names = tuple(f"L_level.layers.{index}" for index in range(min(self.layers, layout.MOST_LAYERS)))
        return layout.blueprint_of(self, names, names, token_mixing=self.mixer == "mlp")
