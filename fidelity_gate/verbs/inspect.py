"""`fidelity-gate inspect`: what a model file, or an architecture alone, holds and would cost; nothing runs."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fidelity_gate.records import Role
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.given_model import given_model
from fidelity_gate.verbs.orders import write_stdout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.analysis.projection import EmbeddingProjection, Projection
    from fidelity_gate.protocols import Family
    from fidelity_gate.records import Footprint, ModelFacts, TensorFact

EPILOG = """\b
Examples:
  fidelity-gate inspect candidate.safetensors
  fidelity-gate inspect 'runs/sudoku/step_5000' --model num_heads=8 --tensors
  fidelity-gate inspect runs/sudoku/all_config.yaml        (no weights: what it would cost)
  fidelity-gate inspect candidate.safetensors --json | jq .footprint

SRAM is for one ACT step, with the carries in float32: streaming copies one layer at a time from flash, full load keeps
all layers, host-compressed rests the carries as INT8 between steps (the paper's appendix M).
"""
CONFIGURATIONS = (".yaml", ".yml")


@click.command(epilog=EPILOG)
@click.argument("model")
@click.option("--model", "pairs", multiple=True, metavar="KEY=VALUE", help="A fact that the file lacks; repeatable.")
@click.option("--tensors", is_flag=True, help="Also list every tensor.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, in bytes.")
def inspect(*, model: str, pairs: tuple[str, ...], tensors: bool, as_json: bool) -> int:
    """Say what the file MODEL holds: tensors, precisions, bytes, family, depth, SRAM; or what a configuration would."""
    if model.endswith(CONFIGURATIONS):
        from fidelity_gate.models.architecture import open_architecture

        text = _configuration(open_architecture(model, given_model(model, pairs).options), model, as_json=as_json)
    else:
        text = _file(model, pairs, tensors=tensors, as_json=as_json)
    write_stdout(text + "\n")
    return 0


# ---------------------------------------------------------------- a file


def _file(path: str, pairs: tuple[str, ...], *, tensors: bool, as_json: bool) -> str:
    from fidelity_gate.analysis.footprint import footprint
    from fidelity_gate.models.opening import open_model

    facts = open_model(given_model(path, pairs)).facts
    cost = footprint(facts)
    if as_json:
        return _json({"facts": asdict(facts), "footprint": None if cost is None else asdict(cost)})
    parts = [_heading(facts), _roles(facts.tensors), _sram(cost)]
    return "\n\n".join([*parts, _tensors(facts.tensors)] if tensors else parts)


def _heading(facts: ModelFacts) -> str:
    rows = [
        ("file", printable(facts.path)),
        ("format", facts.file_format),
        ("sha256", facts.digest),
        ("size", _bytes(facts.size_bytes)),
        ("family", facts.family or "unknown"),
        ("depth", str(facts.depth or "not declared in the file")),
    ]
    if facts.recipe:
        rows.append(("recipe", f"{printable(facts.recipe)} (as the file says)"))
    if facts.calibration_rows:
        rows.append(("calibrated", f"on {len(facts.calibration_rows)} puzzles (as the file says)"))
    rows += [(name, printable(str(value))) for name, value in facts.architecture]
    rows += [("note", printable(note)) for note in facts.notes]
    return columns(rows)


def _roles(tensors: tuple[TensorFact, ...]) -> str:
    groups: dict[tuple[Role, str], list[TensorFact]] = defaultdict(list)
    for tensor in tensors:
        groups[tensor.role, tensor.stored_as].append(tensor)
    rows = [("role", "stored as", "tensors", "values", "bits", "scales", "bytes")]
    for (role, stored_as), members in sorted(groups.items()):
        values = sum(tensor.values for tensor in members)
        overhead = sum(tensor.overhead_bytes for tensor in members)
        stored = sum(tensor.stored_bytes for tensor in members)
        bits = f"{8 * (stored - overhead) / values:.4g}" if values else "-"
        rows.append((role.value, stored_as, str(len(members)), f"{values:,}", bits, _bytes(overhead), _bytes(stored)))
    return columns(rows)


def _sram(cost: Footprint | None) -> str:
    if cost is None:
        return "SRAM: not known, the number of tokens or the recursive block is not (say seq_len with --model)"
    rows = [("SRAM peak of one ACT step", ""), *_scenarios(cost)]
    return columns(rows) + f"\n(block values at {cost.bytes_per_value:g} bytes, carries in float32)"


def _tensors(tensors: tuple[TensorFact, ...]) -> str:
    rows = [("tensor", "role", "shape", "stored as", "bytes")]
    rows += [
        (printable(t.name), t.role.value, "x".join(map(str, t.shape)), t.stored_as, f"{t.stored_bytes:,}")
        for t in tensors
    ]
    return columns(rows)


# ---------------------------------------------------------------- a configuration


def _configuration(family: Family, path: str, *, as_json: bool) -> str:
    from fidelity_gate.analysis.projection import project, project_embedding

    geometry = family.geometry()
    projections = () if geometry is None else project(family.tensors(), geometry)
    table = project_embedding(family.tensors())
    if as_json:
        found = {
            "family": family.name,
            "architecture": dict(family.architecture()),
            "projections": [asdict(projection) for projection in projections],
            "puzzle_embedding": None if table is None else asdict(table),
        }
        return _json(found)
    rows = [("configuration", printable(path)), ("family", family.name), ("depth", str(family.declared_depth() or "-"))]
    rows += [(name, printable(str(value))) for name, value in family.architecture()]
    parts = [columns(rows), _projections(projections) if projections else _sram(None)]
    return "\n\n".join([*parts, _embedding(table)] if table else parts)


def _projections(projections: tuple[Projection, ...]) -> str:
    rows: list[tuple[str, ...]] = [
        ("if stored as", "backbone", "SRAM streaming", "SRAM full load", "SRAM host-compressed")
    ]
    for projection in projections:
        costs = (value for _, value in _scenarios(projection.sram))
        rows.append((projection.precision, _bytes(projection.backbone), *costs))
    return columns(rows) + "\n(projected from the architecture: scales are not counted, the puzzle embedding is apart)"


def _embedding(table: EmbeddingProjection) -> str:
    rows = [
        (f"puzzle embedding, {table.rows:,} x {table.width}", ""),
        ("  resident, float32", _bytes(table.resident_fp32)),
        ("  resident, int8", _bytes(table.resident_int8)),
        ("  SVD of rank 16", _bytes(table.svd_rank_16)),
        ("  one row from flash", _bytes(table.flash_row)),
    ]
    return columns(rows)


# ---------------------------------------------------------------- text


def _scenarios(cost: Footprint) -> list[tuple[str, str]]:
    named = (
        ("streaming", cost.streaming),
        ("full load", cost.full_load),
        ("host-compressed", cost.host_compressed),
    )
    return [(f"  {name}", _bytes(count)) for name, count in named]


def _bytes(count: int) -> str:
    return format_value(count, "bytes")


def _json(found: Mapping[str, object]) -> str:
    return json.dumps(found, allow_nan=False, sort_keys=True, indent=2)
