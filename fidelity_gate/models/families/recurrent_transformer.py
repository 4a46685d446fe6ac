"""Recurrent Transformer: one pre-norm block, applied again and again to one stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.families import _layout as layout
from fidelity_gate.models.families._reading import Reading
from fidelity_gate.records import Depth, Geometry, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.protocols import Recursion
    from fidelity_gate.records import Options, RunSpec, Tensor

_USUAL_STEPS = 32
_LINEARS = ("attn.key", "attn.query", "attn.value", "attn.proj", "mlp.0", "mlp.2")


@dataclass(frozen=True, slots=True)
class RecurrentTransformer:
    """The Recurrent Transformer; one step is one pass through its block (h_cycles and l_cycles stay 1).

    Attributes:
        hidden_size: D, width of a token.
        vocab_size: input tokens.
        answer_size: answers that the head tells apart.
        num_heads: attention heads.
        seq_len: S, tokens of a probe.
        mlp_size: inner width of the GELU MLP.
        layers: layers of the block.
        steps: how often the block is applied.
        layer_norm_eps: added to the variance.
    """

    name: ClassVar[str] = "recurrent-transformer"

    hidden_size: int
    vocab_size: int
    answer_size: int
    num_heads: int
    seq_len: int
    mlp_size: int
    layers: int = 1
    steps: int = _USUAL_STEPS
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for field, value in self.architecture():
            most = layout.MOST_LAYERS if field == "layers" else layout.LARGEST
            if isinstance(value, int) and not 1 <= value <= most:
                raise ModelRefused(f"is {value}, and must be from 1 to {most}", field=field)
        if self.hidden_size % self.num_heads:
            raise ModelRefused(f"{self.num_heads} heads cannot share {self.hidden_size} values", field="num_heads")

    @classmethod
    def derive(cls, shapes: Mapping[str, tuple[int, ...]], hints: Options) -> RecurrentTransformer | None:
        """Return the Recurrent Transformer that these shapes are; None when they are not one."""
        if not {"tok_emb.weight", "pos_emb", "blocks.0.attn.key.weight"} <= set(shapes):
            return None
        read = Reading(shapes, hints, cls.name)
        return cls(
            hidden_size=read.agreed("hidden_size", read.size("tok_emb.weight", 1)),
            vocab_size=read.agreed("vocab_size", read.size("tok_emb.weight", 0)),
            answer_size=read.agreed("answer_size", read.size("head.weight", 0)),
            num_heads=read.heads(),
            seq_len=read.agreed("seq_len", read.size("pos_emb", 1, rank=3)),
            mlp_size=read.agreed("mlp_size", read.size("blocks.0.mlp.0.weight", 0)),
            layers=read.layers("blocks", "layers"),
            steps=read.whole("steps", _USUAL_STEPS),
            layer_norm_eps=read.number("layer_norm_eps", 1e-5),
        )

    def tensors(self) -> Mapping[str, tuple[tuple[int, ...], Role]]:
        """Return every tensor: official key -> (shape, role)."""
        width, tokens = self.hidden_size, self.seq_len
        found: dict[str, tuple[tuple[int, ...], Role]] = {
            "pos_emb": ((1, tokens, width), Role.EMBEDDING),
            "tok_emb.weight": ((self.vocab_size, width), Role.EMBEDDING),
            "head.weight": ((self.answer_size, width), Role.HEAD),
        }
        norms = ["ln_f"]
        for layer in self.layer_names():
            norms += [f"{layer}.ln1", f"{layer}.ln2"]
            found[f"{layer}.attn.mask"] = ((1, 1, tokens, tokens), Role.OTHER)
            for part in _LINEARS:
                rows = self.mlp_size if part == "mlp.0" else width
                columns = self.mlp_size if part == "mlp.2" else width
                found[f"{layer}.{part}.weight"] = ((rows, columns), Role.BLOCK)
                found[f"{layer}.{part}.bias"] = ((rows,), Role.OTHER)
        for norm in norms:
            found |= {f"{norm}.weight": ((width,), Role.OTHER), f"{norm}.bias": ((width,), Role.OTHER)}
        return dict(sorted(found.items()))

    def layer_names(self) -> tuple[str, ...]:
        """Return the key prefix of every layer, in order."""
        return tuple(f"blocks.{index}" for index in range(self.layers))

    def geometry(self) -> Geometry:
        """Return what the footprint formulas need."""
        values = layout.attention_values(self.hidden_size) + 2 * self.hidden_size * self.mlp_size
        return Geometry(self.seq_len, self.hidden_size, self.layers, values, streams=1)

    def declared_depth(self) -> Depth:
        """Return how often the block is applied."""
        return Depth(steps=self.steps)

    def architecture(self) -> Options:
        """Return the fields, sorted."""
        return layout.options_of(self)

    def build(self, weights: Mapping[str, Tensor], run: RunSpec) -> Recursion:
        """Return the model on the CPU with exactly these weights."""
        from fidelity_gate.models.families._one_stream import build

        return build(self, weights, run)
