"""The reference pages of the rooms: every metric, recipe, source, device, report and format with its options."""

from __future__ import annotations

from typing import Any

from ci.reference_text import code, options, ours, table, told
from fidelity_gate import registry
from fidelity_gate.records import Direction, Evidence

DIRECTIONS = {
    Direction.HIGHER: "higher is better",
    Direction.LOWER: "lower is better",
    Direction.BOTH: "near 1 is good",
}
EVIDENCE = {
    Evidence.FREE: "both run freely",
    Evidence.FORCED: "one step from the reference's carry",
    Evidence.FILE: "the file alone",
    Evidence.DEVICE: "a device",
}

FORMATS = {  # these read their options by rules of their own
    "hooked": "[Its options](../models.md#a-model-of-your-own).",
    "onnx": "[Its options](../models.md#onnx-step-graphs).",
}


def metrics() -> str:
    """Return every metric: what it is in, which way is better, what it has to see, and its options."""
    kinds = {name: registry.find("metrics", name) for name in ours("metrics")}
    rows = [
        (
            f"[{name}](#{name})",
            kind.unit or "none",
            DIRECTIONS[kind.direction],
            "a probe" if kind.per_probe else "one",
            EVIDENCE[kind.evidence],
            "yes" if kind.floored else "no",
        )
        for name, kind in kinds.items()
    ]
    parts = [
        "# Metrics and their options",
        "Metrics with one value a probe need an `aggregate` in their check, the others take none. "
        "[Metrics](../metrics/README.md) says which to choose; each has a page with its formula and when it lies.",
        table(("metric", "unit", "direction", "values", "what it sees", "noise floor"), rows),
    ]
    for name, kind in kinds.items():
        parts += [f"## {name}", *_told(kind, body=False), f"[More on {name}](../metrics/{name}.md)"]
    return "\n\n".join(part for part in parts if part)


def recipes() -> str:
    """Return every recipe."""
    said = (
        "Written `NAME[,option=value...]`, as in `compress ref.safetensors --recipe int4-calibrated,clip=mse`. "
        "[Recipes](../recipes.md) explains the arithmetic and what is refused."
    )
    return _room("Recipes and their options", said, "compress")


def inputs() -> str:
    """Return every source of probes."""
    said = (
        "In a policy `inputs: {use: NAME, option: value}`, on the command line `--inputs NAME:option=value,...`. "
        "`zoo:NAME` stands for the evaluation rows of an embedded model. [Inputs](../inputs.md) explains them."
    )
    return _room("Sources of probes and their options", said, "inputs")


def devices() -> str:
    """Return every kind of device."""
    said = "In a policy `devices: {NAME: {use: KIND, option: value}}`. [Devices](../devices.md) explains them."
    return _room("Kinds of devices and their options", said, "devices")


def reports() -> str:
    """Return every report of the gate, of comparisons and of lint."""
    said = (
        "Written `--report NAME[,option=value...][:DEST]`, as often as wanted. [Reports](../reports.md) explains them."
    )
    parts = [_room("Reports and their options", said, "reports")]
    for room, whose in (("reports.comparison", "compare"), ("reports.lint", "lint")):
        names = [code(name) for name in ours(room)]
        parts.append(f"`fidelity-gate {whose}` has reports of its own: {', '.join(names)}.")
    return "\n\n".join(parts)


def models() -> str:
    """Return every file format, and every family of checkpoints with the facts it may be told."""
    said = (
        "A format is told from the file; `use:` names it where that cannot be. Its options, and the facts of an "
        "architecture that a file lacks, stand in the model's `model:` block. [Models](../models.md) explains them."
    )
    parts = ["# File formats, and the facts of an architecture", said]
    for name in ours("models"):
        summary, _ = told(registry.find("models", name))
        parts += [f"## {name}", f"{summary} {FORMATS.get(name, '')}".strip()]
    parts.append("## Families of checkpoints")
    parts += _plugs("models.families", level="###")
    return "\n\n".join(parts)


def _room(title: str, said: str, room: str) -> str:
    return "\n\n".join([f"# {title}", said, *_plugs(room)])


def _plugs(room: str, level: str = "##") -> list[str]:
    return [part for name in ours(room) for part in (f"{level} {name}", *_told(registry.find(room, name))) if part]


def _told(kind: Any, *, body: bool = True) -> list[str]:  # noqa: ANN401  (a plug's class)
    """Return what a plug's docstring says of it, and the table of its options."""
    summary, rest = told(kind)
    return [summary, rest if body else "", options(kind) or "No options."]
