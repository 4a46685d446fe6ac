"""`fidelity-gate export`: write a TRM or an HRM as an ONNX step graph, once it has been held against torch."""

from __future__ import annotations

import contextlib
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import ExitCode, NotMeasured, UsageError
from fidelity_gate.exporting.plan import DEFAULT_OPSET, HIGHEST_OPSET, LOWEST_OPSET, Embed, ExportPlan
from fidelity_gate.files import delete_stale, sha256_hex, write_atomically
from fidelity_gate.graphs.step_metadata import Unit
from fidelity_gate.text import printable
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.export_targets import orders
from fidelity_gate.verbs.given_inputs import given_inputs
from fidelity_gate.verbs.progress import Bar
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from fidelity_gate.exporting.step import ExportedStep
    from fidelity_gate.exporting.verification import Closeness, Verification
    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import ModelFacts, Probes
    from fidelity_gate.verbs.export_targets import Order

EPILOG = """\b
Examples:
  fidelity-gate export zoo:trm-attention-sudoku -o step.onnx
  fidelity-gate export ref.safetensors -o step.onnx --unit act-step --inputs eval.npz
  fidelity-gate export zoo:trm-mlp-sudoku zoo:trm-addition --unit act-step -o build/
  fidelity-gate export 'runs/arc/step_5000' -o step.onnx --embed outside --model h_cycles=3 --model l_cycles=4

The graph computes one H-cycle (or one ACT step); the host feeds z_H_out and z_L_out back. Before it is written it runs
under onnxruntime beside the model in torch, over all ACT steps: mean cosine of the carries at least 0.99999 at every
step, and the same answers. Where it is not, exit 1 and no file; where the model differs from itself as much, exit 3.
"""
DYNAMIC = "dynamic"
_MOST_BATCH = 4096
_NEAR = 0.01


@click.command(epilog=EPILOG)
@click.argument("references", nargs=-1, required=True, metavar="REFERENCE...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="STEP.onnx|FOLDER",
    help="Where the graph goes: a file, or a folder for files named after the models.",
)
@click.option(
    "--unit",
    type=click.Choice([unit.value for unit in Unit]),
    default=Unit.H_CYCLE.value,
    show_default=True,
    help="What a run is.",
)
@click.option("--batch", default="1", metavar="N|dynamic", show_default=True, help="Probes of a run.")
@click.option(
    "--opset",
    type=click.IntRange(LOWEST_OPSET, HIGHEST_OPSET),
    default=DEFAULT_OPSET,
    show_default=True,
    help="Version of the ONNX operators.",
)
@click.option(
    "--embed",
    type=click.Choice([embed.value for embed in Embed]),
    default=Embed.INSIDE.value,
    show_default=True,
    help="Take tokens, or a scaled embedding x that STEP.embed.onnx makes of them.",
)
@click.option("--inputs", metavar="INPUTS", help="Puzzles to verify with: a file, or SOURCE:key=value,...")
@click.option("--steps", type=click.IntRange(min=1), help="ACT steps to verify, instead of those the file declares.")
@click.option("--model", "pairs", multiple=True, metavar="KEY=VALUE", help="A fact that the file lacks; repeatable.")
def export(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    references: tuple[str, ...],
    output: str,
    unit: str,
    batch: str,
    opset: int,
    embed: str,
    inputs: str | None,
    steps: int | None,
    pairs: tuple[str, ...],
) -> int:
    """Write one step of the TRM or HRM in REFERENCE, or of each of several, as an ONNX graph."""
    plan = ExportPlan(Unit(unit), batch_of(batch), opset, Embed(embed))
    codes: list[ExitCode] = []
    for order in orders(references, output, pairs, plan.embed, inputs):
        made = _exported(order, plan, _Check(_source(order.reference, inputs), steps))
        write_stdout(("\n" if codes else "") + summary(made, order.targets) + "\n")
        codes.append(ExitCode.PASSED if made.agrees else ExitCode.FAILED)
    return int(max(codes))


def _exported(order: Order, plan: ExportPlan, check: _Check) -> _Made:
    """Make, verify and, where the graph is the model, write one export; an older one is gone either way."""
    for target in order.targets:
        delete_stale(target)
    with contextlib.redirect_stdout(sys.stderr):  # whatever libraries print does not belong in the summary
        from fidelity_gate.models.opening import open_model

        made = _made(open_model(order.spec), plan, check)
    if made.agrees:
        for target, data in zip(order.targets, (made.exported.data, made.exported.embedding), strict=False):
            write_atomically(target, data)
    return made


def batch_of(text: str) -> int | None:
    """Return the probes of a run; None for `dynamic`.

    Raises:
        UsageError: neither a number of them nor the word.
    """
    if text == DYNAMIC:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= _MOST_BATCH:
        hint = f"1 to {_MOST_BATCH}, or {DYNAMIC}"
        raise UsageError(f"'{text}' is no number of probes", field="--batch", hint=hint)
    return int(text)


@dataclass(frozen=True, slots=True)
class _Check:
    """What to hold the graph against torch with."""

    source: str | None  # of puzzles; None for random tokens
    steps: int | None  # None for as many as the model declares


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A graph and what was found of it."""

    exported: ExportedStep
    verified: Verification
    probes: Probes
    agrees: bool


def _made(model: OpenedModel, plan: ExportPlan, check: _Check) -> _Made:
    """Export, then verify.

    Raises:
        NotMeasured: the model differs from itself as much as from its export.
    """
    from fidelity_gate.exporting.step import depth_to_export, export_step
    from fidelity_gate.exporting.verification import Agreement, rounds, verify

    steps = check.steps or depth_to_export(model.facts).steps
    probes = _probes(model.facts, check.source)
    plan = replace(plan, seq_len=probes.inputs.shape[1])
    with Bar() as bar:
        bar.start("exporting", 1)
        exported = export_step(model, plan, steps=steps)
        bar.done()
        bar.start("verifying", rounds(exported, len(probes), steps))
        verified = verify(model, exported, probes, steps, bar)
        bar.done()
    if verified.agreement is Agreement.INCONCLUSIVE:
        raise NotMeasured(_inconclusive(verified), where=model.facts.path, field="noise floor", hint="nothing written")
    return _Made(exported, verified, probes, verified.agreement is Agreement.SAME)


def _source(reference: str, inputs: str | None) -> str | None:
    """Return where puzzles come from; a zoo model has its own."""
    if inputs is None and reference.startswith("zoo:"):
        return reference
    return inputs


def _probes(facts: ModelFacts, source: str | None) -> Probes:
    """Return a few probes of the source, or random ones."""
    from fidelity_gate.exporting.verification import MOST_PROBES

    if source is None:
        from fidelity_gate.exporting.probing import random_probes

        return random_probes(facts, MOST_PROBES)
    probes = given_inputs(source)
    return probes.rows(0, min(len(probes), MOST_PROBES))


# ---------------------------------------------------------------- text


def summary(made: _Made, targets: tuple[str, ...]) -> str:
    """Return what was made, and how near it is to torch."""
    exported, verified = made.exported, made.verified
    told = exported.metadata
    rows = [("file", printable(target)) for target in targets]
    rows += [
        ("bytes", f"{len(exported.data):,}"),
        ("sha256", sha256_hex(exported.data)),
        ("graph", f"{exported.nodes} nodes, opset {exported.opset}, one {told.unit} of {told.family}"),
        ("inputs", ", ".join(exported.inputs)),
        ("outputs", ", ".join(exported.outputs)),
        ("states", ", ".join(f"{value} -> {value}_out" for value in told.initial)),
        ("runs", f"{told.runs} a probe ({told.depth})"),
        ("verified", f"{verified.probes} probes, {verified.graph.steps} ACT steps, {printable(made.probes.source)}"),
        ("  graph", _closeness(verified.graph)),
        ("  noise floor", _closeness(verified.floor)),
    ]
    if not made.agrees:
        rows.append(("NOT WRITTEN", "the graph is not the model: cosine, answers or heads are out of bounds"))
    return columns(rows)


def _closeness(found: Closeness) -> str:
    same = f"{found.answers - found.flipped:,} of {found.answers:,} answers the same"
    return f"lowest mean cosine {_near_one(found.cosine)}, {same}, heads off by {found.head_error:.1e}"


def _inconclusive(verified: Verification) -> str:
    graph, floor = _near_one(verified.graph.cosine), _near_one(verified.floor.cosine)
    return f"inconclusive: a start shaken by 1e-6 moves torch itself as far (cosine {floor}) as the graph is ({graph})"


def _near_one(cosine: float) -> str:
    """Return a cosine so that its nines need not be counted."""
    return f"1 - {1 - cosine:.1e}" if 0 < 1 - cosine < _NEAR else f"{cosine:.6g}"
