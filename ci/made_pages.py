"""Writes pages that are made of the code, and deletes those that nobody makes any more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[1]


def write(wanted: Mapping[Path, str], folder: Path) -> None:
    """Write every page that is not as it should be, and name it on standard output.

    Args:
        wanted: path -> text, of all pages.
        folder: every other page in it is deleted.
    """
    for path in sorted({*folder.glob("*.md"), *wanted}):
        if path not in wanted:
            path.unlink()
        elif not path.exists() or path.read_text(encoding="utf-8") != wanted[path]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            continue
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
