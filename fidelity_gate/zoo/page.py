"""The model cards as Markdown, for `docs/zoo.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.zoo.catalog import entry, names

if TYPE_CHECKING:
    from fidelity_gate.zoo.catalog import ZooEntry


def page() -> str:
    """Return one section for every shipped model, sorted by name."""
    return "\n".join(_section(entry(name)) for name in names())


def _section(found: ZooEntry) -> str:
    card = found.card
    facts = {
        "Family": card.family,
        "Depth": str(found.depth),
        "Parameters": f"{card.parameters:,}",
        "Exact": f"{card.exact:.1%} of {card.rows} evaluation rows",
        "Weights (sha256)": f"`{card.digest}`",
        "Evaluation rows (digest)": f"`{card.evaluation_digest}`",
        "Calibration rows (digest)": f"`{card.calibration_digest}`",
        "Seed, steps": f"{card.recipe['seed']}, {card.recipe['steps']:,}",
        "Recipe": ", ".join(f"{key} {str(value).lower()}" for key, value in sorted(card.recipe.items())),
        "Trained with": ", ".join(f"{library} {version}" for library, version in sorted(card.libraries.items())),
    }
    rows = [f"| {key} | {value} |" for key, value in facts.items()]
    notes = [f"* {note}" for note in card.notes]
    return "\n".join(
        [f"### {found.name}", "", card.summary, "", "| | |", "|---|---|", *rows, "", *notes, *[""] * bool(notes)]
    )
