"""What the exporter traces: the family's own recursion, its matrices laid out as ONNX's MatMul reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.families import _blocks as blocks
from fidelity_gate.models.families._two_stream import Context, Streams, TwoStream
from fidelity_gate.records import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fidelity_gate.records import Depth

_INITIAL = ("H_init", "L_init")  # the host's to give, in the file's metadata
_MULTIPLIED = (Role.BLOCK, Role.HEAD)


class _Part(nn.Module):
    """A level of a dotted name."""


class _Named(nn.Module):
    """Weights under their official names; matrices are (in, out), so that MatMul reads them without a Transpose."""

    def __init__(self, core: TwoStream, roles: Mapping[str, Role], wanted: tuple[Role, ...]) -> None:
        super().__init__()
        self.core = core
        self.roles = dict(roles)
        for name, weight in core.weights.items():
            if name not in _INITIAL and roles[name] in wanted:
                self._place(name, weight)

    def traced(self) -> TwoStream:
        """Return the recursion over this module's own parameters."""
        weights: dict[str, blocks.Matrix] = {}
        for name, weight in self.named_parameters():
            weights[name] = _product(weight) if self.roles[name] in _MULTIPLIED else weight
        return TwoStream(self.core.blueprint, weights, self.core.dtype)

    def _place(self, name: str, weight: blocks.Matrix) -> None:
        if not isinstance(weight, torch.Tensor):
            hint = "export the reference, and compress the graph"
            raise ModelRefused("is an LLM.int8 matrix, which ONNX has no operator for", field=name, hint=hint)
        if self.roles[name] in _MULTIPLIED:
            weight = weight.t().contiguous()
        *path, leaf = name.split(".")
        place: nn.Module = self
        for part in path:
            if part not in dict(place.named_children()):
                place.add_module(part, _Part())
            place = place.get_submodule(part)
        place.register_parameter(leaf, nn.Parameter(weight, requires_grad=False))


class Embedding(_Named):
    """Tokens -> the scaled embedding that every step adds."""

    def __init__(self, core: TwoStream, roles: Mapping[str, Role]) -> None:
        super().__init__(core, roles, (Role.EMBEDDING,))

    def forward(self, inputs: torch.Tensor, puzzle_identifiers: torch.Tensor | None = None) -> torch.Tensor:
        """Return (B, L, D) of tokens (B, S) and identifiers (B,)."""
        identifiers = inputs[:, 0] if puzzle_identifiers is None else puzzle_identifiers
        return self.traced().encode(inputs, identifiers).embedding


class Step(_Named):
    """One H-cycle, or one ACT step, from a scaled embedding."""

    def __init__(
        self,
        core: TwoStream,
        roles: Mapping[str, Role],
        depth: Depth,
        tokens: int,
        *,
        wanted: tuple[Role, ...] = (*_MULTIPLIED, Role.OTHER),
    ) -> None:
        """Take the weights, and make the rotary table, once.

        Args:
            core: the model.
            roles: of every weight.
            depth: `h_cycles` of one run of the graph, and `l_cycles`.
            tokens: L.
            wanted: whose weights the graph holds.
        """
        super().__init__(core, roles, wanted)
        self.depth = depth
        plan = core.blueprint
        self.turns = plan.positions == "rope" and not plan.token_mixing
        if self.turns:
            cos, sin = blocks.rotary_table(tokens, plan.hidden_size // plan.num_heads, plan.rope_theta)
            self.register_buffer("rotary_cos", cos)
            self.register_buffer("rotary_sin", sin)

    def forward(self, z_H: torch.Tensor, z_L: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:  # noqa: N803  (names of the graph)
        """Return z_H, z_L (B, L, D), logits (B, S, V) and halting logits (B, 2) after the unit."""
        core = self.traced()
        table = (self.get_buffer("rotary_cos"), self.get_buffer("rotary_sin")) if self.turns else None
        carry, context = Streams(z_H, z_L), Context(x, table)
        for _ in range(self.depth.h_cycles):
            carry = core.cycle(carry, context, self.depth.l_cycles)
        return (carry.z_h, carry.z_l, *core.heads(carry.z_h))


class TokenStep(Step):
    """The same from tokens."""

    def __init__(self, core: TwoStream, roles: Mapping[str, Role], depth: Depth, tokens: int) -> None:
        super().__init__(core, roles, depth, tokens, wanted=tuple(Role))

    def forward(  # noqa: D102  (as above)
        self,
        z_H: torch.Tensor,  # noqa: N803
        z_L: torch.Tensor,  # noqa: N803
        inputs: torch.Tensor,
        puzzle_identifiers: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        identifiers = inputs[:, 0] if puzzle_identifiers is None else puzzle_identifiers
        return super().forward(z_H, z_L, self.traced().encode(inputs, identifiers).embedding)


def _product(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `x -> x @ weight` for a weight (in, out)."""
    return lambda x: torch.matmul(x, weight)
