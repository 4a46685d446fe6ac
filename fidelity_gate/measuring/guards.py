"""Refuses comparisons that would say nothing, before anything runs: ways in which a gate once passed by accident."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.digests import row_digests
from fidelity_gate.errors import InputsRefused, ModelRefused
from fidelity_gate.inputs.checking import overlap, rows_text
from fidelity_gate.records import Role

if TYPE_CHECKING:
    from fidelity_gate.records import Depth, ModelFacts, ModelSpec, Policy, Probes

# A candidate whose block takes this share of the reference's bytes, or more, was not compressed.
STILL_WHOLE = 0.95
_AS_WIDE = "a recipe changed nothing, or rounded numbers are still stored as floats; if that is meant"


def depth_of(spec: ModelSpec, policy: Policy) -> Depth:
    """Return how deep a model of the policy runs."""
    return spec.recursion or policy.recursion


def check_models(policy: Policy, reference: ModelFacts, candidates: tuple[ModelFacts, ...]) -> None:
    """Raise when a model is not what its place in the policy says.

    Args:
        policy: what is to be compared, and how deep.
        reference: of the reference's file.
        candidates: of the candidates' files, in the policy's order.

    Raises:
        ModelRefused: a candidate is the reference itself, of another family, or not compressed; or a file declares
            another depth than the policy.
    """
    _refuse_other_depth(policy.reference, policy, reference)
    for spec, facts in zip(policy.candidates, candidates, strict=True):
        _refuse_other_depth(spec, policy, facts)
        _refuse_other_family(spec, reference, facts)
        if as_deep(spec, policy):
            _refuse_reference_itself(spec, reference, facts)
        if must_be_compressed(spec, policy):
            _refuse_uncompressed(spec, reference, facts)


def check_calibration(candidates: tuple[ModelFacts, ...], calibration: Probes | None, probes: Probes) -> None:
    """Raise when rows that a recipe was calibrated on are among those it is judged on.

    Args:
        candidates: whose files may list the rows they were calibrated on.
        calibration: the rows that the policy says they were calibrated on.
        probes: the rows to judge on.

    Raises:
        InputsRefused: with the rows.
    """
    rows = row_digests(probes.inputs)
    sources = [(facts.path, facts.calibration_rows) for facts in candidates]
    if calibration is not None:
        sources.append((calibration.source, row_digests(calibration.inputs)))
    for source, others in sources:
        shared = overlap(rows, others)
        if shared:
            what = f"{rows_text(shared)} of the probes are calibration rows of {source}"
            raise InputsRefused(what, where=probes.source, hint="judge on rows that no recipe has seen")


def as_deep(spec: ModelSpec, policy: Policy) -> bool:
    """Return whether a candidate makes as many block updates as the reference: a smaller depth is a saving too."""
    return block_updates(depth_of(spec, policy)) >= block_updates(depth_of(policy.reference, policy))


def must_be_compressed(spec: ModelSpec, policy: Policy) -> bool:
    """Return whether the policy takes a candidate for a compressed one."""
    return not spec.uncompressed and as_deep(spec, policy)


def block_updates(depth: Depth) -> int:
    """Return how often a two-stream recursion of this depth applies a block: the measure of a smaller depth."""
    return depth.steps * depth.h_cycles * (depth.l_cycles + 1)


def _refuse_other_depth(spec: ModelSpec, policy: Policy, facts: ModelFacts) -> None:
    """Raise when a file declares another depth; only a recursion of the model's own in the policy stands above it."""
    if facts.depth is None or spec.recursion is not None or facts.depth == policy.recursion:
        return
    what = f"the file declares {facts.depth}, and the policy runs it at {policy.recursion}"
    hint = "correct recursion:, or give this candidate a recursion: of its own"
    raise ModelRefused(what, where=facts.path, field=f"{spec.name}.recursion", hint=hint)


def _refuse_other_family(spec: ModelSpec, reference: ModelFacts, facts: ModelFacts) -> None:
    ours, theirs = (one.family or one.claimed_family for one in (reference, facts))
    if ours and theirs and ours != theirs:
        what = f"is a {theirs}, and the reference is a {ours}"
        raise ModelRefused(what, where=facts.path, field=spec.name, hint="compare a model with its own compression")


def _refuse_reference_itself(spec: ModelSpec, reference: ModelFacts, facts: ModelFacts) -> None:
    hint = "give the compressed file; a copy of the reference would pass everything"
    if facts.digest == reference.digest:
        raise ModelRefused("is the reference itself (same bytes)", where=facts.path, field=spec.name, hint=hint)
    if _same_file(facts.path, reference.path):
        raise ModelRefused("is the reference's own file", where=facts.path, field=spec.name, hint=hint)


def _same_file(path: str, other: str) -> bool:
    try:
        return Path(path).samefile(other)
    except OSError:  # a model that is no file (a factory of the user's own) is told by its digest
        return False


def _refuse_uncompressed(spec: ModelSpec, reference: ModelFacts, facts: ModelFacts) -> None:
    ours, theirs = _weights(reference, facts)
    if theirs < STILL_WHOLE * ours:
        _refuse_weights_elsewhere(spec, reference, facts)
        return
    what = f"is not compressed: it takes {theirs:,} bytes, the reference {ours:,}"
    swapped = theirs * STILL_WHOLE > ours
    meant = f"candidates: {{{spec.name}: {{path: FILE, uncompressed: true}}}}"
    hint = "are the two swapped?" if swapped else f"{_AS_WIDE}: {meant}"
    raise ModelRefused(what, where=facts.path, field=spec.name, hint=hint)


def _refuse_weights_elsewhere(spec: ModelSpec, reference: ModelFacts, facts: ModelFacts) -> None:
    """Raise when a small block is made up for by other tensors: what a graph multiplies with can be hidden from sight.

    Embeddings count only where a candidate has more of them than the reference: one that has none saved nothing by it.
    """
    whole = _stored(reference) - _stored(reference, Role.EMBEDDING)
    spared = min(_stored(reference, Role.EMBEDDING), _stored(facts, Role.EMBEDDING))
    kept, block = _stored(facts) - spared, _stored(facts, Role.BLOCK)
    if not _stored(reference, Role.BLOCK) or not block or kept < whole:
        return
    what = f"is not compressed: what is seen of its block takes {block:,} bytes, and with all else but embeddings"
    hint = "its weights lie in constants that are not seen to be multiplied with; if that is meant: uncompressed: true"
    raise ModelRefused(f"{what} {kept:,}, the reference {whole:,}", where=facts.path, field=spec.name, hint=hint)


def _weights(reference: ModelFacts, facts: ModelFacts) -> tuple[int, int]:
    """Return the bytes of both blocks; of all tensors, or of the files, where a block cannot be told in both."""
    pairs = [(_stored(reference, Role.BLOCK), _stored(facts, Role.BLOCK)), (_stored(reference), _stored(facts))]
    return next((pair for pair in pairs if all(pair)), (reference.size_bytes, facts.size_bytes))


def _stored(facts: ModelFacts, role: Role | None = None) -> int:
    return sum(tensor.stored_bytes for tensor in facts.tensors if role in (None, tensor.role))
