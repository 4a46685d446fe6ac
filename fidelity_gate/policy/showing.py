"""A resolved policy as YAML: one policy without bases, every value with a comment that says where it is from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.policy.fragments import LEFT_OPEN, is_base
from fidelity_gate.policy.merging import OWN
from fidelity_gate.policy.origins import flat, said_by
from fidelity_gate.policy.schema import API_VERSION
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.extending import Chain
    from fidelity_gate.policy.origins import Said
    from fidelity_gate.records import Scalar

Line: TypeAlias = tuple[str, str]  # YAML, and its comment

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*|-?[0-9][0-9.]* ?(%|[A-Za-z]+)", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_WORDS = frozenset({"true", "false", "null", "Null", "NULL"})
_COMMENTS_AT_MOST = 60  # columns before a comment; what is longer pushes its own away
_GIVEN = ("reference", "candidates", "inputs")


def shown(side: Side, chain: Chain) -> str:
    """Return the policy as YAML that asks for the same and extends nothing.

    Args:
        side: the policy, resolved; of a file that is only there to be extended, what it leaves open is told as such.
        chain: the files that it is made of.
    """
    everything = said_by(side)
    entries = {key: said for key, said in everything.items() if not _is_left_open(key, said)}
    base = is_base(side.places.tree)
    body = [("apiVersion: " + API_VERSION, "")]
    body += [("base: true", "only there to be extended")] if base else []
    body += [line for key in ("name",) for line in _entry(key, entries[key], 0)]
    body += [line for key, said in entries.items() if key not in OWN for line in _entry(key, said, 0)]
    missing = [key for key in (*_GIVEN, *everything) if key not in entries and key not in OWN]
    body += [(f"# {key}: from {LEFT_OPEN if base else 'the command line'}", "") for key in missing]
    column = min(_COMMENTS_AT_MOST, max(len(text) for text, comment in body if comment))
    lines = [f"{text.ljust(column)}  # {printable(comment, 400)}" if comment else text for text, comment in body]
    return "".join(f"{line}\n" for line in [*_head(side, chain), *lines])


def origins(side: Side) -> dict[str, str]:
    """Return where every single value of a resolved policy is from, by its dotted key."""
    return {".".join(map(str, path)): said.origin for path, said in flat(said_by(side))}


def _is_left_open(key: str, said: Said) -> bool:
    return all(one.origin.startswith(f"{LEFT_OPEN}:") for _, one in flat({key: said}))


def _head(side: Side, chain: Chain) -> Iterator[str]:
    yield f"# {side.policy.name}, digest sha256 {side.policy.digest}"
    if len(chain.links) > 1:
        yield "# resolved from these files, a later one refining an earlier one:"
        yield from (f"#   {printable(link.name)}, sha256 {link.digest}" for link in chain.links)


def _entry(key: str, said: Said, depth: int) -> Iterator[Line]:
    start = f"{'  ' * depth}{key if _KEY.fullmatch(key) else json.dumps(key)}:"
    if isinstance(said.value, tuple):
        yield start, ""
        for item in said.value:
            yield from _item(item, depth + 1)
    elif isinstance(said.value, dict):
        yield start, ""
        yield from _entries(said.value, depth + 1)
    else:
        yield f"{start} {_scalar(said)}", _comment(said)


def _entries(entries: Mapping[str, Said], depth: int) -> Iterator[Line]:
    for key, said in entries.items():
        yield from _entry(key, said, depth)


def _item(said: Said, depth: int) -> Iterator[Line]:
    """Yield one item of a list; a mapping starts on the line of its dash."""
    dash = f"{'  ' * depth}- "
    if isinstance(said.value, dict):
        lines = list(_entries(said.value, depth + 1))
        yield f"{dash}{lines[0][0].lstrip()}", lines[0][1]
        yield from lines[1:]
    else:
        yield f"{dash}{_scalar(said)}", _comment(said)


def _comment(said: Said) -> str:
    return f"{said.origin}; {said.note}" if said.note else said.origin


def _scalar(said: Said) -> str:
    """Return a single value so that it is read back as the very same."""
    value: Scalar = said.value  # type: ignore[assignment]  # neither a mapping nor a list
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return said.raw or repr(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text not in _WORDS else json.dumps(text, ensure_ascii=False)
