"""`fidelity-gate inspect`: what a model file, or an architecture alone, holds and would cost; nothing runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.verbs.given_model import given_model
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.protocols import Family, OpenedModel
    from fidelity_gate.verbs.inspect_graph import Looked

EPILOG = """\b
Examples:
  fidelity-gate inspect candidate.safetensors
  fidelity-gate inspect step.onnx --dimension batch=4
  fidelity-gate inspect 'runs/sudoku/step_5000' --model num_heads=8 --tensors
  fidelity-gate inspect runs/sudoku/all_config.yaml        (no weights: what it would cost)
  fidelity-gate inspect candidate.safetensors --json | jq .footprint

SRAM is for one ACT step, with the carries in float32: streaming copies one layer at a time from flash, full load keeps
all layers, host-compressed rests the carries as INT8 between steps (the paper's appendix M). The arena of a step graph
is planned from its own activations, for one run of it (docs/footprint.md).
"""
CONFIGURATIONS = (".yaml", ".yml")
DIMENSION = "--dimension"


@click.command(epilog=EPILOG)
@click.argument("model")
@click.option("--model", "pairs", multiple=True, metavar="KEY=VALUE", help="A fact that the file lacks; repeatable.")
@click.option(
    DIMENSION, "sizes", multiple=True, metavar="NAME=SIZE", help="The size of a dimension that a graph leaves open."
)
@click.option(
    "--svd-rank",
    type=click.IntRange(min=1),
    help="Factor embedding tables at this rank; given, the cosine is computed for large tables too.  [default: 16]",
)
@click.option("--tensors", is_flag=True, help="Also list every tensor.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, in bytes.")
def inspect(  # noqa: PLR0913  (one parameter an option)
    *, model: str, pairs: tuple[str, ...], sizes: tuple[str, ...], svd_rank: int | None, tensors: bool, as_json: bool
) -> int:
    """Say what the file MODEL holds: tensors, precisions, bytes, family, depth, SRAM; or what a configuration would."""
    if model.endswith(CONFIGURATIONS):
        from fidelity_gate.models.architecture import open_architecture

        family = open_architecture(model, given_model(model, pairs).options)
        text = _configuration(family, model, svd_rank, as_json=as_json)
    else:
        from fidelity_gate.models.opening import open_model

        dimensions = _dimensions(sizes)
        opened = open_model(given_model(model, pairs))
        text = _file(opened, dimensions, svd_rank, tensors=tensors, as_json=as_json)
    write_stdout(text + "\n")
    return 0


def _file(
    opened: OpenedModel, dimensions: Mapping[str, int], svd_rank: int | None, *, tensors: bool, as_json: bool
) -> str:
    from fidelity_gate.analysis.footprint import footprint
    from fidelity_gate.verbs import inspect_compute, inspect_embeddings, inspect_file, inspect_graph

    facts, cost = opened.facts, footprint(opened.facts)
    looked = inspect_graph.look(opened, dimensions)
    tables = inspect_embeddings.tables_of(opened, svd_rank)
    compute = inspect_compute.file_compute(opened)
    if as_json:
        found = {
            "facts": asdict(facts),
            "footprint": None if cost is None else asdict(cost),
            "embeddings": [asdict(table) for table in tables],
            "compute": inspect_compute.compute_json(compute),
        }
        return _json(found if looked is None else found | inspect_graph.graph_json(looked))
    memory = [inspect_file.sram(cost)] if looked is None else _graph_parts(looked)
    parts = [inspect_file.heading(facts), inspect_file.roles(facts.tensors), *memory]
    parts += [inspect_embeddings.table_text(table) for table in tables]
    parts.append(inspect_compute.compute_text(compute))
    return "\n\n".join([*parts, inspect_file.tensors(facts.tensors)] if tensors else parts)


def _graph_parts(looked: Looked) -> list[str]:
    from fidelity_gate.verbs import inspect_graph

    parts = (inspect_graph.graph_text(looked), inspect_graph.arena_text(looked), inspect_graph.duplicates_text(looked))
    return [part for part in parts if part]


def _configuration(family: Family, path: str, svd_rank: int | None, *, as_json: bool) -> str:
    from fidelity_gate.analysis.embeddings import SVD_RANK, projected_tables
    from fidelity_gate.analysis.projection import project
    from fidelity_gate.verbs import inspect_compute, inspect_embeddings, inspect_file

    geometry = family.geometry()
    projections = () if geometry is None else project(family.tensors(), geometry)
    tables = projected_tables(family.tensors(), svd_rank or SVD_RANK)
    compute = inspect_compute.architecture_compute(family)
    if as_json:
        return _json(
            {
                "family": family.name,
                "architecture": dict(family.architecture()),
                "projections": [asdict(projection) for projection in projections],
                "embeddings": [asdict(table) for table in tables],
                "compute": inspect_compute.compute_json(compute),
            }
        )
    parts = [inspect_file.architecture_heading(family, path)]
    parts.append(inspect_file.projected(projections) if projections else inspect_file.sram(None))
    parts += [inspect_embeddings.table_text(table, projected=True) for table in tables]
    return "\n\n".join([*parts, inspect_compute.compute_text(compute)])


def _dimensions(sizes: tuple[str, ...]) -> dict[str, int]:
    """Return the sizes that the command line gives to open dimensions."""
    found: dict[str, int] = {}
    for pair in sizes:
        name, equals, text = pair.partition("=")
        if not (name and equals and text.isascii() and text.isdigit() and len(text) < 10):
            raise UsageError(f"'{pair}' is not NAME=SIZE", field=DIMENSION, hint=f"{DIMENSION} batch=1")
        if name in found:
            raise UsageError("given twice", field=f"{DIMENSION} {name}")
        found[name] = int(text)
    return found


def _json(found: Mapping[str, object]) -> str:
    return json.dumps(found, allow_nan=False, sort_keys=True, indent=2)
