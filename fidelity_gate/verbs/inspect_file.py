"""The parts of `inspect` that every file has: what it is, its tensors by role, and SRAM by the paper's scenarios."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.verbs.columns import columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.analysis.projection import Projection
    from fidelity_gate.protocols import Family
    from fidelity_gate.records import Footprint, ModelFacts, Role, TensorFact

UNSAID_AS_ZERO = ("h_cycles", "l_cycles", "seq_len", "steps")


def heading(facts: ModelFacts) -> str:
    """Return what the file is, and what it says of itself."""
    rows = [
        ("file", printable(facts.path)),
        ("format", facts.file_format),
        ("sha256", facts.digest),
        ("size", in_bytes(facts.size_bytes)),
        ("family", printable(facts.family) or "unknown"),
        ("depth", str(facts.depth or "not declared in the file")),
    ]
    if facts.recipe:
        rows.append(("recipe", f"{printable(facts.recipe)} (as the file says)"))
    if facts.calibration_rows:
        rows.append(("calibrated", f"on {len(facts.calibration_rows)} puzzles (as the file says)"))
    rows += _architecture(facts.architecture)
    rows += [("note", printable(note)) for note in facts.notes]
    return columns(rows)


def _architecture(facts: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    """Return the facts of an architecture; a depth and a number of tokens that nobody said are zeros inside."""
    return [(n, "not known" if n in UNSAID_AS_ZERO and not value else printable(str(value))) for n, value in facts]


def roles(tensors: tuple[TensorFact, ...]) -> str:
    """Return the tensors by role and precision; bits are those of a value with its share of scales and zero points."""
    groups: dict[tuple[Role, str], list[TensorFact]] = defaultdict(list)
    for tensor in tensors:
        groups[tensor.role, tensor.stored_as].append(tensor)
    rows = [("role", "stored as", "tensors", "values", "bits", "with scales", "scales", "bytes")]
    rows += [(role.value, stored_as, *_figures(members)) for (role, stored_as), members in sorted(groups.items())]
    tied = [tensor for tensor in tensors if tensor.tied_to]
    lines = [f"({printable(one.name)} is tied to {printable(one.tied_to)}: stored once, counted there)" for one in tied]
    return "\n".join([columns(rows), *lines])


def _figures(members: list[TensorFact]) -> tuple[str, str, str, str, str, str]:
    own = sum(tensor.values for tensor in members if not tensor.tied_to)
    overhead = sum(tensor.overhead_bytes for tensor in members)
    stored = sum(tensor.stored_bytes for tensor in members)
    bits, effective = (f"{8 * count / own:.4g}" if own else "-" for count in (stored - overhead, stored))
    values = sum(tensor.values for tensor in members)
    return str(len(members)), f"{values:,}", bits, effective, in_bytes(overhead), in_bytes(stored)


def sram(cost: Footprint | None) -> str:
    """Return the peak SRAM of a model whose recursive block is known."""
    if cost is None:
        return "SRAM: not known, the number of tokens or the recursive block is not (say seq_len with --model)"
    rows = [("SRAM peak of one ACT step", ""), *((f"  {name}", text) for name, text in _scenarios(cost))]
    return columns(rows) + f"\n(block values at {cost.bytes_per_value:g} bytes, carries in float32)"


def tensors(found: tuple[TensorFact, ...]) -> str:
    """Return every tensor, a line each."""
    rows = [("tensor", "role", "shape", "stored as", "bytes")]
    rows += [
        (printable(t.name), t.role.value, "x".join(map(str, t.shape)), t.stored_as, f"{t.stored_bytes:,}")
        for t in found
    ]
    return columns(rows)


def architecture_heading(family: Family, path: str) -> str:
    """Return what a configuration describes."""
    rows = [("configuration", printable(path)), ("family", family.name), ("depth", str(family.declared_depth() or "-"))]
    return columns(rows + _architecture(family.architecture()))


def projected(projections: tuple[Projection, ...]) -> str:
    """Return what an architecture would cost at each precision."""
    rows: list[tuple[str, ...]] = [
        ("if stored as", "backbone", "SRAM streaming", "SRAM full load", "SRAM host-compressed")
    ]
    for projection in projections:
        costs = (text for _, text in _scenarios(projection.sram))
        rows.append((projection.precision, in_bytes(projection.backbone), *costs))
    told = "projected from the architecture: scales are not counted, the puzzle embedding is apart"
    return f"{columns(rows)}\n(of one ACT step, {told})"


def in_bytes(count: int) -> str:
    """Return bytes for people, in both systems."""
    return format_value(count, "bytes")


def _scenarios(cost: Footprint) -> list[tuple[str, str]]:
    named = (
        ("streaming", cost.streaming),
        ("full load", cost.full_load),
        ("host-compressed", cost.host_compressed),
    )
    return [(name, in_bytes(count)) for name, count in named]
