"""The columns of docs/results.md: what is measured of every rung, and how it becomes one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Aggregate

if TYPE_CHECKING:
    from fidelity_gate.records import Depth, Options


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table: a metric, its options, and how its values become one number."""

    title: str
    metric: str
    options: Options = ()
    aggregate: Aggregate | None = None
    unit: str = ""


COLUMNS = (
    Column("fidelity mean", "carry_fidelity", (), Aggregate.MEAN),
    Column("p05", "carry_fidelity", (), Aggregate.P05),
    Column("worst", "carry_fidelity", (), Aggregate.WORST),
    Column("one step", "step_fidelity", (), Aggregate.MEAN),
    Column("norm ratio", "carry_norm_ratio", (), Aggregate.MEAN),
    Column("consecutive", "consecutive_similarity", (), Aggregate.MEAN),
    Column("agreement", "answer_agreement", (("level", "puzzle"),), Aggregate.MEAN, "fraction"),
    Column("cell", "cell_accuracy", (), Aggregate.MEAN, "fraction"),
    Column("exact", "puzzle_exact", (), Aggregate.MEAN, "fraction"),
    Column("lost", "puzzle_exact_drop", (), Aggregate.MEAN, "fraction"),
    Column("below 16 bit", "compressed_share", (), None, "fraction"),
    Column("size", "model_size", (), None, "bytes"),
    Column("SRAM streaming", "sram_peak", (("scenario", "streaming"),), None, "bytes"),
)


def step_columns(depth: Depth) -> tuple[Column, ...]:
    """Return the columns of the first step and of the one in the middle; the last is there anyway."""
    places = (("first", 1), ("middle", max(1, depth.steps // 2)))
    return tuple(Column(f"{title} step", "carry_fidelity", (("at", at),), Aggregate.MEAN) for title, at in places)
