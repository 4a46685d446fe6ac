"""Writes the pages of docs/reference/ from the code: `make pages`.

Commands come from click, policy keys from the JSON Schema of the pydantic models, the plugs of every room from its
table: their docstrings, their fields and the defaults of these. What nobody writes by hand cannot disagree with the
program.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ci import made_pages, reference_cli, reference_policy, reference_rooms

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Made by `make pages` from the code: change that. -->"
WRITERS: dict[str, Callable[[], str]] = {
    "cli.md": reference_cli.page,
    "policy-keys.md": reference_policy.page,
    "metrics.md": reference_rooms.metrics,
    "recipes.md": reference_rooms.recipes,
    "inputs.md": reference_rooms.inputs,
    "devices.md": reference_rooms.devices,
    "reports.md": reference_rooms.reports,
    "models.md": reference_rooms.models,
    "targets.md": reference_policy.targets,
    "exit-codes.md": reference_cli.exit_codes,
}


def main() -> None:
    """Write every page that is not as it should be, and delete those that nobody makes."""
    made_pages.write(pages(), FOLDER)


def pages() -> dict[Path, str]:
    """Return every page as it should be: path -> text."""
    return {FOLDER / name: _marked(write()) for name, write in WRITERS.items()}


def _marked(text: str) -> str:
    """Return a page that says, beneath its title, where it is from."""
    title, _, rest = text.strip().partition("\n")
    return f"{title}\n\n{MADE}\n{rest}\n"


if __name__ == "__main__":
    main()
