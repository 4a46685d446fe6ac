"""The weights that training starts from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.models.families.hrm import Hrm
    from fidelity_gate.models.families.trm import Trm

HALT_BIAS = -5.0  # the halting head starts almost sure that nothing is solved
_BRANCH_ENDS = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
UNIT_GAIN = 2.0  # of query and key, so that a unit's head looks mostly at its unit


def initial_weights(model: Trm | Hrm, seed: int) -> dict[str, torch.Tensor]:
    """Return fresh weights: truncated normal, LeCun-scaled; the initial carries, of unit scale, are not trained."""
    noise = torch.Generator().manual_seed(seed)
    found = {}
    for name, (shape, _) in model.tensors().items():
        scale = _scale(name, shape, model.hidden_size)
        weight = torch.empty(shape)
        torch.nn.init.trunc_normal_(weight, std=scale, a=-2 * scale, b=2 * scale, generator=noise)
        if name.startswith("q_head."):
            weight.fill_(HALT_BIAS if name.endswith("bias") else 0.0)
        found[name] = weight
    return found


def start_from_units(weights: dict[str, torch.Tensor], units: NDArray[np.int64], heads: int, seed: int) -> None:
    """Let learned positions and attention start from the units (rows, columns, boxes) that cells are in.

    Each kind of unit gets its own part of the width and its own attention head: positions hold a random code of their
    unit in each part, and the head's query and key are one random projection of that part, so that from the first step
    a cell looks at the cells which constrain it. Residual branches start at zero, because copying the givens is learned
    first and would otherwise unlearn this. All of it is trained on. Attention that had to find the units by itself was
    still at chance after 800 steps of 6x6 sudoku.

    Args:
        weights: changed in place.
        units: (S, U) the unit of each cell, by kind; numbered through all kinds.
        heads: attention heads, at least U.
        seed: of the codes.
    """
    noise = torch.Generator().manual_seed(seed)
    positions = weights["embed_pos.embedding_weight"]
    width, kinds = positions.shape[1], units.shape[1]
    part, head = width // kinds, width // heads
    codes = torch.randn(int(units.max()) + 1, part, generator=noise) / math.sqrt(width)
    for kind in range(kinds):
        positions[-len(units) :, kind * part : (kind + 1) * part] = codes[torch.from_numpy(units[:, kind])]
    for name, weight in weights.items():
        if name.endswith(_BRANCH_ENDS):
            weight.zero_()
        if not name.endswith("self_attn.qkv_proj.weight"):
            continue
        for kind in range(kinds):
            looking = torch.zeros(head, width)
            looking[:, kind * part : (kind + 1) * part] = torch.randn(head, part, generator=noise) / math.sqrt(part)
            for first in (kind * head, width + kind * head):  # query, key
                weight[first : first + head] = UNIT_GAIN * looking


def _scale(name: str, shape: tuple[int, ...], width: int) -> float:
    if name.endswith("_init"):
        return 1.0
    return math.sqrt(1 / (width if name.startswith("embed_") else shape[-1]))
