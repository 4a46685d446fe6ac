"""How well weights solve labelled rows, at full depth and in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from fidelity_gate.inputs.making import make_probes
from fidelity_gate.records import RunSpec
from fidelity_gate.zoo.losses import is_exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.protocols import Family
    from fidelity_gate.records import Depth

BATCH = 125


def exact_rows(
    family: Family,
    weights: Mapping[str, torch.Tensor],
    rows: tuple[NDArray[np.int32], NDArray[np.int32]],
    depth: Depth,
) -> NDArray[np.bool_]:
    """Return which rows (N,) are solved exactly after the last ACT step.

    Args:
        family: the architecture.
        weights: official key -> float32.
        rows: inputs and labels, (N, S) each.
        depth: how deep to run.
    """
    model = family.build(weights, RunSpec())
    found = []
    for first in range(0, len(rows[0]), BATCH):
        inputs, labels = (part[first : first + BATCH] for part in rows)
        *_, state = model.run(make_probes(inputs, labels, source="zoo"), depth)
        found.append(is_exact(state.logits, torch.from_numpy(labels).long()))
    return torch.cat(found).numpy()
