"""`int4-calibrated,clip=mse` -> recipe, and what `--list` says of every recipe."""

from __future__ import annotations

import dataclasses
import inspect
import re
from dataclasses import dataclass
from typing import Any

from fidelity_gate import registry
from fidelity_gate.compress.applying import Compression
from fidelity_gate.errors import UsageError
from fidelity_gate.options import described, shown
from fidelity_gate.protocols import Recipe

ROOM = "compress"
FIELD = "--recipe"


@dataclass(frozen=True, slots=True)
class OptionHelp:
    """One option of a recipe, for people."""

    name: str
    allowed: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class RecipeHelp:
    """One recipe, for people."""

    name: str
    summary: str
    options: tuple[OptionHelp, ...]  # its own
    shared: tuple[OptionHelp, ...]  # those that every recipe for checkpoints has, with this one's defaults


def parse_recipe(text: str) -> Recipe:
    """Return the recipe that `NAME[,key=value...]` names.

    Raises:
        UsageError: no such recipe or option (with the nearest ones), or a value it does not take.
    """
    name, *pairs = text.split(",")
    recipe = registry.build(ROOM, name.strip(), map(_pair, pairs), field=FIELD, kind=UsageError, from_text=True)
    if not isinstance(recipe, Recipe):
        raise UsageError(f"'{name}' is not a recipe", field=FIELD)
    return recipe


def suffix_of(text: str) -> str:
    """Return how the file's name ends that the recipe `NAME[,key=value...]` makes; raises UsageError as above."""
    return str(getattr(parse_recipe(text), "suffix", Compression.suffix))


def recipes() -> tuple[RecipeHelp, ...]:
    """Return every recipe with its options, read from the classes themselves, sorted by name."""
    return tuple(_help(name, registry.find(ROOM, name)) for name in registry.table_of(ROOM))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"'{text}' is not key=value", field=FIELD, hint="int4-calibrated,clip=mse")
    return key.strip(), value.strip()


def shared_options() -> tuple[OptionHelp, ...]:
    """Return the options that every recipe for checkpoints and artifacts has."""
    return _options(Compression)


def _help(name: str, plug: Any) -> RecipeHelp:  # noqa: ANN401  (a plug's class)
    summary = (inspect.getdoc(plug) or "").partition("\n")[0]
    common = {option.name for option in shared_options()}
    options = _options(plug)
    own = tuple(option for option in options if option.name not in common)
    return RecipeHelp(name, summary, own, tuple(option for option in options if option.name in common))


def _options(plug: Any) -> tuple[OptionHelp, ...]:  # noqa: ANN401  (a plug's class)
    meanings = _meanings(plug)
    defaults = {item.name: item.default for item in dataclasses.fields(plug)}
    return tuple(
        OptionHelp(option, described(kind), shown(defaults[option]).strip("'"), meanings.get(option, ""))
        for option, kind in sorted(registry.option_types(plug).items())
    )


def _meanings(plug: Any) -> dict[str, str]:  # noqa: ANN401  (a plug's class)
    """Return the options' texts under `Attributes:` in the docstrings of the class and of those it extends."""
    found: dict[str, str] = {}
    for owner in reversed(plug.__mro__):
        _, _, section = inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")
        for entry in re.split(r"\n(?= {4}\w+:)", f"\n{section}"):
            name, colon, meaning = entry.strip().partition(":")
            if colon:
                found[name] = " ".join(meaning.split())
    return found
