"""What the files cost: stored bytes and peak SRAM by component, against the budgets of the targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Role
from fidelity_gate.units import format_against, format_exact, format_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.records import ModelRecord, Report, Target

    Parts = tuple[tuple[str, float], ...]  # component, bytes

MOST_MODELS = 24
WIDTH = 400.0
REACH = 1.6  # a budget further away than this many times the largest model is said, not drawn
SCENARIOS = {
    "full_load": "Peak SRAM of one step, all layers resident",
    "streaming": "Peak SRAM of one step, one layer at a time from flash",
    "host_compressed": "Peak SRAM of one step, carries in INT8 between steps",
}
USUAL = ("full_load", "streaming")
ARENA = "Activation arena of one run of the graph"
STORED = "Stored bytes"
FLOAT32_BYTES = 4
WORKING_BUFFERS = 6  # as in the footprint's own formula (docs/footprint.md)
ROLES = {Role.BLOCK: "block weights", Role.EMBEDDING: "embedding", Role.HEAD: "head", Role.OTHER: "other tensors"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One component of a bar."""

    start: float
    width: float
    kind: int  # its place among the components, which names its pattern
    text: str


@dataclass(frozen=True, slots=True)
class Stack:
    """One model's bar."""

    model: str
    total: str
    described: str
    pieces: tuple[Piece, ...]
    shares: tuple[str, ...]  # of every budget


@dataclass(frozen=True, slots=True)
class Budget:
    """What a target has, and where it is on the bars; `at` is None where it is far beyond them."""

    name: str
    text: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """All models' bars of one kind of memory."""

    title: str
    components: tuple[str, ...]
    budgets: tuple[Budget, ...]
    stacks: tuple[Stack, ...]
    left_out: int


def charts(report: Report) -> tuple[Chart, ...]:
    """Return the charts for which there is something to show: SRAM as the checks ask for it, arenas, stored bytes."""
    if report.measured is None:
        return ()
    models = (report.measured.reference, *report.measured.candidates)
    targets = report.policy.targets if report.policy else ()
    sram, flash = ([(t, size) for t in targets if (size := getattr(t, name))] for name in ("sram_bytes", "flash_bytes"))
    made = [_chart(title, models, _sram_of(scenario), sram) for scenario, title in _scenarios(report)]
    made.append(_chart(ARENA, models, _arena_parts, sram))
    made.append(_chart(STORED, models, _stored_parts, flash))
    return tuple(chart for chart in made if chart.stacks)


def _scenarios(report: Report) -> list[tuple[str, str]]:
    asked = {
        str(dict(result.check.options).get("scenario", "streaming"))
        for result in report.verdict.results
        if result.check.metric == "sram_peak"
    }
    return [(name, title) for name, title in SCENARIOS.items() if name in (asked & SCENARIOS.keys() or USUAL)]


def _chart(
    title: str,
    models: tuple[ModelRecord, ...],
    parts_of: Callable[[ModelRecord], Parts],
    limits: list[tuple[Target, int]],
) -> Chart:
    found = [(model, parts) for model in models if (parts := parts_of(model))]
    shown = found[:MOST_MODELS]
    most = max((sum(size for _, size in parts) for _, parts in shown), default=1.0) or 1.0
    near = [size for _, size in limits if size <= REACH * most]
    scale = WIDTH / max([most, *near])
    names = sorted({name for _, parts in shown for name, _ in parts}, key=_order)
    return Chart(
        title=title,
        components=tuple(names),
        budgets=tuple(
            Budget(target.name, format_exact(size, "bytes"), size * scale if size in near else None)
            for target, size in limits
        ),
        stacks=tuple(_stack(model, parts, (tuple(names), scale, limits)) for model, parts in shown),
        left_out=len(found) - len(shown),
    )


def _stack(model: ModelRecord, parts: Parts, how: tuple[tuple[str, ...], float, list[tuple[Target, int]]]) -> Stack:
    names, scale, limits = how
    total = sum(size for _, size in parts)
    pieces: list[Piece] = []
    start = 0.0
    for name, size in parts:
        pieces.append(Piece(start, size * scale, names.index(name), f"{name} {format_value(size, 'bytes')}"))
        start += size * scale
    texts = [format_against(total, limit, "bytes")[0] for _, limit in limits]
    return Stack(
        model=model.name,
        total=max(texts, key=len, default=format_value(total, "bytes")),
        described="; ".join(piece.text for piece in pieces),
        pieces=tuple(pieces),
        shares=tuple(_share(total, size, target.name) for target, size in limits),
    )


def _share(total: float, limit: int, target: str) -> str:
    said, whole = format_against(total / limit, 1.0, "fraction")
    return f"{'all' if said == whole else said} of {target}"


def _sram_of(scenario: str) -> Callable[[ModelRecord], Parts]:
    def parts(model: ModelRecord) -> Parts:
        geometry, footprint = model.facts.geometry, model.footprint
        if geometry is None or footprint is None:
            return ()
        cells = geometry.tokens * geometry.width
        small = scenario == "host_compressed"
        carries = cells * geometry.streams * (1 if small else FLOAT32_BYTES)
        working = cells * WORKING_BUFFERS * (1 if small else footprint.bytes_per_value)
        weights = getattr(footprint, scenario) - carries - working
        if weights < 0:
            return (("all", float(getattr(footprint, scenario))),)
        return (("weights", weights), ("carries", carries), ("working activations", working))

    return parts


def _arena_parts(model: ModelRecord) -> Parts:
    arena = model.arena
    if arena is None:
        return ()
    carries = min(arena.state_bytes, arena.arena_bytes)
    return (("carries", carries), ("working activations", arena.arena_bytes - carries))


def _stored_parts(model: ModelRecord) -> Parts:
    tensors, size = model.facts.tensors, model.facts.size_bytes
    if size <= 0:
        return ()
    parts = [(name, sum(t.payload_bytes for t in tensors if t.role is role)) for role, name in ROLES.items()]
    parts.append(("scales and zero points", sum(tensor.overhead_bytes for tensor in tensors)))
    rest = size - sum(count for _, count in parts)
    if not tensors or rest < 0:
        return (("all", float(size)),)
    return tuple((name, float(count)) for name, count in (*parts, ("header and graph", rest)) if count)


def _order(name: str) -> int:
    known = ("weights", *ROLES.values(), "scales and zero points", "carries", "working activations", "header and graph")
    return known.index(name) if name in known else len(known)
