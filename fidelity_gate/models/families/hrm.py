"""HRM: a high-level block updates z_H, a low-level block z_L (Hierarchical Reasoning Model)."""

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

_POSITIONS = ("rope", "learned")


@dataclass(frozen=True, slots=True)
class Hrm(TwoStreamFamily):
    """HRM: two blocks of attention layers.

    Attributes:
        hidden_size: D, width of a token.
        vocab_size: tokens of inputs and answers.
        num_heads: attention heads.
        h_layers: layers of the block that updates z_H.
        l_layers: layers of the block that updates z_L.
        seq_len: S, tokens of a puzzle; 0 where the weights take any number.
        positions: rope or learned; the official code knows no other.
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

    name: ClassVar[str] = "hrm"

    hidden_size: int
    vocab_size: int
    num_heads: int
    h_layers: int = 4
    l_layers: int = 4
    seq_len: int = 0
    positions: Literal["rope", "learned"] = "rope"
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
    def derive(cls, shapes: Mapping[str, tuple[int, ...]], hints: Options) -> Hrm | None:
        """Return the HRM that these shapes are; None when they have no two levels."""
        levels = {name.partition(".")[0] for name in shapes}
        if not {"L_level", "H_level"} <= levels:
            return None
        read = Reading(shapes, hints, cls.name)
        hidden = read.width()
        return cls(
            num_heads=read.heads(),
            h_layers=read.layers("H_level.layers", "h_layers"),
            l_layers=read.layers("L_level.layers", "l_layers"),
            positions=read.positions("rope", _POSITIONS),  # type: ignore[arg-type]
            expansion=read.expansion({hidden: read.size("L_level.layers.0.mlp.down_proj.weight", 1)}),
            **read.shared(hidden, None),  # type: ignore[arg-type]
        )

    def blueprint(self) -> Blueprint:
        """Return what the recursion and the layout need."""
        high, low = (
            tuple(f"{level}.layers.{index}" for index in range(min(count, layout.MOST_LAYERS)))
            for level, count in (("H_level", self.h_layers), ("L_level", self.l_layers))
        )
        return layout.blueprint_of(self, high, low, token_mixing=False)
