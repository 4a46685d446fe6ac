"""What the reference pages have in common: cells, tables, and docstrings taken apart."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.analysis.explaining import attributes_of, documented
from fidelity_gate.options import described

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OTHER_SECTIONS = re.compile(r"^(Raises|Args|Returns|Yields):\n(?:[ ]+.*\n?|\n)*", re.MULTILINE)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; empty without rows."""
    lines = ["| " + " | ".join(cell(one) for one in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *lines]) if lines else ""


def cell(text: str) -> str:
    """Return text as one cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def code(text: str) -> str:
    """Return text in a code span."""
    return f"`{text}`" if text else ""


def ours(room: str) -> list[str]:
    """Return the plugs of a room that this package brings; what else is installed is on no page."""
    plugs = registry.table_of(room)
    return [name for name in plugs if plugs[name].startswith("fidelity_gate.")]


def told(kind: type) -> tuple[str, str]:
    """Return the first paragraph of a docstring in one line, and what follows but for its options and errors."""
    summary, body = documented(kind)
    return " ".join(summary.split()), _OTHER_SECTIONS.sub("", body).strip()


def options(kind: Any) -> str:  # noqa: ANN401  (a plug's class)
    """Return the table of a plug's options: its fields, what they take, their defaults, and what its docstring says."""
    said: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        said |= attributes_of(parent)
    allowed = registry.option_types(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    rows = [
        (code(name), cell(described(allowed[name])), _default(fields[name]), said.get(name, "")) for name in allowed
    ]
    return table(("option", "takes", "when left out", ""), rows)


def _default(item: dataclasses.Field[Any]) -> str:
    if item.default is dataclasses.MISSING:
        return "needed"
    plain = getattr(item.default, "value", item.default)  # an enumeration's value
    if plain is None or plain == "":
        return "none"
    return code(str(plain).lower() if isinstance(plain, bool) else str(plain))
