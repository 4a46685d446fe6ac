"""`fidelity-gate zoo`: the embedded models, where their files are, and how to train them again."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.units import format_value
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.progress import Bar
from fidelity_gate.verbs.stdout import write_stdout
from fidelity_gate.zoo.catalog import entry, names
from fidelity_gate.zoo.recipe import TrainingRecipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.zoo.catalog import ZooEntry

LINE_WIDTH = 100
EPILOG = """\b
Examples:
  fidelity-gate zoo list
  fidelity-gate zoo path trm-addition
  fidelity-gate zoo path trm-addition --data calibration
  fidelity-gate zoo train --out run --mixer mlp --positions none --hidden 64 --givens 10
"""
TRAIN_EPILOG = """\b
Examples:
  fidelity-gate zoo train --out run --like trm-addition
  fidelity-gate zoo train --out run --size 6 --givens 14 --hidden 96 --steps 3000
  fidelity-gate zoo train --out run --resume
"""
_TEXTS = {
    "task": "sudoku or modular-addition.",
    "size": "Cells a side, or the modulus.",
    "givens": "Givens of a sudoku: 12, or 10-12.",
    "pool": "Training puzzles, augmented on the fly.",
    "reveal": "Share of training puzzles made easier.",
    "data_seed": "Decides every row.",
    "family": "trm or hrm.",
    "mixer": "attention or mlp.",
    "positions": "learned, rope or none.",
    "hidden": "Width of a token.",
    "heads": "Attention heads.",
    "layers": "Layers of each level.",
    "expansion": "Of every SwiGLU.",
    "h_cycles": "Updates of z_H in an ACT step.",
    "l_cycles": "Updates of z_L before each of z_H.",
    "supervision": "ACT steps.",
    "batch": "Puzzles in flight.",
    "lr": "Learning rate.",
    "warmup": "Steps in which it rises.",
    "cooldown": "Steps at the end in which it falls.",
    "weight_decay": "Of AdamW.",
    "ema": "Decay of the averaged weights.",
    "unit_start": "Start attention from rows, columns, boxes.",
    "staggered": "Spread the first puzzles over ACT steps.",
    "exploration": "Share of puzzles that may not halt early.",
    "steps": "Optimiser steps.",
    "seed": "Of weights and batches.",
    "dtype": "Of the forward pass: float32 or bfloat16.",
}


@click.group(epilog=EPILOG)
def zoo() -> None:
    """List, find and train the embedded models."""


@zoo.command("list", epilog="\b\nExamples:\n  fidelity-gate zoo list\n  fidelity-gate zoo list --markdown\n")
@click.option("--markdown", is_flag=True, help="The whole model cards, as Markdown.")
def list_models(*, markdown: bool) -> int:
    """Show every embedded model with its family, size, depth and accuracy."""
    if markdown:
        from fidelity_gate.zoo.page import page

        write_stdout(page())
        return 0
    rows = [
        ("name", "family", "parameters", "file", "depth", "exact", "sha256"),
        *(_row(entry(name)) for name in names()),
    ]
    click.echo(columns(rows))
    for name in names():
        click.echo("\n" + textwrap.fill(f"{name}: {entry(name).card.summary}", LINE_WIDTH, subsequent_indent="  "))
    return 0


@zoo.command(epilog="\b\nExamples:\n  fidelity-gate zoo path trm-addition --data evaluation\n")
@click.argument("name")
@click.option("--data", type=click.Choice(["evaluation", "calibration"]), help="Its rows instead of its weights.")
def path(*, name: str, data: str | None) -> int:
    """Print where the embedded model NAME lies, for use in a shell or a policy."""
    found = entry(name)
    chosen = {None: found.weights, "evaluation": found.evaluation, "calibration": found.calibration}[data]
    write_stdout(f"{chosen}\n")
    return 0


def _recipe_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add one option for every field of a recipe; what is not given keeps its default."""
    for field in reversed(TrainingRecipe.__dataclass_fields__.values()):
        flag, kind = f"--{field.name.replace('_', '-')}", type(field.default)
        flag = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
        text = f"{_TEXTS[field.name]}  [default: {str(field.default).lower()}]"
        command = click.option(flag, field.name, type=kind, default=None, help=text)(command)
    return command


@zoo.command(epilog=TRAIN_EPILOG)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for checkpoint, weights and rows.")
@click.option("--name", default="model", help="Of the files that are written at the end.  [default: model]")
@click.option("--like", metavar="NAME", help="Start from the recipe of an embedded model.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, with its recipe.")
@click.option("--every", type=click.IntRange(min=1), default=250, help="Steps between checkpoints.  [default: 250]")
@click.option("--threads", type=click.IntRange(min=1), default=1, help="Part of the recipe: sums depend on it.")
@_recipe_options
def train(*, out: Path, name: str, like: str | None, resume: bool, every: int, threads: int, **given: Any) -> int:  # noqa: ANN401, PLR0913  (one option each)
    """Train a model from scratch; weights, labelled rows and a card are written to --out at the end."""
    import torch

    from fidelity_gate.zoo.release import release
    from fidelity_gate.zoo.train import CHECKPOINT, TrainingPlan
    from fidelity_gate.zoo.train import train as run

    recipe = _recipe({key: value for key, value in given.items() if value is not None}, like, out / CHECKPOINT, resume)
    torch.set_num_threads(threads)
    with Bar() as bar:
        bar.start(f"training {name}", recipe.steps)
        trainer = run(recipe, TrainingPlan(out, every, resume), _Watcher(bar, recipe.steps))
        bar.done()
    card = release(trainer, name, f"{recipe.family} trained on {recipe.task} of size {recipe.size}", out)
    write_stdout(f"{out / name}.safetensors: {card.exact:.1%} of {card.rows} evaluation rows exact\n")
    return 0


class _Watcher:
    """Tells a terminal how training goes, and a log one line a checkpoint."""

    def __init__(self, bar: Bar, steps: int) -> None:
        self.bar = bar
        self.steps = steps
        self.loss = float("nan")
        self.seen = 0

    def stepped(self, done: int, loss: float) -> None:
        """Move the bar."""
        self.bar.advance(done - self.seen)
        self.seen, self.loss = done, loss

    def validated(self, done: int, exact: float) -> None:
        """Say how good the averaged weights are."""
        click.echo(f"step {done} of {self.steps}: loss {self.loss:.4f}, {exact:.1%} exact on validation rows", err=True)


def _recipe(given: dict[str, Any], like: str | None, checkpoint: Path, resume: bool) -> TrainingRecipe:
    from fidelity_gate.zoo.recipe import recipe_from

    if resume:
        from fidelity_gate.zoo.checkpoint import load_recipe

        if given or like:
            extra = "--like" if like else f"--{next(iter(given)).replace('_', '-')}"
            raise UsageError("a resumed run keeps its recipe", field=extra, hint="leave the option out")
        return load_recipe(checkpoint)
    base = dict(entry(like).card.recipe) if like else {}
    return recipe_from({**base, **given})


def _row(found: ZooEntry) -> tuple[str, ...]:
    card = found.card
    size = format_value(found.weights.stat().st_size, "bytes")
    return (
        found.name,
        card.family,
        f"{card.parameters:,}",
        size,
        str(found.depth),
        f"{card.exact:.1%}",
        card.digest[:12],
    )
