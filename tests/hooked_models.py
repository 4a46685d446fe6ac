"""Recursive models as a user of the gate may have them: the gate knows none of these classes."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import torch
from torch import nn


class UniversalTransformer(nn.Module):
    """One block applied `hops` times; the carry is what the block returns."""

    def __init__(self, width=8, vocab=5, hops=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.block = nn.TransformerEncoderLayer(width, 2, 16, dropout=0.5, batch_first=True)
        self.head = nn.Linear(width, vocab)
        self.hops = hops

    def forward(self, tokens, hops=None):
        x = self.embed(tokens)
        for _ in range(hops or self.hops):
            x = self.block(x)
        return {"logits": self.head(x), "all": [x]}


class DeepThinking(nn.Module):
    """A convolutional thought, channels first, refined by a recurrent block."""

    def __init__(self, channels=6, size=3, vocab=5, iterations=5):
        super().__init__()
        self.embed = nn.Embedding(vocab, channels)
        self.recur_block = nn.Sequential(nn.Conv2d(2 * channels, channels, 3, padding=1), nn.Tanh())
        self.head = nn.Conv2d(channels, vocab, 1)
        self.size, self.iterations = size, iterations

    def forward(self, tokens):
        board = self.embed(tokens).movedim(-1, 1).reshape(len(tokens), -1, self.size, self.size)
        thought = torch.zeros_like(board)
        for _ in range(self.iterations):
            thought = self.recur_block(torch.cat((thought, board), 1))
        return thought, self.head(thought)


class CellState(NamedTuple):
    hidden: torch.Tensor  # (B, D)
    step: int


class Cell(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cell = nn.GRUCell(width, width)

    def advance(self, x, state):
        return CellState(self.cell(x, state.hidden), state.step + 1)


class Reader(nn.Module):
    """A recurrent cell that reads its tokens one by one; its state comes from a method, inside a tuple."""

    def __init__(self, width=8, vocab=5):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.cell = Cell(width)

    def forward(self, tokens):
        state = CellState(torch.zeros(len(tokens), self.embed.embedding_dim), 0)
        for x in self.embed(tokens).unbind(1):
            state = self.cell.advance(x, state)
        return state.hidden


class TwoStreams(nn.Module):
    """Two streams: `low` is called twice a step, `high` once."""

    def __init__(self, width=8, vocab=5, steps=3):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.low, self.high = nn.Linear(width, width), nn.Linear(width, width)
        self.steps = steps

    def forward(self, tokens):
        x = self.embed(tokens)
        high = low = torch.zeros_like(x)
        for _ in range(self.steps):
            for _ in range(2):
                low = self.low(torch.tanh(low + high + x))
            high = self.high(torch.tanh(high + low))
        return high


class Weightless(nn.Module):
    """Shows its weight itself as the first stream."""

    def __init__(self):
        super().__init__()
        self.start = Shown()
        self.step = nn.Linear(4, 4)

    def forward(self, tokens):
        for _ in range(3):
            x = self.step(self.start(len(tokens)))
        return x


class Shown(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, rows):
        return self.weight.expand(rows, 2, 4)


class Random(nn.Module):
    """Draws its initial state, as some depth-recurrent language models do."""

    def __init__(self):
        super().__init__()
        self.block = nn.Linear(4, 4)

    def forward(self, tokens):
        x = torch.randn(len(tokens), 2, 4)
        for _ in range(3):
            x = self.block(x) + 0.1 * torch.randn_like(x)
        return x


class Stubborn(nn.Module):
    """Swallows every error it can."""

    def __init__(self):
        super().__init__()
        self.block = nn.Linear(4, 4)
        self.ended = []

    def forward(self, tokens):
        x = torch.zeros(len(tokens), 2, 4)
        try:
            for _ in range(5):
                with contextlib.suppress(Exception):
                    x = self.block(x)
        finally:
            ENDED.append(len(tokens))
        return x


ENDED: list[int] = []
CALLS: list[int] = []


def failing(**_):
    raise ValueError("no such thing")


def not_a_module():
    return 3


def changing():
    CALLS.append(1)
    module = nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.fill_(len(CALLS))
    return module


def breaking():
    return Breaking()


class Breaking(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Linear(4, 4)

    def forward(self, tokens):
        self.block(torch.zeros(len(tokens), 2, 4))
        raise RuntimeError("out of \x1b[31m ideas")
