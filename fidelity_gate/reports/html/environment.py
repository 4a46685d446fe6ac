"""Templates -> a page: everything is escaped by itself, nothing is loaded, and nothing can run."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from fidelity_gate.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = "templates"
STYLE = "style.css"
TEXT_LIMIT = 1000
DECIMALS = 2  # of a coordinate
_RTL = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff"
# Words that are read from right to left, up to the first digit or other letter.
_RTL_RUN = re.compile(f"[{_RTL}](?:[{_RTL}]|[^\\w{_RTL}]+(?=[{_RTL}]))*")


def render(template: str, **views: object) -> str:
    """Return the page of a template; equal views give equal bytes.

    Args:
        template: its file name.
        views: what it shows.
    """
    page = _environment().get_template(template)
    return page.render(style_digest=style_digest(), **views)


def style() -> str:
    """Return the style sheet."""
    return _source(STYLE)


def style_digest() -> str:
    """Return what a content security policy calls the style sheet: nothing else may style the page."""
    digest = hashlib.sha256(style().encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["verbatim"] = _verbatim
    return made


def _source(name: str) -> str:
    return (files(__package__) / FOLDER / name).read_text(encoding="utf-8")


def _verbatim(name: str) -> object:
    """Return the style sheet unescaped: the one text of the page that is ours and is no HTML."""
    from markupsafe import Markup

    return Markup(style()) if name == STYLE else name  # noqa: S704  (our own file, which holds no "<")


def _shown(value: object) -> object:
    """Return what an expression of a template comes to: text with everything hidden made visible, short coordinates.

    Every expression passes through here, and then through the escaping of HTML; what is ours keeps its form.
    """
    if type(value) is str:
        return _in_order(printable(value, TEXT_LIMIT))
    if isinstance(value, float):
        return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return value


def _in_order(text: str) -> object:
    """Return text in which a name that is read from right to left turns nothing around that stands beside it.

    Without a mark after such a name, browsers show `NAME: 0.9 < 0.97` as `0.97 > 0.9 :NAME`.
    """
    if text.isascii() or not _RTL_RUN.search(text):
        return text
    from markupsafe import Markup, escape

    return Markup(_RTL_RUN.sub(r"\g<0>&lrm;", str(escape(text))))  # noqa: S704  (escaped in this line)
