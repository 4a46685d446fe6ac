"""What a policy says of a step graph: which states, which inputs are fed with what, and how onnxruntime runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.step_metadata import Unit
from fidelity_gate.options import NO_MATCH, converted, described, shown

if TYPE_CHECKING:
    from fidelity_gate.records import Options, Scalar


ALONE: Mapping[str, Any] = {
    "embedding": str,
    "halt": str | None,
    "identifiers": str,
    "input": str,
    "logits": str | None,
    "threshold": float,
}
GROUPS: Mapping[str, Any] = {
    "batch_axis": int,
    "constants": int | float | bool,
    "initial": str,
    "map": str,
    "state": str | None,
}
ALONE_OR_GROUP = ("batch_axis", "initial")
ZEROS = "zeros"
BY_NAME = "by name"  # of a head: the policy says nothing of it


class Optimization(StrEnum):
    """How far onnxruntime may rewrite a graph before it runs; it changes the last bits, and QDQ graphs visibly."""

    ALL = "all"
    EXTENDED = "extended"
    BASIC = "basic"
    OFF = "off"


@dataclass(frozen=True, slots=True, eq=False)
class StepOptions:
    """All of it.

    Attributes:
        states: state input -> the output that is fed back into it; None or "none": it is no state.
        names: name of a stream in the reference -> this graph's state, by its input or its output.
        constants: other inputs -> what they are given at every run.
        axes: input, state input or output -> which of its axes counts probes; "" for all states not named.
        initial: state input -> "zeros", a constant of the graph, a safetensors or .npz file; "" for the only state.
        input: the input that tokens or frames are fed to; "": the one that is left.
        identifiers: the input that puzzle identifiers are fed to; "": by its usual names.
        logits: the output that answers are decoded from; None or "none": none.
        halt: the output with the two halting logits; None or "none": none.
        threshold: of logits with one value an answer: above it is answer 1, else 0.
        embedding: the graph that makes the input of tokens; "": the file that export writes beside a step graph.
        unit: what one run is; None where only metadata tells.
        optimization: of the graph by onnxruntime.
    """

    states: Mapping[str, str | None] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, int | float | bool] = field(default_factory=dict)
    axes: Mapping[str, int] = field(default_factory=dict)
    initial: Mapping[str, str] = field(default_factory=dict)
    input: str = ""
    identifiers: str = ""
    logits: str | None = BY_NAME
    halt: str | None = BY_NAME
    threshold: float | None = None
    embedding: str = ""
    unit: Unit | None = None
    optimization: Optimization = Optimization.ALL


def step_options(options: Options, where: str) -> StepOptions:
    """Return what the flattened `model:` block says.

    Raises:
        ModelRefused: a key nobody knows, or a value of the wrong kind.
    """
    said = dict(options)
    for key in said:
        _refuse_unknown(key, where)
    alone = {key: _value(said, key, kind, where) for key, kind in ALONE.items() if key in said}
    for key, choices in (("optimization", Optimization), ("unit", Unit)):
        if key in said:
            alone[key] = _value(said, key, choices, where)
    return StepOptions(
        states=_group(said, "state", where),
        names=_group(said, "map", where),
        constants=_group(said, "constants", where),
        axes=_group(said, "batch_axis", where),
        initial=_group(said, "initial", where),
        **alone,
    )


def _refuse_unknown(key: str, where: str) -> None:
    group, _, name = key.partition(".")
    known = (*ALONE, *GROUPS, "optimization", "unit")
    if key in (*ALONE, *ALONE_OR_GROUP, "optimization", "unit") or (name and group in GROUPS):
        return
    if key in GROUPS:
        hint = f"{key}: {{INPUT: ...}}, or --model {key}.INPUT=..."
        raise ModelRefused("needs the name of an input", where=where, field=key, hint=hint)
    raise registry.unknown(key, known, what="an ONNX graph has no setting", where=where, kind=ModelRefused)


def _group(said: Mapping[str, Scalar], group: str, where: str) -> Mapping[str, Any]:
    """Return what is said of each name; of none in particular under "", where a group may be given so."""
    keys = [key for key in said if key == group or key.startswith(f"{group}.")]
    return {key.partition(".")[2]: _value(said, key, GROUPS[group], where) for key in sorted(keys)}


def _value(said: Mapping[str, Scalar], key: str, kind: Any, where: str) -> Any:  # noqa: ANN401  (its type is `kind`)
    text = isinstance(kind, type) and issubclass(kind, StrEnum)
    value = converted(said[key], kind, from_text=text)
    if value is NO_MATCH or value == "":
        what = f"{shown(said[key])} is no value for it"
        raise ModelRefused(what, where=where, field=key, hint=f"must be {described(kind)}")
    return value
