"""Two policies -> where they differ, and which of them asks for more there.

Whatever is not known to be ordered is incomparable: another metric, other options, another depth. The same comparison
says what a lock allows and what `policy diff` shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.policy.comparing_blocks import block_differences
from fidelity_gate.policy.comparing_checks import check_differences

if TYPE_CHECKING:
    from fidelity_gate.policy.differing import Difference, Side


def differences(before: Side, after: Side) -> tuple[Difference, ...]:
    """Return every difference from one policy to another, checks first; none where they ask for the same."""
    return (*check_differences(before, after), *block_differences(before, after))
