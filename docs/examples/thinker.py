"""Makes the example of docs/how-to/own-hook.md: a recurrent network that nobody but this file knows.

    python docs/examples/thinker.py

It is given two numbers and thinks eight times about their sum modulo 13; the same two layers are applied every time. It
is trained on all 169 pairs, so its accuracy says nothing about generalising: it is here to be wired. Needs torch.

Written into the working folder:

    thinker.safetensors        the weights in float32
    thinker-int8.safetensors   the same, rounded to 8 bits with a scale an output channel, and stored as float32
    thinker-int2.safetensors   rounded to 2 bits with one scale a matrix
    pairs.npz                  inputs (156, 2), pairs of different numbers, and labels (156, 1), their sums
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

MODULUS, WIDTH, TIMES = 13, 64, 8
UPDATES, LEARNING_RATE = 120, 5e-3


class Thinker(nn.Module):
    """Two numbers in, their sum out, after a thought that is refined again and again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(MODULUS, width)
        self.think = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width), nn.Tanh())
        self.head = nn.Linear(width, MODULUS)

    def forward(self, tokens: torch.Tensor, times: int = TIMES) -> torch.Tensor:
        """Return logits (B, MODULUS) for tokens (B, 2)."""
        given = self.embed(tokens).flatten(1)  # (B, 2 * width)
        thought = given.new_zeros(len(given), self.head.in_features)
        for _ in range(times):
            thought = self.think(torch.cat((given, thought), dim=1))
        return self.head(thought)


def build(width: int = WIDTH) -> nn.Module:
    """Return the network; the gate loads the weights."""
    return Thinker(width)


def main() -> None:
    """Train it, round it twice, and save everything."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # so small a network trains no faster on several
    pairs = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS))
    sums = pairs.sum(dim=1) % MODULUS
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    for _ in range(UPDATES):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pairs), sums).backward()
        optimizer.step()
    probes = pairs[:, 0] != pairs[:, 1]  # a probe of one token again and again is refused
    np.savez("pairs.npz", inputs=pairs[probes].int().numpy(), labels=sums[probes, None].int().numpy())
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    for name, bits, by_channel in (("thinker", 32, True), ("thinker-int8", 8, True), ("thinker-int2", 2, False)):
        made = {key: rounded(tensor, bits, by_channel) if "think" in key else tensor for key, tensor in weights.items()}
        save_file(made, f"{name}.safetensors")
        model.load_state_dict(made)
        with torch.inference_mode():
            right = (model(pairs).argmax(dim=-1) == sums).float().mean().item()
        sys.stdout.write(f"{name}.safetensors: {right:.1%} of the sums are right\n")


def rounded(matrix: torch.Tensor, bits: int, by_channel: bool) -> torch.Tensor:
    """Return a matrix (N, K) rounded to symmetric integers of so many bits; anything else, and 32 bits, as it is."""
    if matrix.ndim != 2 or bits == 32:
        return matrix.clone()
    largest = matrix.abs().amax(dim=1, keepdim=True) if by_channel else matrix.abs().amax()
    scale = largest / (2 ** (bits - 1) - 1)
    return (matrix / scale).round() * scale


if __name__ == "__main__":
    main()
