"""Which rows of a file are probes: `first` left out at the start, `count` taken, never fewer than were asked for."""

from __future__ import annotations

from fidelity_gate.errors import InputsRefused


def check_first_and_count(first: int, count: int | None) -> None:
    """Raise InputsRefused for numbers of rows that no file can meet."""
    if first < 0:
        raise InputsRefused("must not be negative", field="first")
    if count is not None and count < 1:
        raise InputsRefused("must be at least 1", field="count")


def chosen_rows(total: int, first: int, count: int | None, where: str) -> slice:
    """Return the rows that are asked for; raises InputsRefused where a file of `total` rows lacks some of them."""
    stop = total if count is None else first + count
    if first >= total or stop > total:
        wanted = f"{first} to {stop - 1}" if stop > first else f"{first} on"
        raise InputsRefused(f"has {total} rows, but rows {wanted} are asked for", where=where, field="count")
    return slice(first, stop)


def rows_named(name: str, total: int, rows: slice) -> str:
    """Return what people are told of a part of a file: its name, and which rows where not all."""
    return name if rows == slice(0, total) else f"{name}, rows {rows.start} to {rows.stop - 1}"
