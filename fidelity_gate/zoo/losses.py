"""The losses of TRM and HRM training: stablemax cross-entropy over the answer, and the halting loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from fidelity_gate.records import Tensor

IGNORE = -100
TINY = 1e-30  # keeps 1/(1-x) finite at x = 1, where that branch is not taken


def stablemax_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return each probe's mean cross-entropy (B,) under the stablemax, which is computed in float64.

    The stablemax replaces exp(x) by x + 1 for x >= 0 and by 1 / (1 - x) below, which grows too slowly to absorb.

    Args:
        logits: (B, S, V).
        labels: (B, S), `IGNORE` where a cell does not count.
    """
    wide = logits.to(torch.float64)
    mass = torch.where(wide < 0, 1 / (1 - wide + TINY), wide + 1)
    log_share = torch.log(mass) - torch.log(mass.sum(-1, keepdim=True))
    counts = labels != IGNORE
    picked = log_share.gather(-1, torch.where(counts, labels, 0).unsqueeze(-1)).squeeze(-1)
    return -(picked * counts).sum(-1) / counts.sum(-1).clamp_min(1)


def is_exact(logits: Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return which probes (B,) have every counted cell right."""
    exact: torch.Tensor = ((logits.argmax(-1) == labels) | (labels == IGNORE)).all(-1)
    return exact


def training_loss(logits: torch.Tensor, halt: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the scalar loss of one supervision step: the answer's, plus half the halting loss.

    Args:
        logits: (B, S, V).
        halt: (B, 2); only the first column (halt) is trained, towards "this answer is exact".
        labels: (B, S).
    """
    answer = stablemax_cross_entropy(logits, labels).mean()
    target = is_exact(logits.detach(), labels).to(halt.dtype)
    return answer + 0.5 * functional.binary_cross_entropy_with_logits(halt[:, 0], target)
