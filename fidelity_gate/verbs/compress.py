"""`fidelity-gate compress`: write a compressed candidate of a reference, and say what became of its weights."""

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
from fidelity_gate.records import Role
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.given_model import given_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.compress.choosing import OptionHelp
    from fidelity_gate.records import Artifact, ModelFacts, Probes, TensorFact

EPILOG = """\b
Examples:
  fidelity-gate compress --list
  fidelity-gate compress ref.safetensors --recipe int8 -o int8.safetensors
  fidelity-gate compress ref.safetensors --recipe int4-calibrated,clip=mse --calibration calib.npz
  fidelity-gate compress 'runs/sudoku/step_5000' --recipe int4-naive --model h_cycles=3 --model l_cycles=6

Without -o the file is written beside the reference, as REFERENCE.RECIPE.safetensors.
"""
SUFFIX = ".safetensors"
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
    """Write a compressed candidate of the model in REFERENCE."""
    if list_recipes:
        _say(recipes_text())
        return 0
    if not reference or not recipe:
        missing = "a reference" if not reference else "--recipe"
        raise UsageError(f"{missing} is missing", hint="fidelity-gate compress REFERENCE --recipe NAME; or --list")
    target = output or default_output(reference, recipe)
    _refuse_target(target, reference, calibration)
    facts, artifact = compressed(reference, recipe, pairs=pairs, calibration=calibration)
    size, digest = _write(artifact, target)
    _say(summary(facts, artifact, target, size) + f"\nsha256 {digest}")
    return 0


def compressed(
    reference: str, recipe: str, *, pairs: tuple[str, ...] = (), calibration: str | None = None
) -> tuple[ModelFacts, Artifact]:
    """Return the facts of a reference, and the artifact that a recipe makes of it.

    Args:
        reference: path of the model.
        recipe: `NAME[,key=value...]`.
        pairs: facts that the file lacks, `KEY=VALUE`.
        calibration: a file of puzzles, or `SOURCE:key=value,...`.
    """
    from fidelity_gate.compress.choosing import parse_recipe
    from fidelity_gate.models.opening import open_model

    chosen = parse_recipe(recipe)
    probes = None if calibration is None else _calibration(calibration)
    with contextlib.redirect_stdout(sys.stderr):  # whatever libraries print does not belong in the table
        model = open_model(given_model(reference, pairs))
        return model.facts, chosen.compress(model, probes)


def default_output(reference: str, recipe: str) -> str:
    """Return `FOLDER/REFERENCE.RECIPE.safetensors`, the recipe's text cut down to letters, digits and dashes."""
    path = Path(reference)
    stem = path.stem if path.suffix in (SUFFIX, ".pt", ".pth", ".ckpt") else path.name
    return str(path.with_name(f"{stem}.{re.sub(r'[^A-Za-z0-9]+', '-', recipe).strip('-')}{SUFFIX}"))


def recipes_text() -> str:
    """Return every recipe and its options with their meaning, as `--list` prints them."""
    from fidelity_gate.compress.choosing import recipes, shared_options

    lines = []
    for recipe in recipes():
        lines += [recipe.name, *_indented(recipe.summary, 4)]
        lines += [line for option in recipe.options for line in _option_lines(option)]
        lines += [f"    {' '.join(f'{option.name}={option.default}' for option in recipe.shared)}", ""]
    lines.append("Every recipe:")
    return "\n".join([*lines, *(line for option in shared_options() for line in _option_lines(option))])


def _option_lines(option: OptionHelp) -> list[str]:
    return [f"    {option.name}={option.default} ({option.allowed})", *_indented(option.meaning, 8)]


def _indented(text: str, columns: int) -> list[str]:
    margin = " " * columns
    return textwrap.wrap(text, _LINE_WIDTH, initial_indent=margin, subsequent_indent=margin)


def summary(facts: ModelFacts, artifact: Artifact, target: str, size: int) -> str:
    """Return the table of what was stored how, before and after."""
    from fidelity_gate.storage.quantized import fact_of

    after = tuple(fact_of(tensor) for tensor in artifact.tensors)
    rows = [("", "stored as", "before", "after")]
    rows += [_row(role, facts.tensors, after) for role in Role if any(fact.role is role for fact in after)]
    rows.append(("file", facts.file_format + " -> artifact", _bytes(facts.size_bytes), _bytes(size)))
    lines = [f"{printable(facts.path)} -> {printable(target)}", f"recipe {artifact.recipe}", ""]
    lines.append(columns(rows))
    kept = [fact.name for fact in after if fact.bits >= 16]
    lines += ["", f"block weights below 16 bit: {format_value(_narrow_share(after), 'fraction')}"]
    if _narrow_share(after):
        lines.append(f"not quantized: {printable(', '.join(kept), 400)}")
    if artifact.calibration_rows:
        lines.append(f"calibration: {len(artifact.calibration_rows)} puzzles, recorded by the digest of every row")
    return "\n".join(lines)


def _row(role: Role, before: Iterable[TensorFact], after: Iterable[TensorFact]) -> tuple[str, str, str, str]:
    old, new = ([fact for fact in facts if fact.role is role] for facts in (before, after))
    kinds = ", ".join(sorted({fact.stored_as for fact in new}))
    return role.value, kinds, *(_bytes(sum(fact.stored_bytes for fact in facts)) for facts in (old, new))  # type: ignore[return-value]  # mypy counts no generator


def _narrow_share(tensors: Iterable[TensorFact]) -> float:
    block = [fact for fact in tensors if fact.role is Role.BLOCK]
    return sum(fact.values for fact in block if fact.bits < 16) / max(1, sum(fact.values for fact in block))


def _bytes(count: int) -> str:
    return format_value(count, "bytes")


def _calibration(text: str) -> Probes:
    from fidelity_gate.inputs.opening import from_path, open_inputs

    return open_inputs(from_path(text), ".")


def _refuse_target(target: str, reference: str, calibration: str | None) -> None:
    """Refuse to write over anything but an older candidate; links count as what they point to."""
    for path, what in ((reference, "the reference"), (calibration, "the calibration file")):
        if path is not None and os.path.realpath(path) == os.path.realpath(target):
            raise UsageError(f"would overwrite {what}", where=target, field="-o", hint="name another file")
    if Path(target).is_dir():
        raise UsageError("is a folder", where=target, field="-o", hint="name the file in it")
    if not Path(target).parent.is_dir():  # told now, not after minutes of calibration
        raise UsageError("its folder does not exist", where=target, field="-o", hint="make it first")
    if Path(target).exists() and not _is_candidate(target):
        raise UsageError("exists, and is no candidate of ours", where=target, field="-o", hint="name another file")


def _is_candidate(path: str) -> bool:
    from fidelity_gate.files import head
    from fidelity_gate.storage.artifact import is_artifact

    return is_artifact(head(path, count=_HEAD_BYTES, kind=UsageError))


def _write(artifact: Artifact, target: str) -> tuple[int, str]:
    """Write the file whole, and return its size and its sha256."""
    from fidelity_gate.files import sha256_hex, write_atomically
    from fidelity_gate.storage.artifact import encode

    data = encode(artifact)
    write_atomically(target, data)
    return len(data), sha256_hex(data)


def _say(text: str) -> None:
    from fidelity_gate.verbs.orders import write_stdout

    write_stdout(text + "\n")
