"""What `compress` says of a candidate: what was stored how, before and after, and what stayed float."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.records import OnnxArtifact, Role
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.verbs.columns import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fidelity_gate.records import Artifact, ModelFacts, StateRange, TensorFact

ONE_SCALE = 0.5  # a run that uses fewer of the levels than this has lost a bit
MOST_RUNS = 12
_MOST_NAMES = 400  # characters


def summary(facts: ModelFacts, made: Artifact | OnnxArtifact, target: str, size: int) -> str:
    """Return the table of what was stored how, before and after.

    Args:
        facts: of the reference.
        made: what the recipe made of it.
        target: where it was written.
        size: of the file.
    """
    after = _tensors(made)
    kind = "onnx" if isinstance(made, OnnxArtifact) else "artifact"
    rows = [("", "stored as", "before", "after")]
    rows += [_row(role, facts.tensors, after) for role in Role if any(fact.role is role for fact in after)]
    rows.append(("file", f"{facts.file_format} -> {kind}", _bytes(facts.size_bytes), _bytes(size)))
    lines = [f"{printable(facts.path)} -> {printable(target)}", f"recipe {printable(made.recipe, _MOST_NAMES)}", ""]
    lines += [columns(rows), "", *_counted(made, after)]
    if made.calibration_rows:
        lines.append(f"calibration: {len(made.calibration_rows)} puzzles, recorded by the digest of every row")
    return "\n".join([*lines, *(_ranges(made.ranges) if isinstance(made, OnnxArtifact) else ())])


def _tensors(made: Artifact | OnnxArtifact) -> tuple[TensorFact, ...]:
    from fidelity_gate.storage.quantized import fact_of

    return made.tensors if isinstance(made, OnnxArtifact) else tuple(fact_of(tensor) for tensor in made.tensors)


def _counted(made: Artifact | OnnxArtifact, after: tuple[TensorFact, ...]) -> Iterator[str]:
    """Yield how many weights are narrow, and the names of those that are not."""
    yield f"block weights below 16 bit: {format_value(_narrow_share(after), 'fraction')}"
    if not isinstance(made, OnnxArtifact):
        if _narrow_share(after):
            yield _named("not quantized", (fact.name for fact in after if fact.bits >= 16))
        return
    yield f"of the weights it is for, {format_value(made.share, 'fraction')} were narrowed"
    wide = [fact.name for fact in after if fact.role is not Role.OTHER and fact.bits >= 32]
    left = [name for name in wide if name not in made.excluded]
    if left:
        yield _named("not quantized", left)
    if made.excluded:
        yield _named("excluded", made.excluded)


def _named(what: str, names: Iterable[str]) -> str:
    return f"{what}: {printable(', '.join(names), _MOST_NAMES)}"


def _ranges(ranges: tuple[StateRange, ...]) -> Iterator[str]:
    """Yield the range of every state by run, and whether one scale serves all runs."""
    for found in ranges:
        runs = len(found.spans)
        yield ""
        yield f"range of {printable(found.state)} after each of {runs} runs"
        yield columns([("run", "lowest", "highest"), *_by_run(found)])
        fits = (
            f"largest over smallest range {found.ratio:.3g}, the smallest uses {found.share:.0%} of one scale's levels"
        )
        yield fits
        if found.share < ONE_SCALE:
            yield (
                f"warning: one scale does not fit early and late runs of {printable(found.state)}: "
                f"a run is left {found.share:.0%} of the levels (exclude=carry keeps the state float)"
            )


def _by_run(found: StateRange) -> Iterator[tuple[str, str, str]]:
    """Yield the first and the last runs, and those of the narrowest and the widest range."""
    spans = found.spans
    runs = range(len(spans))
    half = MOST_RUNS // 2
    extremes = {spans.index(min(spans)), spans.index(max(spans))}
    shown = [run for run in runs if len(runs) <= MOST_RUNS or run < half or run >= len(runs) - half or run in extremes]
    before = -1
    for run in shown:
        if run > before + 1:
            yield "...", "", ""
        yield str(run + 1), f"{found.lows[run]:.4g}", f"{found.highs[run]:.4g}"
        before = run


def _row(role: Role, before: Iterable[TensorFact], after: Iterable[TensorFact]) -> tuple[str, str, str, str]:
    old, new = ([fact for fact in facts if fact.role is role] for facts in (before, after))
    kinds = ", ".join(sorted({fact.stored_as for fact in new}))
    return role.value, kinds, *(_bytes(sum(fact.stored_bytes for fact in facts)) for facts in (old, new))  # type: ignore[return-value]  # mypy counts no generator


def _narrow_share(tensors: Iterable[TensorFact]) -> float:
    block = [fact for fact in tensors if fact.role is Role.BLOCK]
    return sum(fact.values for fact in block if fact.bits < 16) / max(1, sum(fact.values for fact in block))


def _bytes(count: int) -> str:
    return format_value(count, "bytes")
