"""What the block matrices see: second moments of their inputs, from running the reference over its whole recursion."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate import registry
from fidelity_gate.compress.applying import block_matrices
from fidelity_gate.errors import ModelRefused, NotMeasured, UsageError
from fidelity_gate.heavy import torch_module
from fidelity_gate.records import Depth, RunSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fidelity_gate.protocols import Family, OpenedModel
    from fidelity_gate.records import ModelFacts, Probes, Tensor

RUN = RunSpec(seed=0, threads=1, batch=32)


@dataclass(slots=True, eq=False)
class Watched:
    """A matrix that sums `x x^T` of every input it is applied to; stands for `x @ weight.T`."""

    weight: Tensor  # (out, in)
    moments: Tensor  # (in, in) float64
    rows: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product for `x` (..., in) as (..., out)."""
        rows = x.reshape(-1, x.shape[-1])
        self.moments += rows.T @ rows
        self.rows += int(rows.shape[0])
        return x @ self.weight.T


def input_moments(model: OpenedModel, calibration: Probes) -> Mapping[str, NDArray[np.float64]]:
    """Run the reference on all calibration puzzles, as deep as it declares.

    Args:
        model: the reference.
        calibration: its puzzles, N rows.

    Returns:
        Block matrix -> (in, in) sum of `x x^T` over all its inputs: every puzzle, token and application.

    Raises:
        UsageError: the model declares no depth.
        NotMeasured: a block matrix was never applied, or an activation is not finite.
        InputsRefused: the puzzles do not fit the model.
    """
    torch = torch_module()
    depth = _depth(model.facts)
    family: Family = registry.build(
        "models.families", model.facts.family, model.facts.architecture, where=model.facts.path, kind=ModelRefused
    )
    weights = {name: torch.from_numpy(np.array(values)) for name, values in model.dense().items()}
    watched = {fact.name: _watched(weights[fact.name]) for fact in block_matrices(model.facts.tensors)}
    recursion = family.build({**weights, **watched}, RUN)
    with _one_thread(torch):
        for start in range(0, len(calibration), RUN.batch):
            batch = calibration.rows(start, min(start + RUN.batch, len(calibration)))
            for _ in recursion.run(batch, depth):
                pass
    return {name: _moments(name, matrix, model.facts.path) for name, matrix in watched.items()}


def _depth(facts: ModelFacts) -> Depth:
    if facts.depth is None:
        hint = "--model h_cycles=3 --model l_cycles=6 --model steps=16"
        raise UsageError("the file does not say how deep the recursion runs", where=facts.path, hint=hint)
    return facts.depth


def _watched(weight: Tensor) -> Watched:
    columns = int(weight.shape[1])
    return Watched(weight, torch_module().zeros((columns, columns), dtype=torch_module().float64))


def _moments(name: str, matrix: Watched, where: str) -> NDArray[np.float64]:
    if not matrix.rows:
        raise NotMeasured("was never applied to the calibration puzzles", where=where, field=name)
    moments: NDArray[np.float64] = matrix.moments.numpy()
    if not np.isfinite(moments).all():
        raise NotMeasured("its inputs are not finite on the calibration puzzles", where=where, field=name)
    return moments


@contextlib.contextmanager
def _one_thread(torch: Any) -> Iterator[None]:  # noqa: ANN401  (the library)
    """Sum in one order, whatever the machine, so that equal runs give equal bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
