"""Small fakes that implement the protocols: numpy recursions (sound, chaotic, dead ...), their files, their inputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.records import (
    Depth,
    Geometry,
    ModelFacts,
    Probes,
    Role,
    StepState,
    TensorFact,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.records import ModelSpec, RunSpec

TOKENS, WIDTH, VOCAB = 9, 16, 6
DEPTH = Depth(h_cycles=1, l_cycles=2, steps=6)


class FakeRecursion:
    """z_L and z_H updated by one tanh block; `warp` changes what is shown, not what is carried on."""

    def __init__(
        self, *, seed=0, error=0.0, gain=0.8, warp: Callable[[StepState, int], StepState] | None = None, **shape
    ):
        rng = np.random.default_rng(seed)
        self.streams: tuple[str, ...] = shape.get("streams", ("z_H", "z_L"))
        width, vocab = shape.get("width", WIDTH), shape.get("vocab", VOCAB)
        self.dtype = np.dtype(shape.get("dtype", "float32"))
        scale = gain / np.sqrt(width)
        self.block = rng.normal(size=(2, width, width)) * scale
        self.block += error * scale * np.random.default_rng(99).normal(size=self.block.shape)
        self.embedding = rng.normal(size=(vocab, width))
        self.positions = rng.normal(size=(64, width))
        self.head = rng.normal(size=(width, vocab))
        self.halting = rng.normal(size=(width, 2))
        self.start = rng.normal(size=(2, 1, 1, width))
        self.warp = warp
        self.extra_steps = shape.get("extra_steps", 0)
        self.runs = 0

    def run(self, batch, depth, *, perturbation=0.0, seed=0):
        self.runs += 1
        x = self.embedding[batch.inputs] + self.positions[: batch.inputs.shape[1]]
        noise = np.random.default_rng(seed)
        carry = [np.broadcast_to(each, x.shape) * 1.0 for each in self.start]
        carry = [each * (1 + perturbation * noise.normal(size=each.shape)) for each in carry]
        for step in range(1, depth.steps + self.extra_steps + 1):
            high, low = carry
            for _ in range(depth.h_cycles):
                for _ in range(depth.l_cycles):
                    low = np.tanh((low + high + x) @ self.block[0] + 0.3 * low.mean(axis=1, keepdims=True))
                high = np.tanh((high + low) @ self.block[1] + 0.5 * low)
            carry = [high, low]
            shown = [each.astype(self.dtype) for each in carry][: len(self.streams)]
            state = StepState(
                dict(zip(self.streams, shown, strict=True)),
                (high @ self.head).astype(self.dtype),
                (high[:, 0] @ self.halting).astype(self.dtype),
            )
            sent = yield self.warp(state, step) if self.warp else state
            if sent is not None:
                carry = [np.asarray(sent[name], dtype=np.float64) for name in self.streams]


def scaled(state, step, by=10.0):
    return replace(state, carry={name: each * np.float32(by) for name, each in state.carry.items()})


def one_token_flipped(state, step):
    carry = {name: each.copy() for name, each in state.carry.items()}
    for each in carry.values():
        each[:, 3] *= -1
    return replace(state, carry=carry)


def nan_at(step_wanted, row, what="z_H"):
    def warp(state, step):
        if step != step_wanted or len(state.logits) <= row:
            return state
        if what == "logits":
            broken = state.logits.copy()
            broken[row] = np.nan
            return replace(state, logits=broken)
        carry = {name: each.copy() for name, each in state.carry.items()}
        carry[what][row, 2, 1] = np.nan
        return replace(state, carry=carry)

    return warp


def frozen(state, step):
    """Always the same carry, whatever the step; it still differs between probes."""
    carry = {name: np.cumsum(np.ones_like(each), axis=0) for name, each in state.carry.items()}
    carry = {name: each + np.arange(each.shape[2], dtype=each.dtype) for name, each in carry.items()}
    return replace(state, carry=carry)


def blind(state, step):
    """Always the same carry, whatever the probe; it still moves."""
    return replace(state, carry={name: each * 0 + np.float32(step) for name, each in state.carry.items()})


def zero_carry(state, step):
    return replace(state, carry={name: each * 0 for name, each in state.carry.items()})


def without(*names):
    def warp(state, step):
        return replace(state, carry={name: each for name, each in state.carry.items() if name not in names})

    return warp


def renamed(state, step):
    return replace(state, carry={f"{name}_out": each for name, each in state.carry.items()})


class Unsteady(FakeRecursion):
    """Dropout left on: no two runs are the same."""

    def run(self, batch, depth, *, perturbation=0.0, seed=0):
        for state in super().run(batch, depth):
            noise = 1 + 1e-3 * np.random.default_rng(self.runs).normal()
            yield replace(state, carry={name: (each * noise).astype(each.dtype) for name, each in state.carry.items()})


def some_probes(count=40, *, seed=5, labels=True, tokens=TOKENS, answer_slice=None) -> Probes:
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, VOCAB, size=(count, tokens)).astype(np.int32)
    truth = rng.integers(0, VOCAB, size=(count, tokens)).astype(np.int32)
    start, stop = answer_slice or (0, tokens)
    return Probes(
        inputs=inputs,
        labels=truth[:, start:stop] if labels else None,
        identifiers=np.zeros(count, np.int32),
        digest="e" * 64,
        source="fake probes",
        answer_slice=answer_slice,
    )


@dataclass
class Recorded:
    """A progress that remembers."""

    told: list = field(default_factory=list)

    def start(self, label, total):
        self.told.append(("start", label, total))

    def advance(self, count):
        self.told.append(("advance", count))

    def done(self):
        self.told.append(("done",))


# ---------------------------------------------------------------- files


def some_facts(name, *, bits=32.0, **changes) -> ModelFacts:
    """Facts of a model whose block is stored in `bits` bits a value."""
    values = 2 * WIDTH * WIDTH
    tensors = (
        TensorFact("block", Role.BLOCK, (2, WIDTH, WIDTH), f"{bits:g} bit", bits, int(values * bits / 8)),
        TensorFact("embed", Role.EMBEDDING, (VOCAB, WIDTH), "float32", 32.0, VOCAB * WIDTH * 4),
    )
    facts = ModelFacts(
        path=f"/nowhere/{name}",
        digest=(name.encode().hex() + "0" * 64)[:64],
        size_bytes=sum(tensor.stored_bytes for tensor in tensors) + 100,
        file_format="fake",
        family="fake",
        architecture=(),
        depth=DEPTH,
        geometry=Geometry(TOKENS, WIDTH, 2, WIDTH * WIDTH),
        tensors=tensors,
    )
    return replace(facts, **changes)


@dataclass
class FakeOpened:
    facts: ModelFacts
    recursion: FakeRecursion
    loads: int = 0

    def load(self, run: RunSpec):
        self.loads += 1
        return self.recursion

    def dense(self):
        return {}

    def stored_weights(self):
        return None

    def step_graph(self):
        return None


# What FakeFormat and FakeInputs give out: a test sets them up.
SHELF: dict[str, FakeOpened] = {}
PROBES: dict[str, Probes] = {}


class FakeFormat:
    runs_code = False

    def recognises(self, path: str, head: bytes) -> bool:
        return False

    def open(self, spec: ModelSpec) -> FakeOpened:
        return SHELF[Path(spec.path).name]


@dataclass(frozen=True)
class FakeInputs:
    name: str = "probes"

    def probes(self, base: str) -> Probes:
        return PROBES[self.name]
