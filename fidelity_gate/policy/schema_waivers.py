"""The blocks of a policy that say what may be missed for a while, and by whose word."""

from __future__ import annotations

from pydantic import Field

from fidelity_gate.policy.schema_values import Block, Day, Digest, Quantity, Said


class WaiverRulesBlock(Block):
    """What may be waived at all; without it nothing may. Policies that extend this one may only tighten it."""

    max_days: int = Field(ge=1, le=366, description="From the day a waiver is made to its last.")
    never: list[str] | None = Field(default=None, min_length=1, description="Checks that are never waived.")


class FloorBlock(Block):
    """How far a waived check may be missed; both ends are inclusive."""

    min: Quantity | None = Field(default=None, description="At least this.")
    max: Quantity | None = Field(default=None, description="At most this.")


class WaiverBlock(Block):
    """Somebody's word that one check may be missed for a while, by one file; `fidelity-gate waive` writes it."""

    check: str = Field(description="The check that is missed.")
    candidate: str = Field(description="The candidate that misses it.")
    target: str | None = Field(default=None, description="The target; needed where the check has several.")
    digest: Digest = Field(description="SHA-256 of the candidate, as reports show it: another file is not waived.")
    floor: FloorBlock = Field(description="How far the check may be missed, in the metric's unit.")
    reason: Said = Field(description="Why it may ship all the same.")
    ticket: Said = Field(description="Where mending it is followed.")
    owner: Said = Field(description="Who answers for it.")
    created: Day = Field(description="The day it is made, in UTC: 2026-01-31.")
    expires: Day = Field(description="Its last day, in UTC.")
