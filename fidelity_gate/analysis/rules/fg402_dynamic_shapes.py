"""FG402: sizes that are not known before the run, for a target that needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import sizes
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class DynamicShapes:
    """Looks for graph inputs whose sizes are not fixed, for a target that needs static shapes.

    Every size that does not follow from the inputs' (the output of NonZero, say) is not looked for here: shapes inside
    a graph with fixed inputs are mostly fixed too, and the arena planner names those that are not.

    Source: the paper's section 3 (static shapes for the NPU's compiler), Qualcomm AI Hub's input specifications.
    """

    code: ClassVar[str] = "FG402"
    title: ClassVar[str] = "dynamic-shapes"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "The target's compiler lays out memory before the run, so it refuses sizes that vary."
    fix: ClassVar[str] = "Export with a fixed batch and length (fidelity-gate export --batch 1)."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH, Need.TARGET)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every such input and target."""
        if subject.graph is None:
            return
        for value in subject.graph.inputs:
            if value.static:
                continue
            shape = "unknown rank" if value.shape is None else sizes(value.shape)
            place = Location(LocationKind.INPUT, value.name, f"{value.dtype} {shape}")
            for target in subject.targets:
                if target.static_only:
                    yield Found(place, f"its shape is not fixed ({shape})", target=target.name)
