"""What a policy says of a model of the user's own: the factory, where the carry is, and how its arrays lie."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from fidelity_gate import registry
from fidelity_gate.errors import ModelRefused
from fidelity_gate.options import NO_MATCH, converted, described, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import Options, Scalar

ONLY_STREAM = "carry"
FORWARD_OUTPUT = "output"
PER_STREAM = {"carry": str, "calls": str | int, "select": str | int, "feature_axis": int, "batch_axis": int}
ALONE = {"factory": str, "answers": str, "answers_axis": int, "weights": str}
GROUPS = ("settings", "arguments")
_ENTRY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_CALLS = re.compile(r"([0-9]{0,6}):([0-9]{0,6})(:([0-9]{0,6}))?|[0-9]{1,6}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Tap:
    """Where one stream of the carry comes by, and how to read it.

    Attributes:
        stream: its name.
        module: dotted path below the factory's module; "" is that module itself.
        method: of that module, or "" for its forward.
        calls: which calls of one whole forward pass are steps, counted from 0.
        select: keys and indices into what is returned, when that is no plain tensor.
        feature_axis: which axis is D.
        batch_axis: which axis is B; all that are left are tokens.
    """

    stream: str
    module: str
    method: str = ""
    calls: slice = field(default_factory=lambda: slice(0, None, 1))
    select: tuple[str, ...] = ()
    feature_axis: int = -1
    batch_axis: int = 0

    def is_step(self, call: int) -> bool:
        """Return whether this call is one of the steps."""
        start, stop, stride = self.calls.start or 0, self.calls.stop, self.calls.step or 1
        return call >= start and (call - start) % stride == 0 and (stop is None or call < stop)


@dataclass(frozen=True, slots=True)
class HookPlan:
    """All of it.

    Attributes:
        factory: "module:function", which returns a torch module that takes tokens (B, S).
        settings: keyword arguments of the factory.
        arguments: keyword arguments of the forward pass; "depth.steps" and its like stand for what the policy says.
        taps: one a stream, sorted by name.
        answers: "output", "output.KEY", or the modules that make logits of the first stream, joined by "|"; "": none.
        answers_axis: which axis of the logits counts the vocabulary.
        weights: which entry of the weights file to take; "": the usual ones.
    """

    factory: str
    settings: Options
    arguments: Options
    taps: tuple[Tap, ...]
    answers: str
    answers_axis: int
    weights: str


def plan_of(options: Options, where: str) -> HookPlan:
    """Return what the flattened `model:` block says.

    Raises:
        ModelRefused: a key nobody knows, a value of the wrong kind, no factory, or no carry.
    """
    said = dict(options)
    for key in said:
        _refuse_unknown(key, where)
    factory = _value(said, "factory", str, "", where)
    if not _ENTRY.fullmatch(factory):
        hint = "factory: package.module:function"
        raise ModelRefused("says no factory to make the module with", where=where, field="factory", hint=hint)
    streams = sorted(key.partition(".")[2] or ONLY_STREAM for key in said if key.partition(".")[0] == "carry")
    if not streams or ("carry" in said and len(streams) > 1):
        hint = "carry: dotted.module.path, or several as carry: {NAME: path, ...}"
        raise ModelRefused("says no single place where the carry is", where=where, field="carry", hint=hint)
    answers = _value(said, "answers", str, "", where)
    return HookPlan(
        factory=factory,
        settings=_group(said, "settings"),
        arguments=_group(said, "arguments"),
        taps=tuple(_tap(said, stream, where) for stream in streams),
        answers=answers,
        answers_axis=_value(said, "answers_axis", int, -1, where),
        weights=_value(said, "weights", str, "", where),
    )


def _refuse_unknown(key: str, where: str) -> None:
    group, _, name = key.partition(".")
    if key in ALONE or (name and group in GROUPS) or group in PER_STREAM:
        return
    known = (*ALONE, *PER_STREAM, *GROUPS)
    raise registry.unknown(key, known, what="a hooked model has no setting", where=where, kind=ModelRefused)


def _tap(said: Mapping[str, Scalar], stream: str, where: str) -> Tap:
    def of_stream(key: str, default: Any) -> Any:  # noqa: ANN401  (its type is PER_STREAM's)
        own = f"{key}.{stream}"
        return _value(said, own if own in said else key, PER_STREAM[key], default, where)

    module, _, method = of_stream("carry", "").partition(":")
    return Tap(
        stream=stream,
        module=module,
        method=method,
        calls=_calls(str(of_stream("calls", "::")), where),
        select=tuple(part for part in str(of_stream("select", "")).split(".") if part),
        feature_axis=of_stream("feature_axis", -1),
        batch_axis=of_stream("batch_axis", 0),
    )


def _calls(text: str, where: str) -> slice:
    """Return "2::3" as a slice, "5" as the one of that call."""
    parts = _CALLS.fullmatch(text)
    if not parts or parts.group(4) == "0":
        hint = "one call as 5, or FIRST:END:EVERY as in 2::3; calls count from 0"
        raise ModelRefused(f"{shown(text)} selects no calls", where=where, field="calls", hint=hint)
    if ":" not in text:
        return slice(int(text), int(text) + 1, 1)
    start, stop, stride = parts.group(1), parts.group(2), parts.group(4)
    return slice(int(start or 0), int(stop) if stop else None, int(stride or 1))


def _group(said: Mapping[str, Scalar], group: str) -> Options:
    return tuple(sorted((key.partition(".")[2], value) for key, value in said.items() if key.startswith(f"{group}.")))


def _value(said: Mapping[str, Scalar], key: str, kind: Any, default: _T, where: str) -> _T:  # noqa: ANN401  (a type)
    if key not in said:
        return default
    value: Any = converted(said[key], kind, from_text=False)
    if value is NO_MATCH:
        what = f"{shown(said[key])} is no value for it"
        raise ModelRefused(what, where=where, field=key, hint=f"must be {described(kind)}")
    return value  # type: ignore[no-any-return]  # of `kind`, which the caller names beside a default of that type
