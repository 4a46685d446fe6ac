"""Walks a model's tensors and stores each as its role asks: what all recipes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np

from fidelity_gate.digests import row_digests
from fidelity_gate.errors import UsageError
from fidelity_gate.options import shown
from fidelity_gate.records import Artifact, Role, StoredTensor
from fidelity_gate.storage.integers import IntegerScheme
from fidelity_gate.storage.quantized import dense_tensor, fact_of, integer_tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fidelity_gate.protocols import OpenedModel, Progress
    from fidelity_gate.records import ModelFacts, Probes, TensorFact

Precision: TypeAlias = Literal["float32", "float16", "bfloat16", "int8"]
BlockEncoder: TypeAlias = Callable[[str, "NDArray[np.float32]"], StoredTensor]  # name, (out, in) matrix

ROWS_SYMMETRIC = IntegerScheme(8, 0, symmetric=True)


@dataclass(frozen=True, slots=True)
class Compression:
    """A recipe: its subclasses say how a block matrix is stored.

    Vectors (norms, biases, initial carries) stay float32: they weigh nothing.

    Attributes:
        heads: how output heads are stored; int8 is one symmetric scale a row.
        embeddings: how embedding tables are stored; int8 is one symmetric scale a row.
    """

    name: ClassVar[str]
    takes_calibration: ClassVar[bool] = False
    suffix: ClassVar[str] = ".safetensors"

    heads: Precision = "float32"
    embeddings: Precision = "float32"

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Return the function that stores one block matrix."""
        raise NotImplementedError

    def compress(self, model: OpenedModel, calibration: Probes | None, progress: Progress | None = None) -> Artifact:
        """Return the compressed artifact.

        Args:
            model: the reference.
            calibration: puzzles of the training set, for recipes that take them.
            progress: told of every tensor.

        Raises:
            UsageError: the recipe would change nothing, has no use for the calibration puzzles it was given, or the
                model cannot be written in our format.
            ModelRefused: a weight does not fit its new type.
        """
        if calibration is not None and not self.takes_calibration:
            raise UsageError(f"{self.name} looks at weights alone", field="--calibration", hint="leave it out")
        _refuse_unfit(model.facts)
        encode_block = self.block_encoder(model, calibration)
        arrays, roles = model.dense(), {fact.name: fact.role for fact in model.facts.tensors}
        tensors = tuple(
            self._stored(name, roles[name], arrays[name], encode_block) for name in told(sorted(arrays), progress)
        )
        _refuse_no_change(self.name, model.facts, map(fact_of, tensors))
        return Artifact(
            family=model.facts.family,
            architecture=model.facts.architecture,
            depth=model.facts.depth,
            tensors=tensors,
            recipe=recipe_text(self),
            reference_digest=model.facts.digest,
            calibration_digest="" if calibration is None else calibration.digest,
            calibration_rows=() if calibration is None else row_digests(calibration.inputs),
        )

    def _stored(self, name: str, role: Role, values: NDArray[np.float32], block: BlockEncoder) -> StoredTensor:
        if role is Role.OTHER or values.ndim < 2:
            return dense_tensor(name, role, values)
        if role is Role.BLOCK:
            return block(name, values)
        precision = self.heads if role is Role.HEAD else self.embeddings
        if precision == "int8":
            return integer_tensor(name, role, values, ROWS_SYMMETRIC)
        return dense_tensor(name, role, values, precision)


class Named(Protocol):
    """A recipe's class: a frozen dataclass with a name."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]


def recipe_text(recipe: Named) -> str:
    """Return the recipe with every option, as `--recipe` takes it: "int4-naive,embeddings=float32,heads=float32"."""
    options = sorted((item.name, getattr(recipe, item.name)) for item in fields(recipe))
    texts = (f"{name}={value if isinstance(value, str) else shown(value)}" for name, value in options)
    return ",".join([recipe.name, *texts])


def told(names: Sequence[str], progress: Progress | None) -> Iterator[str]:
    """Yield every name, and tell a progress when whoever took it comes back for the next."""
    if progress is None:
        yield from names
        return
    progress.start("compressing", len(names))
    try:
        for name in names:
            yield name
            progress.advance(1)
    finally:
        progress.done()


def block_matrices(tensors: Iterable[TensorFact]) -> tuple[TensorFact, ...]:
    """Return the matrices that are applied at every recursion step."""
    return tuple(fact for fact in tensors if fact.role is Role.BLOCK and len(fact.shape) >= 2)


def _refuse_unfit(facts: ModelFacts) -> None:
    """Refuse a model that our format cannot hold, or that was compressed before."""
    if not facts.family:
        hint = "hooked models are compressed by the code that makes them"
        if facts.file_format == "onnx":
            hint = "it is an ONNX graph: onnx-int8, onnx-static-int8, onnx-int4, ..."
        raise UsageError("its recursion is none of the known families", where=facts.path, hint=hint)
    matrices = block_matrices(facts.tensors)
    if not matrices:
        raise UsageError("it has no block matrices, so nothing would change", where=facts.path)
    narrow = next((fact for fact in matrices if fact.bits < 16), None)
    if narrow is not None:
        what = f"is compressed already ({narrow.stored_as}); its rounding would be rounded again"
        raise UsageError(what, where=facts.path, field=narrow.name, hint="give the reference")


def _refuse_no_change(name: str, facts: ModelFacts, stored: Iterable[TensorFact]) -> None:
    before = sum(fact.stored_bytes for fact in block_matrices(facts.tensors))
    after = sum(fact.stored_bytes for fact in block_matrices(stored))
    if after >= before:
        what = f"{name} would change nothing for the better: block weights take {before:,} bytes, then {after:,}"
        raise UsageError(what, where=facts.path, field="--recipe")
