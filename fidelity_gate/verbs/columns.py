"""Plain tables: cells in columns two spaces apart, never cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

GAP = "  "


def columns(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows of equally many cells as lines, every column as wide as its widest cell."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )
