"""`fidelity-gate compress`: write a compressed candidate of a reference, or of a step graph."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.verbs.given_inputs import given_inputs
from fidelity_gate.verbs.given_model import given_model

if TYPE_CHECKING:
    from fidelity_gate.compress.choosing import OptionHelp
    from fidelity_gate.protocols import Progress
    from fidelity_gate.records import Artifact, ModelFacts, OnnxArtifact

EPILOG = """\b
Examples:
  fidelity-gate compress --list
  fidelity-gate compress ref.safetensors --recipe int8 -o int8.safetensors
  fidelity-gate compress ref.safetensors --recipe int4-calibrated,clip=mse --calibration calib.npz
  fidelity-gate compress 'runs/sudoku/step_5000' --recipe int4-naive --model h_cycles=3 --model l_cycles=6
  fidelity-gate compress step.onnx --recipe onnx-static-int8,exclude=carry --calibration calib.npz -o int8.onnx

Without -o the file is written beside the reference, as REFERENCE.RECIPE.safetensors (or .onnx for a step graph).
"""
SUFFIX = ".safetensors"
GRAPH_SUFFIX = ".onnx"
_HEAD_BYTES = 4096
_LINE_WIDTH = 100


@click.command(epilog=EPILOG)
@click.argument("reference", required=False)
@click.option("--recipe", metavar="NAME[,KEY=VALUE...]", help="How to compress; --list shows them all.")
@click.option("--calibration", metavar="INPUTS", help="Puzzles of the training set, for recipes that take them.")
@click.option("-o", "--output", metavar="FILE", help="Where the candidate goes.")
@click.option("--model", "pairs", multiple=True, metavar="KEY=VALUE", help="A fact that the file lacks; repeatable.")
@click.option("--list", "list_recipes", is_flag=True, help="Show every recipe with its options, and exit.")
def compress(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    reference: str | None,
    recipe: str | None,
    calibration: str | None,
    output: str | None,
    pairs: tuple[str, ...],
    list_recipes: bool,
) -> int:
    """Write a compressed candidate of the model, or of the ONNX step graph, in REFERENCE."""
    if list_recipes:
        _say(recipes_text())
        return 0
    if not reference or not recipe:
        missing = "a reference" if not reference else "--recipe"
        raise UsageError(f"{missing} is missing", hint="fidelity-gate compress REFERENCE --recipe NAME; or --list")
    from fidelity_gate.compress.choosing import suffix_of
    from fidelity_gate.verbs.compress_summary import summary
    from fidelity_gate.verbs.progress import Bar

    suffix = suffix_of(recipe)
    target = output or default_output(reference, recipe, suffix)
    _refuse_target(target, reference, calibration, suffix)
    with Bar() as bar:
        facts, made = candidate(reference, recipe, pairs=pairs, calibration=calibration, progress=bar)
    data, digest = _write(made, target)
    _say(summary(facts, made, target, len(data)) + f"\nsha256 {digest}")
    return 0


def candidate(
    reference: str,
    recipe: str,
    *,
    pairs: tuple[str, ...] = (),
    calibration: str | None = None,
    progress: Progress | None = None,
) -> tuple[ModelFacts, Artifact | OnnxArtifact]:
    """Return the facts of a reference, and what a recipe makes of it.

    Args:
        reference: path of the model.
        recipe: `NAME[,key=value...]`.
        pairs: facts that the file lacks, `KEY=VALUE`.
        calibration: a file of puzzles, `SOURCE:key=value,...`, or `zoo:NAME`.
        progress: told how far it is.
    """
    from fidelity_gate.compress.choosing import parse_recipe
    from fidelity_gate.models.opening import open_model

    chosen = parse_recipe(recipe)
    probes = None if calibration is None else given_inputs(calibration, "calibration", field="--calibration")
    with contextlib.redirect_stdout(sys.stderr):  # whatever libraries print does not belong in the table
        model = open_model(given_model(reference, pairs))
        return model.facts, chosen.compress(model, probes, progress)


def compressed(
    reference: str, recipe: str, *, pairs: tuple[str, ...] = (), calibration: str | None = None
) -> tuple[ModelFacts, Artifact]:
    """Return the facts of a reference, and the artifact that a recipe for checkpoints makes of it; see `candidate`.

    Raises:
        UsageError: the recipe makes step graphs.
    """
    from fidelity_gate.records import Artifact

    facts, made = candidate(reference, recipe, pairs=pairs, calibration=calibration)
    if not isinstance(made, Artifact):
        raise UsageError("makes a step graph, not an artifact", field="--recipe")
    return facts, made


def compressed_graph(
    reference: str, recipe: str, *, pairs: tuple[str, ...] = (), calibration: str | None = None
) -> tuple[ModelFacts, OnnxArtifact]:
    """Return the facts of a step graph, and what a recipe for step graphs makes of it; see `candidate`.

    Raises:
        UsageError: the recipe makes artifacts.
    """
    from fidelity_gate.records import OnnxArtifact

    facts, made = candidate(reference, recipe, pairs=pairs, calibration=calibration)
    if not isinstance(made, OnnxArtifact):
        raise UsageError("makes an artifact, not a step graph", field="--recipe")
    return facts, made


def content(made: Artifact | OnnxArtifact) -> bytes:
    """Return the bytes of the file that it makes."""
    from fidelity_gate.records import OnnxArtifact
    from fidelity_gate.storage.artifact import encode

    return made.data if isinstance(made, OnnxArtifact) else encode(made)


def default_output(reference: str, recipe: str, suffix: str = SUFFIX) -> str:
    """Return `FOLDER/REFERENCE.RECIPE.safetensors`, the recipe's text cut down to letters, digits and dashes."""
    path = Path(reference)
    stem = path.stem if path.suffix in (SUFFIX, GRAPH_SUFFIX, ".pt", ".pth", ".ckpt") else path.name
    return str(path.with_name(f"{stem}.{re.sub(r'[^A-Za-z0-9]+', '-', recipe).strip('-')}{suffix}"))


def recipes_text() -> str:
    """Return every recipe and its options with their meaning, as `--list` prints them."""
    from fidelity_gate.compress.choosing import recipes, shared_options

    lines = []
    for recipe in recipes():
        lines += [recipe.name, *_indented(recipe.summary, 4)]
        lines += [line for option in recipe.options for line in _option_lines(option)]
        shared = " ".join(f"{option.name}={option.default}" for option in recipe.shared)
        lines += [f"    {shared}", ""] if shared else [""]
    lines.append("Every recipe for checkpoints and artifacts:")
    return "\n".join([*lines, *(line for option in shared_options() for line in _option_lines(option))])


def _option_lines(option: OptionHelp) -> list[str]:
    return [f"    {option.name}={option.default} ({option.allowed})", *_indented(option.meaning, 8)]


def _indented(text: str, columns: int) -> list[str]:
    margin = " " * columns
    return textwrap.wrap(text, _LINE_WIDTH, initial_indent=margin, subsequent_indent=margin)


def _refuse_target(target: str, reference: str, calibration: str | None, suffix: str) -> None:
    """Refuse to write over anything but an older candidate; links count as what they point to."""
    for path, what in ((reference, "the reference"), (calibration, "the calibration file")):
        if path is not None and os.path.realpath(path) == os.path.realpath(target):
            raise UsageError(f"would overwrite {what}", where=target, field="-o", hint="name another file")
    if Path(target).is_dir():
        raise UsageError("is a folder", where=target, field="-o", hint="name the file in it")
    if not Path(target).parent.is_dir():  # told now, not after minutes of calibration
        raise UsageError("its folder does not exist", where=target, field="-o", hint="make it first")
    if (suffix == GRAPH_SUFFIX) is not target.lower().endswith(GRAPH_SUFFIX):
        makes = "a step graph" if suffix == GRAPH_SUFFIX else "no step graph"
        raise UsageError(f"the recipe makes {makes}", where=target, field="-o", hint=f"a name that ends in {suffix}")
    if Path(target).exists() and not _is_candidate(target):
        raise UsageError("exists, and is no candidate of ours", where=target, field="-o", hint="name another file")


def _is_candidate(path: str) -> bool:
    from fidelity_gate.compress.onnx_finishing import is_compressed_graph
    from fidelity_gate.files import head
    from fidelity_gate.storage.artifact import is_artifact

    start = head(path, count=_HEAD_BYTES, kind=UsageError)
    return is_artifact(start) or is_compressed_graph(start)


def _write(made: Artifact | OnnxArtifact, target: str) -> tuple[bytes, str]:
    """Write the file whole, and return its bytes and its sha256."""
    from fidelity_gate.files import sha256_hex, write_atomically

    data = content(made)
    write_atomically(target, data)
    return data, sha256_hex(data)


def _say(text: str) -> None:
    from fidelity_gate.verbs.stdout import write_stdout

    write_stdout(text + "\n")
