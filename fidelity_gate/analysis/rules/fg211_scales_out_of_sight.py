"""FG211: quantized weights that lint cannot see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import counted, tensor_place
from fidelity_gate.analysis.rules._matrices import is_elsewhere
from fidelity_gate.records import Found, Granularity, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class ScalesOutOfSight:
    """Looks for quantized weights whose bytes lie in another file than the step graph.

    Other files are never read here, so the rules on scales say nothing of such weights, and silence is no pass. How
    they are stored is known from the graph, so the rules on bits and granularity do speak. Float weights in another
    file are the business of FG601 and FG609.
    """

    code: ClassVar[str] = "FG211"
    title: ClassVar[str] = "scales-out-of-sight"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Neither bad scales nor clipped or drowned weights can be found in them: in the zoo, that is how every "
        "candidate of 2 and 3 bits a weight with a scale a channel is told."
    )
    fix: ClassVar[str] = (
        "Save the model with its weights inside (onnx.save_model with save_as_external_data=False), lint that, and "
        "ignore this rule for the file that ships."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.GRAPH)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding at most, at the largest of the weights."""
        unseen = [
            tensor
            for tensor in subject.facts.tensors
            if tensor.granularity is not Granularity.NONE and is_elsewhere(subject, tensor.name)
        ]
        if unseen:
            largest = max(unseen, key=lambda tensor: tensor.values)
            message = f"{counted(len(unseen), 'quantized tensor')} in another file, so nobody looked at the scales"
            yield Found(tensor_place(largest), message, (("tensors", len(unseen)),))
