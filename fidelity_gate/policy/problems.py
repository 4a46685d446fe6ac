"""Everything that can be wrong with a policy -> one PolicyError each, with line, column, key and how to mend it."""

from __future__ import annotations

import difflib
import os.path
import re
import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from fidelity_gate.errors import GateError, PolicyError
from fidelity_gate.policy.schema import PolicyBlock
from fidelity_gate.policy.schema_values import DAY_PATTERN, DIGEST_PATTERN, ID_WORDS, kind_of
from fidelity_gate.records import Place
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from fidelity_gate.policy.yaml_reader import Node

Path = tuple[str | int, ...]

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
    "list_type": "a list",
}
# What people write for true and false, here or in other formats.
_SPELLINGS = {"true": ("true", "yes", "on", "y"), "false": ("false", "no", "off", "n")}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_PATTERNS = {
    DAY_PATTERN: ("is no day", "written like 2026-01-31"),
    DIGEST_PATTERN: ("is no SHA-256", "64 digits, 0 to 9 and a to f, as reports show it"),
}
_HARDLY = 0.1  # as a difference of likeness, from 0 to 1
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(slots=True)
class Problems:
    """Collects what is wrong with one file, so that `policy lint` can show it all and a run the first."""

    tree: Node
    file: str
    found: list[PolicyError] = field(default_factory=list)
    root: type[BaseModel] = PolicyBlock  # what the file's top level is

    def add(self, path: Path, what: str, hint: str = "", *, key: bool = False) -> None:
        """Take a problem of the value at `path`, or of its key."""
        place = self.place(path, key=key)
        self.found.append(PolicyError(what, where=str(place), field=_dotted(path), hint=hint))

    def add_at(self, place: Place, path: Path, what: str, hint: str = "") -> None:
        """Take a problem that stands somewhere else than the tree's value at `path`: in a file that was refined."""
        self.found.append(PolicyError(what, where=str(place), field=_dotted(path), hint=hint))

    def take(self, error: GateError, path: Path) -> None:
        """Take an error of another module that belongs to the value at `path`."""
        where = str(self.place(path))
        self.found.append(PolicyError(error.what, where=where, field=error.field or _dotted(path), hint=error.hint))

    def add_invalid(self, error: ValidationError) -> None:
        """Take everything pydantic found, one problem a place."""
        found: dict[Path, ErrorDetails] = {}
        for details in error.errors(include_url=False):
            found.setdefault(tuple(step for step in details["loc"] if step != "[key]"), details)
        strange = [path for path, details in found.items() if details["type"] == "extra_forbidden"]
        for path, details in found.items():
            if details["type"] != "missing" or not _misspelt(path, strange):
                self._add_details(path, details)

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Return where the value at `path` is written; of something that is missing, where its block is."""
        node, reached = self.tree.at(path)
        whole = len(reached) == len(path)
        return node.key_place if key or not whole else node.place

    def folder(self, path: Path) -> str:
        """Return the folder of the file that says the value at `path`; "" for the working folder."""
        return os.path.dirname(self.place(path).file)  # noqa: PTH120

    def raw(self, path: Path) -> str:
        """Return the scalar at `path` as its author wrote it."""
        return self.tree.at(path)[0].raw

    def in_order(self) -> tuple[PolicyError, ...]:
        """Return the problems in the order of the file."""
        once = {str(error): error for error in self.found}  # a check is resolved once a target
        return tuple(sorted(once.values(), key=lambda error: _position(error, self.file)))

    def refuse_any(self) -> None:
        """Raise the first problem, if there is one."""
        for error in self.in_order():
            raise error

    def _add_details(self, path: Path, details: ErrorDetails) -> None:
        kind = details["type"]
        if kind == "extra_forbidden":
            self.add(path, f"unknown key '{path[-1]}'", _hint_for_key(path, self.root), key=True)
        elif kind == "missing":
            self.add(path, "is missing", _description(path, self.root))
        else:
            what, hint = _told(kind, details)
            block = block_at(path, self.root) if kind == "model_type" else None
            keys = ", ".join(item.alias or key for key, item in block.model_fields.items()) if block else ""
            self.add(path, what, hint or (f"its keys: {keys}" if keys else ""), key="[key]" in details["loc"])


def _told(kind: str, details: ErrorDetails) -> tuple[str, str]:
    """Return what is wrong and how to mend it, in our words."""
    context: dict[str, Any] = details.get("ctx", {})
    given = kind_of(details["input"])
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {given}", _spelling(kind, details["input"])
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"must be {words} {context[key]}, not {given}", ""
    if kind == "literal_error":
        allowed = re.findall(r"'[^']*'|[0-9]+", str(context["expected"]))
        allowed = [one.strip("'") for one in allowed]
        return f"{given} is not known here", near_or_known(str(details["input"]), allowed)
    if kind == "string_pattern_mismatch":
        what, hint = _PATTERNS.get(str(context["pattern"]), ("cannot be a name", ID_WORDS))
        return f"{given} {what}", hint
    if kind == "too_short":
        return "is empty", "name at least one"
    return str(details["msg"]), str(context.get("hint", ""))  # ours say it well


def _misspelt(path: Path, strange: Iterable[Path]) -> bool:
    """Return whether a key that is missing is there in another spelling, which is told already."""
    return any(one[:-1] == path[:-1] and str(path[-1]) in _near(str(one[-1]), [str(path[-1])]) for one in strange)


def _spelling(kind: str, given: object) -> str:
    """Return how a value is written that is of another type only because of its spelling."""
    if kind in ("model_type", "dict_type") and isinstance(given, list):
        return "keys, each with a colon, and no dashes"
    if not isinstance(given, str):
        return ""
    meant = next((word for word, spellings in _SPELLINGS.items() if given.lower() in spellings), "")
    if kind == "bool_type" and meant:
        return f"write {meant}, without quotes"
    return "without quotes" if kind in ("int_type", "float_type") and _NUMBER.fullmatch(given) else ""


def near_or_known(name: str, allowed: Iterable[str]) -> str:
    """Return `did you mean ...?` where a known name is near, else all that are known."""
    names = list(allowed)
    near = _near(name, names)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"


def _near(name: str, names: list[str]) -> list[str]:
    """Return the nearest name, and the next one where it is hardly farther."""
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    away = [difflib.SequenceMatcher(None, one, name).ratio() for one in near]
    return near[:1] if len(near) == 2 and away[0] - away[1] > _HARDLY else near


def _hint_for_key(path: Path, root: type[BaseModel]) -> str:
    name = str(path[-1])
    block = block_at(path[:-1], root)
    if block is None:
        return ""
    return near_or_known(name, [item.alias or key for key, item in block.model_fields.items()])


def _description(path: Path, root: type[BaseModel]) -> str:
    block = block_at(path[:-1], root)
    fields = {item.alias or key: item for key, item in block.model_fields.items()} if block else {}
    return (fields[str(path[-1])].description or "").rstrip(".") if str(path[-1]) in fields else ""


def block_at(path: Path, root: type[BaseModel] = PolicyBlock) -> type[BaseModel] | None:
    """Return the schema's block that stands at `path`."""
    kind: Any = root
    for step in path:
        kind = _below(kind, step)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _below(kind: Any, step: str | int) -> Any:  # noqa: ANN401  (types)
    """Return the type of what stands under `step` in a value of type `kind`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        named = {item.alias or key: item for key, item in kind.model_fields.items()}
        return _bare(named[str(step)].annotation) if str(step) in named else None
    arguments = typing.get_args(kind)
    return _bare(arguments[-1]) if arguments else None


def _bare(kind: Any) -> Any:  # noqa: ANN401  (types)
    """Return a type without its annotations and without None."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _bare(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return _bare(next(member for member in typing.get_args(kind) if member is not type(None)))
    return kind


def _dotted(path: Path) -> str:
    return ".".join(printable(str(step), 60) for step in path)


def _position(error: PolicyError, file: str) -> tuple[bool, str, int, int]:
    """Return where an error comes: those of the policy itself first, then its bases by name."""
    match = re.search(r"^(.*?)(?::([0-9]+):([0-9]+))?$", error.where)
    name, line, column = match.groups() if match else (error.where, None, None)
    return name != file, name, int(line or 0), int(column or 0)
