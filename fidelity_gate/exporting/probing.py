"""Probes to hold an export against torch with, where nobody gave any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.inputs.seeded import Draws

if TYPE_CHECKING:
    from fidelity_gate.records import ModelFacts, Probes

SOURCE = "random tokens"


def random_probes(facts: ModelFacts, count: int, seed: int = 0) -> Probes:
    """Return probes of random tokens that the model knows, and random puzzles where it has embeddings of them.

    They are no puzzles, and the model was not trained on their like: good enough to tell two runs of it apart.

    Args:
        facts: of a TRM or an HRM.
        count: how many.
        seed: of the draws.

    Raises:
        ModelRefused: nobody knows how many tokens.
    """
    told = dict(facts.architecture)
    if not told["seq_len"]:
        what = "is not known: these weights take any number of tokens"
        raise ModelRefused(what, where=facts.path, field="seq_len", hint="--inputs with puzzles of the right length")
    draws = Draws(seed)
    tokens, known, puzzles = (int(told[name] or 0) for name in ("seq_len", "vocab_size", "num_puzzle_identifiers"))
    rows = [[draws.below(known) for _ in range(tokens)] for _ in range(count)]
    identifiers = [draws.below(max(1, puzzles)) for _ in range(count)]
    return make_probes(
        np.array(rows, np.int32), None, identifiers=np.array(identifiers, np.int32), source=f"{SOURCE}, seed {seed}"
    )
