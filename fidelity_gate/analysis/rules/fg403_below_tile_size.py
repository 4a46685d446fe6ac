"""FG403: matrices too small for the target's multiplier."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import counted, sizes, tensor_place, tensors_of
from fidelity_gate.records import Found, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import TensorFact

_MATRIX = 2


@dataclass(frozen=True, slots=True)
class BelowTileSize:
    """Looks for matrices of the recursive block with a side under the target's efficient tile.

    Only the weights are looked at, by their own shapes: one finding for every shape, with the number of matrices that
    have it. It says nothing about correctness, and a target without `tile` is never held against it.

    Source: the paper's appendix H: mlp_t matrices of 388 KB and 194 KB (97 tokens wide) fall under the Hexagon NPU's
    efficient tile and run on slower paths.
    """

    code: ClassVar[str] = "FG403"
    title: ClassVar[str] = "below-tile-size"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Small matrices do not fill the multiplier: in the paper 97-wide token-mixing weights made static INT8 on the "
        "NPU 2.4 times slower than float (11.4 -> 27.2 ms)."
    )
    fix: ClassVar[str] = "Measure the latency on the device before believing in INT8; pad the axis or use the CPU."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.TARGET)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every shape and target."""
        shapes: dict[tuple[int, ...], list[TensorFact]] = defaultdict(list)
        for tensor in tensors_of(subject, Role.BLOCK):
            if len(tensor.shape) >= _MATRIX:
                shapes[tensor.shape].append(tensor)
        for target in subject.targets:
            for shape, members in shapes.items():
                side = min(shape)
                if target.tile is not None and side < target.tile:
                    many = counted(len(members), "matrix", "matrices")
                    message = f"{many} of {sizes(shape)}: a side of {side} is under the efficient tile of {target.tile}"
                    yield Found(tensor_place(members[0]), message, (("side", side),), target.name)
