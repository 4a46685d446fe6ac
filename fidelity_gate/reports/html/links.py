"""Addresses of strangers: only what can do nothing but lead to a page becomes a link."""

from __future__ import annotations

LINK = "https://"
LONGEST = 300


def plain_link(text: str) -> str:
    """Return an address that may be followed, or "" where the text is anything else."""
    return text if text.startswith(LINK) and text.isascii() and text.isprintable() and len(text) <= LONGEST else ""
