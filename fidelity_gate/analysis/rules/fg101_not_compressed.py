"""FG101: said to be compressed, and not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._claims import Claim, smallest_claim
from fidelity_gate.analysis.rules._common import counted
from fidelity_gate.analysis.rules._matrices import matrices
from fidelity_gate.records import Found, Location, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class NotCompressed:
    """Looks for a model that is said to be compressed while no weight of its recursive block is.

    The claim is the fewest bits that the file's recipe, its name, the candidate's name or the policy speak of: int8,
    w8a8, q4, nf4, 4bit, fp16; "quantized" alone means fewer than 16. Words that name embeddings, heads, activations or
    the carry claim nothing of the block, and neither do "pruned" or "distilled". The narrowest matrix of the block is
    held against it: one is enough to pass, and FG102 looks at the rest. Integers of 4 bits that take a byte each count
    as 8. Where nothing is claimed, nothing is found; where the name means something else, ignore the rule.
    """

    code: ClassVar[str] = "FG101"
    title: ClassVar[str] = "not-compressed"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "An untouched copy passes every fidelity check with 1.0, and what was measured is not what was meant to ship: "
        "tools that look for nn.Linear replace nothing in TRM and HRM, and onnxruntime's INT4 quantizer converted 1 of "
        "57 products of an exported step, the output head, without an error."
    )
    fix: ClassVar[str] = (
        "Compress it again with a tool that reaches the block's matrices (an ONNX export: quant_pre_process first), or "
        "mend the name."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding at most."""
        claim, block = smallest_claim(subject.claims), matrices(subject, Role.BLOCK)
        if claim is None or not block:
            return
        narrowest = min(block, key=lambda tensor: tensor.bits)
        if narrowest.bits > claim.bits:
            what = f"the narrowest of {counted(len(block), 'block matrix', 'block matrices')} is {narrowest.stored_as}"
            message = f"{_said(claim)}, and {what} ({narrowest.name})"
            yield Found(Location(), message, (("claimed_bits", claim.bits), ("narrowest_bits", narrowest.bits)))


def _said(claim: Claim) -> str:
    return f"{claim} says at most {claim.bits} bits a weight"
