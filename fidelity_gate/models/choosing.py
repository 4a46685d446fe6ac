"""Which recursion a set of named tensors is: every family is asked, every source must agree, every tensor must fit."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.options import NO_MATCH, converted, described, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.models.sidecars import Source
    from fidelity_gate.protocols import Family
    from fidelity_gate.records import Options, Scalar

ROOM = "models.families"
Shapes = dict[str, tuple[int, ...]]


def choose_family(shapes: Shapes, sources: tuple[Source, ...], where: str) -> tuple[Family, tuple[str, ...]]:
    """Return the architecture that tensors and sources describe, and notes on what one source says against another.

    Args:
        shapes: official key -> shape of every tensor of the file.
        sources: who says what, the one that counts most first.
        where: the file, for errors.

    Raises:
        ModelRefused: no family or several; a fact missing or contradicting; a tensor missing, left over or misshapen.
    """
    wanted = _merged(sources).get("family")
    table = registry.table_of(ROOM)
    if wanted is not None and wanted not in table:
        raise registry.unknown(str(wanted), table, what="there is no family", where=where, kind=ModelRefused)
    names = [str(wanted)] if wanted is not None else list(table)
    found = [family for name in names if (family := _derived(registry.find(ROOM, name), shapes, sources, where))]
    if len(found) != 1:
        raise _undecided([family.name for family in found], shapes, where)
    family = found[0]
    notes = _refuse_contradictions(type(family), shapes, sources, where)
    refuse_misfits(shapes, family, where)
    return family, notes


def refuse_misfits(shapes: Shapes, family: Family, where: str) -> None:
    """Refuse a file whose tensors are not exactly the family's, by name.

    Raises:
        ModelRefused: the first tensor that is missing, left over or of another shape.
    """
    expected = {name: shape for name, (shape, _) in family.tensors().items()}
    missing, extra = sorted(set(expected) - set(shapes)), sorted(set(shapes) - set(expected))
    if missing:
        near = difflib.get_close_matches(missing[0], extra, n=1, cutoff=0.8)
        hint = f"is it {near[0]}?" if near else f"{len(missing)} missing in all"
        raise ModelRefused(f"is missing for {family.name}", where=where, field=missing[0], hint=hint)
    if extra:
        hint = f"{len(extra)} too many in all"
        raise ModelRefused(f"is no tensor of {family.name}", where=where, field=extra[0], hint=hint)
    for name, shape in sorted(expected.items()):
        if tuple(shapes[name]) != tuple(shape):
            what = f"has shape {_sizes(shapes[name])}, and the architecture says {_sizes(shape)}"
            raise ModelRefused(what, where=where, field=name)


def _derived(plug: Any, shapes: Shapes, sources: tuple[Source, ...], where: str) -> Family | None:  # noqa: ANN401
    """Ask one family, with every source's word on the facts it knows."""
    fields = registry.option_types(plug)
    try:
        family: Family | None = plug.derive(shapes, _hints(fields, _merged(sources), where))
    except GateError as error:
        _refuse_unknown_hints(plug, fields, sources, where)  # a misspelt fact explains a missing one
        raise ModelRefused(error.what, where=where, field=_said(error.field, sources), hint=error.hint) from error
    if family is not None:
        _refuse_unknown_hints(plug, fields, sources, where)
    return family


def _merged(sources: tuple[Source, ...]) -> dict[str, Scalar]:
    merged: dict[str, Scalar] = {}
    for source in reversed(sources):
        merged |= dict(source.hints)
    return merged


def _hints(fields: Mapping[str, Any], merged: Mapping[str, Scalar], where: str) -> Options:
    """Return the hints that are fields, each of its field's type."""
    hints = []
    for name in sorted(set(fields) & set(merged)):
        value: Any = converted(merged[name], fields[name], from_text=False)
        if value is NO_MATCH:
            what = f"{shown(merged[name])} is no value for it"
            raise ModelRefused(what, where=where, field=name, hint=f"must be {described(fields[name])}")
        hints.append((name, value))
    return tuple(hints)


def _refuse_unknown_hints(plug: Any, fields: Mapping[str, Any], sources: tuple[Source, ...], where: str) -> None:  # noqa: ANN401
    for source in sources:
        for name, _ in source.hints if source.strict else ():
            if name != "family" and name not in fields:
                what = f"{plug.name} has no setting"
                raise registry.unknown(name, fields, what=what, where=where, field=source.name, kind=ModelRefused)


def _refuse_contradictions(plug: Any, shapes: Shapes, sources: tuple[Source, ...], where: str) -> tuple[str, ...]:  # noqa: ANN401
    """Refuse what a source says against the tensors even where another source had the last word; note the rest."""
    fields, merged = registry.option_types(plug), _merged(sources)
    notes = []
    for source in sources:
        for name, value in source.hints:
            if name not in fields or merged[name] == value:
                continue
            speaker = next(other.name for other in sources if name in dict(other.hints))
            try:
                plug.derive(shapes, _hints(fields, {**merged, name: value}, where))
            except GateError as error:
                raise ModelRefused(
                    error.what, where=where, field=f"{name} in {source.name}", hint=error.hint
                ) from error
            notes.append(f"{name} is {merged[name]} as {speaker} says, not {value} as {source.name} says")
    return tuple(notes)


def _said(field: str, sources: tuple[Source, ...]) -> str:
    """Return a field with the source that spoke of it, so that people know what to mend."""
    speaker = next((source.name for source in sources if field in dict(source.hints)), "")
    return f"{field} in {speaker}" if speaker else field


def _undecided(names: list[str], shapes: Shapes, where: str) -> ModelRefused:
    if names:
        hint = f"say which in the policy: model: {{family: {names[0]}}}"
        return ModelRefused(f"could be {' or '.join(names)}", where=where, hint=hint)
    some = ", ".join(sorted(shapes)[:4])
    hint = "a model of your own: in the policy {path: ..., use: hooked, model: {factory: ..., carry: ...}}"
    return ModelRefused(f"no family has these tensors: {some}, ...", where=where, hint=hint)


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
