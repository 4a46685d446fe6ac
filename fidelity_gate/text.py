"""The one escaping function: every string that a stranger may have written passes through it."""

from __future__ import annotations

import re
import unicodedata

ELLIPSIS = "..."

_DOUBLED = re.compile(":(?=:)")  # of three colons, two pairs
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, limit: int = 200) -> str:
    r"""Return `text` on one line, with everything that could act on a reader made visible.

    Control, format (bidirectional marks too), surrogate, private and unassigned characters come
    out as `\x1b`-like escapes, and the two command markers that the GitHub runner obeys anywhere in
    a line (`::` and `##[`) are broken up, so that a name can neither move a cursor, nor start a
    workflow command, nor make an XML file unreadable.

    Args:
        text: any string, of any length.
        limit: the most characters to return; a longer text ends in `...`.

    Returns:
        A string without line breaks, of at most `limit` characters.
    """
    cut = text[: limit + 1]
    plain = cut.isascii() and cut.isprintable()  # nearly every text: nothing in it has to be looked at one by one
    safe = cut if plain else "".join(_visible(character) for character in cut)
    safe = _DOUBLED.sub(": ", safe.replace("##[", "# #["))
    if len(safe) <= limit and len(text) <= limit:
        return safe
    return safe[: limit - len(ELLIPSIS)] + ELLIPSIS


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE_CATEGORIES:
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def quiet_json(text: str) -> str:
    r"""Return JSON in which no string starts a workflow command, and that reads back as the very same values.

    `::` and `##[` can stand in JSON only inside strings, where `\u003a` and `\u0023` mean the same characters; the
    GitHub runner obeys the raw ones anywhere in a line of its log.
    """
    return text.replace("::", ":\\u003a").replace("##[", "#\\u0023[")
