"""FG606: what a file says of itself is not what it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._claims import FLOAT_BITS, SOME_BITS, smallest_claim
from fidelity_gate.analysis.rules._matrices import matrices
from fidelity_gate.graphs.step_metadata import PREFIX, Unit, step_metadata
from fidelity_gate.records import Found, Location, LocationKind, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

# The last part of a metadata key that speaks of how weights are stored.
_KEYS = frozenset(
    {
        "bits",
        "dtype",
        "precision",
        "quantization",
        "quantized",
        "recipe",
        "weight_bits",
        "weight_dtype",
        "weight_precision",
        "weights",
    }
)
_YES, _NO = frozenset({"true", "yes"}), frozenset({"false", "no", "none"})
_WHOLE = re.compile(r"(?<![a-z0-9])(?:fp|f|float)[-_ ]?32(?!\d)")


@dataclass(frozen=True, slots=True)
class MetadataContradicts:
    """Looks for claims of a file about itself that its own tensors, or the declared depth, contradict.

    Held against the tensors: the recipe of an artifact, and metadata whose key ends in precision, dtype, quantized,
    quantization, recipe, bits or weight_bits (`org.precision`). What is claimed is the fewest bits the text speaks of;
    what is measured is the matrix of the recursive block that is stored in the fewest. They must be equal; "quantized"
    alone asks for fewer than 16, and a claim of float32, or `quantized: false`, for 32. Integers of 4 bits that take a
    byte each are 8. Texts that name no width claim nothing.

    Held against the depth of the policy or the command line: the cycles that are built into the graph, which are
    l_cycles, and h_cycles too where one run is an ACT step. How often the host runs it is free.
    """

    code: ClassVar[str] = "FG606"
    title: ClassVar[str] = "metadata-contradicts"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Whoever takes the file by its label ships something else: an FP32 copy under a compressed name passes every "
        "fidelity check with 1.0, and one L-cycle fewer is another model."
    )
    fix: ClassVar[str] = "Mend the label, or export and compress again from the model that it speaks of."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every claim."""
        block = matrices(subject, Role.BLOCK)
        if block:
            narrowest = min(block, key=lambda tensor: tensor.bits)
            for key, text in _claims(subject):
                wanted = _claimed_bits(key, text)
                if wanted is not None and not _agree(wanted, narrowest.bits):
                    message = f"says '{text}', and the narrowest block matrix is {narrowest.stored_as}"
                    figures = (("claimed_bits", wanted), ("measured_bits", narrowest.bits))
                    yield Found(Location(LocationKind.METADATA, key, narrowest.name), message, figures)
        yield from _other_depth(subject)


def _claims(subject: Subject) -> Iterator[tuple[str, str]]:
    if subject.facts.recipe:
        yield "recipe", subject.facts.recipe
    for key, text in sorted(subject.graph.metadata.items()) if subject.graph else ():
        if re.split(r"[.:/]", key.lower())[-1] in _KEYS:
            yield key, text


def _claimed_bits(key: str, text: str) -> int | None:
    """Return how many bits a text says that weights have; None where it says nothing of it."""
    told = text.strip().lower()
    if key.lower().endswith("bits") and told.isascii() and told.isdigit() and len(told) <= 2:
        return int(told)
    if key.lower().endswith("quantized") and told in _YES | _NO:
        return SOME_BITS if told in _YES else FLOAT_BITS
    claim = smallest_claim((text,))
    if claim is not None:
        return claim.bits
    return FLOAT_BITS if _WHOLE.search(told.split(",")[0]) else None


def _agree(wanted: int, held: float) -> bool:
    return held <= SOME_BITS if wanted == SOME_BITS else wanted == round(held)


def _other_depth(subject: Subject) -> Iterator[Found]:
    told = step_metadata(subject.graph.metadata, subject.facts.path) if subject.graph else None
    if told is None or subject.depth is None:
        return
    built_in = ("l_cycles", "h_cycles") if told.unit is Unit.ACT_STEP else ("l_cycles",)
    for name in built_in:
        held, wanted = getattr(told.depth, name), getattr(subject.depth, name)
        if held != wanted:
            place = Location(LocationKind.METADATA, PREFIX + name, f"one run is one {told.unit.value}")
            message = f"{held} are built into the graph, and the depth it is to run at says {wanted}"
            yield Found(place, message, (("graph", held), ("wanted", wanted)))
