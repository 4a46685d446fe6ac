"""Two saved runs -> what changed between them."""

from fidelity_gate.comparing.changes import compare
from fidelity_gate.comparing.runs import Run

__all__ = ["Run", "compare"]
