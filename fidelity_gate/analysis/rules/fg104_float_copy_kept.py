"""FG104: weights stored twice, quantized and in float."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fidelity_gate.analysis.rules._common import NARROW_BITS, tensor_place
from fidelity_gate.analysis.rules._matrices import EVERY_ROLE, is_elsewhere, matrices
from fidelity_gate.records import Found, Granularity, Need, Severity
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import TensorFact

_PLACES = 2048  # where values are compared: unrelated matrices agree there by 0.02


@dataclass(frozen=True, slots=True)
class FloatCopyKept:
    """Looks for quantized weights that the same file also holds in float.

    A float tensor is a copy when it has the shape of a quantized one, as it is or transposed, and their cosine is above
    0.98: INT4 keeps 0.99 of its own float weights, and two trained matrices of one shape have next to nothing in
    common. Every copy is one finding, whether something reads it or not.

    Attributes:
        cosine: of two copies; a larger one is a finding.
    """

    cosine: float = 0.98

    code: ClassVar[str] = "FG104"
    title: ClassVar[str] = "float-copy-kept"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "The file carries the weight twice, and the products that still read the float copy are not quantized: so "
        "quantize_dynamic, which followed 10 of 58 products of a step graph, took it from 2.91 to 3.67 MB."
    )
    fix: ClassVar[str] = (
        "Run quant_pre_process first, so that every product reads its weight itself, then remove initializers that "
        "nothing reads."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.WEIGHTS)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a float copy."""
        every = [tensor for tensor in matrices(subject, *EVERY_ROLE) if not is_elsewhere(subject, tensor.name)]
        narrow: dict[tuple[int, ...], list[TensorFact]] = defaultdict(list)
        for tensor in every:
            if tensor.granularity is not Granularity.NONE:
                narrow[tuple(sorted(tensor.shape))].append(tensor)
        samples = _Samples(subject)
        for wide in every:
            if wide.bits < NARROW_BITS:
                continue
            alike = narrow.get(tuple(sorted(wide.shape)), [])
            copy = next((tensor for tensor in alike if samples.cosine(wide, tensor) > self.cosine), None)
            if copy is not None:
                size = format_value(wide.stored_bytes, "bytes")
                message = f"{size} of float weights that {copy.name} holds as {copy.stored_as}"
                yield Found(tensor_place(wide), message, (("bytes", wide.stored_bytes),))


@dataclass(frozen=True, slots=True)
class _Samples:
    """Values of matrices at the same random places; every matrix is read once."""

    subject: Subject
    taken: dict[tuple[str, bool], NDArray[np.float32]] = field(default_factory=dict)

    def cosine(self, first: TensorFact, second: TensorFact) -> float:
        """Return the larger cosine between a matrix and another one, as it lies and turned, where shapes allow."""
        turns = [turned for turned in (False, True) if first.shape == second.shape[:: -1 if turned else 1]]
        ours = self.of(first, turned=False)
        return max((_cosine(ours, self.of(second, turned=turned)) for turned in turns), default=0.0)

    def of(self, tensor: TensorFact, *, turned: bool) -> NDArray[np.float32]:
        """Return the values of a matrix, or of its transpose, at `_PLACES` places."""
        if (tensor.name, turned) not in self.taken and self.subject.weights is not None:
            values = self.subject.weights.dense(tensor.name)
            for turn in (False, True):
                self.taken[tensor.name, turn] = _sampled(values.T if turn else values)
        return self.taken[tensor.name, turned]


def _sampled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    places = np.random.default_rng(0).integers(0, values.shape, size=(_PLACES, values.ndim))
    sample: NDArray[np.float32] = values[tuple(places.T)]
    return sample


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    norms = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    return float(np.vdot(first, second)) / norms if norms else 0.0
