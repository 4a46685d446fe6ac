"""Addition modulo p: three tokens a, b, '=', and the answer at the last of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fidelity_gate.errors import InputsRefused
from fidelity_gate.inputs.making import IGNORED, make_probes
from fidelity_gate.inputs.seeded import Draws, check_count_and_seed
from fidelity_gate.records import Probes

Rows = NDArray[np.int32]

_LARGEST_MODULUS = 1000  # a million pairs


@dataclass(frozen=True, slots=True)
class ModularAddition:
    """Pairs (a, b) and their sum modulo p, from one of the two parts that a seed splits all p * p pairs into.

    Tokens are 0 .. p - 1 for the numbers and p for '=', so a model needs a vocabulary of p + 1. Only the last cell
    counts: the other labels carry the ignore label.

    Attributes:
        modulus: p, at least 2.
        part: `held-out` (what was not trained on) or `train`.
        share: how much of all pairs is the training part.
        count: how many pairs of the part; by default all of them.
        skip: how many pairs of the part to leave out first, to cut disjoint sets from one part.
        seed: decides the split and the order.
    """

    modulus: int = 59
    part: Literal["held-out", "train"] = "held-out"
    share: float = 0.5
    count: int | None = None
    skip: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no split can give."""
        train = _train_size(self.modulus, self.share)
        part = train if self.part == "train" else self.modulus**2 - train
        wanted = 1 if self.count is None else self.count
        check_count_and_seed(wanted, self.seed)
        if self.skip < 0 or self.skip + wanted > part:
            raise InputsRefused(
                f"the {self.part} part has {part} pairs, {self.skip} skipped and {wanted} wanted", field="count"
            )

    def probes(self, base: str) -> Probes:
        """Return the pairs with their sums; `base` is not used."""
        del base
        train, held_out = split(self.modulus, self.share, self.seed)
        pairs = train if self.part == "train" else held_out
        pairs = pairs[self.skip :] if self.count is None else pairs[self.skip : self.skip + self.count]
        inputs, labels = examples(pairs, self.modulus)
        source = f"addition modulo {self.modulus}, {self.part} part, seed {self.seed}"
        return make_probes(inputs, labels, source=source)


def split(modulus: int, share: float, seed: int) -> tuple[Rows, Rows]:
    """Return the training and the held-out pairs, each (n, 2), in an order that `seed` decides.

    Raises:
        InputsRefused: a modulus below 2 or far too large; a share that leaves one part empty.
    """
    size = _train_size(modulus, share)
    order = np.asarray(Draws(seed).shuffled(range(modulus**2)), np.int32)
    pairs = np.stack(np.divmod(order, np.int32(modulus)), axis=1).astype(np.int32)
    return pairs[:size], pairs[size:]


def examples(pairs: Rows, modulus: int) -> tuple[Rows, Rows]:
    """Return (n, 3) tokens `a b =` and (n, 3) labels, the sum at the last one, for (n, 2) pairs."""
    inputs = np.full((len(pairs), 3), modulus, np.int32)
    inputs[:, :2] = pairs
    labels = np.full((len(pairs), 3), IGNORED, np.int32)
    labels[:, 2] = pairs.sum(axis=1) % modulus
    return inputs, labels


def _train_size(modulus: int, share: float) -> int:
    if not 2 <= modulus <= _LARGEST_MODULUS:
        raise InputsRefused(f"{modulus} is not a modulus this task takes", field="modulus", hint="2 to 1000")
    size = int(modulus**2 * share)
    if not 0 < size < modulus**2:
        raise InputsRefused(f"{share} of {modulus**2} pairs leaves a part empty", field="share", hint="0.5")
    return size
