"""`fidelity-gate trace`: save the carries of one model for other tools."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.files import delete_stale, head
from fidelity_gate.records import Depth, RunSpec
from fidelity_gate.verbs.given_inputs import given_inputs
from fidelity_gate.verbs.given_model import given_model
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import Probes

EPILOG = """\b
Examples:
  fidelity-gate trace model.safetensors --inputs eval.npz -o carries.safetensors
  fidelity-gate trace model.safetensors --inputs eval.npz --probes 0:16 --steps 4 -o carries.safetensors
  fidelity-gate trace 'runs/sudoku/step_5000' --inputs sudoku:count=8,seed=1 --h-cycles 3 --l-cycles 6 --steps 16 \\
      -o carries.safetensors

The file holds one tensor a stream, (probes, steps, L, D), and the logits and halting logits where the model has them.
Its metadata names the model and the inputs by digest, and the depth. Without --steps, --h-cycles and --l-cycles the
model runs as deep as its file declares.
"""
SUFFIX = ".safetensors"
_RANGE = re.compile(r"([0-9]{0,9}):([0-9]{0,9})", re.ASCII)


@click.command(epilog=EPILOG)
@click.argument("model")
@click.option("--inputs", required=True, metavar="INPUTS", help="A file of probes, or SOURCE:key=value,...")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the carries go (safetensors).")
@click.option("--probes", "rows", metavar="A:B", help="Only probes A to B - 1, counted from 0.")
@click.option("--steps", type=click.IntRange(min=1), help="ACT steps, instead of those the file declares.")
@click.option("--h-cycles", type=click.IntRange(min=1), help="H cycles of a step, instead of the file's.")
@click.option("--l-cycles", type=click.IntRange(min=1), help="L cycles of an H cycle, instead of the file's.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="Probes at a time.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of torch.")
@click.option("--model", "pairs", multiple=True, metavar="KEY=VALUE", help="A fact that the file lacks; repeatable.")
@click.option("--use", default="", metavar="FORMAT", help="The model's format, where its file does not tell.")
@click.option("--allow-code", is_flag=True, help="Run Python of the model's owner (hooked models).")
def trace(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    model: str,
    inputs: str,
    output: str,
    rows: str | None,
    steps: int | None,
    h_cycles: int | None,
    l_cycles: int | None,
    batch: int,
    threads: int,
    pairs: tuple[str, ...],
    use: str,
    allow_code: bool,
) -> int:
    """Save the carries of MODEL after every step, for other tools."""
    from fidelity_gate.models.opening import open_model

    refuse_output(output, (model, inputs))
    delete_stale(output)
    with contextlib.redirect_stdout(sys.stderr):  # whatever libraries print does not belong on stdout
        opened = open_model(replace(given_model(model, pairs, name="model"), use=use), allow_code=allow_code)
        depth = chosen_depth(opened.facts.depth, steps, h_cycles, l_cycles)
        probes = given_inputs(inputs)
        start, stop = chosen_rows(rows, len(probes))
        job = _Job(opened, depth, probes, range(start, stop), RunSpec(threads=threads, batch=batch))
        shapes = _save(job, output)
    lines = [f"{output}: {stop - start} probes, {depth}"]
    lines += [f"  {name:<8} {'x'.join(map(str, shape))}" for name, shape in shapes.items()]
    write_stdout("\n".join(lines) + "\n")
    return 0


def refuse_output(output: str, read: tuple[str, ...]) -> None:
    """Raise UsageError when writing there would destroy anything but an older trace."""
    from fidelity_gate.tracing.trace_file import is_trace

    if Path(output).suffix != SUFFIX:
        raise UsageError(f"must end in {SUFFIX}", where=output, field="--output")
    if any(os.path.realpath(path) == os.path.realpath(output) for path in read):
        raise UsageError("is read by this command", where=output, field="--output", hint="name another file")
    if Path(output).exists() and not is_trace(head(output, kind=UsageError)):
        raise UsageError("exists, and is no trace of ours", where=output, field="--output", hint="name another file")


def chosen_depth(declared: Depth | None, steps: int | None, h_cycles: int | None, l_cycles: int | None) -> Depth:
    """Return the declared depth with what the command line says in its place.

    Raises:
        UsageError: neither the file nor the command line says how deep.
    """
    given = {"steps": steps, "h-cycles": h_cycles, "l-cycles": l_cycles}
    if declared is None and None in given.values():
        missing = [f"--{name}" for name, value in given.items() if value is None]
        hint = f"add {' and '.join(missing)}"
        raise UsageError("the file does not declare how deep the model runs", field="MODEL", hint=hint)
    base = declared or Depth()
    return Depth(h_cycles or base.h_cycles, l_cycles or base.l_cycles, steps or base.steps)


def chosen_rows(text: str | None, count: int) -> tuple[int, int]:
    """Return the first row and the one behind the last of `A:B`, either end of which may be left out.

    Raises:
        UsageError: not A:B, or no such probes.
    """
    match = _RANGE.fullmatch(text or ":")
    if not match:
        raise UsageError(f"'{text}' is not A:B", field="--probes", hint="0:16 takes the first sixteen")
    start, stop = int(match[1] or 0), int(match[2] or count)
    if not 0 <= start < stop <= count:
        hint = f"there are {count}, counted from 0"
        raise UsageError(f"there are no probes {start}:{stop}", field="--probes", hint=hint)
    return start, stop


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What is to be traced."""

    opened: OpenedModel
    depth: Depth
    probes: Probes
    rows: range
    run: RunSpec

    @property
    def facts(self) -> dict[str, str]:
        """Return everything that can change a number of the trace."""
        return {
            "model_sha256": self.opened.facts.digest,
            "inputs_digest": self.probes.digest,
            "probes": f"{self.rows.start}:{self.rows.stop}",
            "depth": str(self.depth),
            "dtype": self.run.dtype,
            "batch": str(self.run.batch),
            "threads": str(self.run.threads),
        }


def _save(job: _Job, output: str) -> dict[str, tuple[int, ...]]:
    """Step the model, write every state, and return the shapes of what was written."""
    from fidelity_gate.tracing.lockstep import Entrant, Plan, walk
    from fidelity_gate.tracing.trace_file import trace_file
    from fidelity_gate.verbs.progress import Bar

    probes, steps, run = job.probes.rows(job.rows.start, job.rows.stop), job.depth.steps, job.run
    entrant = Entrant("model", job.opened.load(run), job.depth)
    with trace_file(output, len(probes), steps, job.facts) as file, Bar() as bar:
        bar.start("stepping", len(probes) * steps)
        for first_probe, side in walk(entrant, probes, Plan(run.batch, run.threads)):
            file.put(first_probe, side.step, side.state)
            bar.advance(min(run.batch, len(probes) - first_probe))
        bar.done()
        return file.shapes
