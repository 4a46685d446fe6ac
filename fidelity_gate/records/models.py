"""Models: what a file holds, how deep it runs, and a recursion right after a step.

Shapes use B probes in a batch, L tokens, D width, V answer vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from fidelity_gate.records.late import LATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Scalar: TypeAlias = str | int | float | bool | None
Options: TypeAlias = tuple[tuple[str, Scalar], ...]  # sorted by name
Tensor: TypeAlias = Any  # a torch.Tensor or a numpy array; rooms never mix the two in one expression
Carry: TypeAlias = Mapping[str, Tensor]  # stream name -> (B, L, D)


# ---------------------------------------------------------------- models


@dataclass(frozen=True, slots=True)
class Depth:
    """How deep a recursion runs: `steps` ACT steps of `h_cycles` times `l_cycles` block updates."""

    h_cycles: int = 1
    l_cycles: int = 1
    steps: int = 1

    def __str__(self) -> str:
        """Return `H=3 L=6 steps=16`."""
        return f"H={self.h_cycles} L={self.l_cycles} steps={self.steps}"


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the footprint and compute formulas need of a recursive block (SCIENCE: paper appendix M)."""

    tokens: int  # L, puzzle-embedding tokens included
    width: int  # D
    layers: int  # all of the recursive block's layers, of every level that has its own
    layer_values: int  # weight values of one block layer (its matrices)
    streams: int = 2  # long-lived carries


class Role(StrEnum):
    """What a tensor is for; recipes, shares and footprints treat roles differently."""

    BLOCK = "block"  # a matrix applied at every recursion step
    EMBEDDING = "embedding"
    HEAD = "head"
    OTHER = "other"  # initial carries, norms, biases, buffers


class Granularity(StrEnum):
    """How many values share one scale."""

    NONE = ""  # floats have no scales
    TENSOR = "tensor"
    CHANNEL = "channel"
    BLOCK = "block"  # several scales a channel (NF4, MatMulNBits)


@dataclass(frozen=True, slots=True)
class TensorFact:
    """One tensor as it is stored in a file; measured, never read from metadata."""

    name: str
    role: Role
    shape: tuple[int, ...]  # logical shape
    stored_as: str  # "float32", "bfloat16", "int4 per channel asymmetric", ...
    bits: float  # stored bits of one value, scales and zero points not counted
    payload_bytes: int
    overhead_bytes: int = 0  # scales, zero points, code books
    granularity: Granularity = Granularity.NONE
    symmetric: bool = True  # no zero points
    tied_to: str = ""  # the tensor whose bytes it shares, and which counts them: its own payload is 0 then

    @property
    def values(self) -> int:
        """Return the number of logical values."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def stored_bytes(self) -> int:
        """Return payload and overhead together."""
        return self.payload_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True)
class Footprint:
    """Peak SRAM of one ACT step in bytes, by deployment scenario (paper appendix M, Table 15)."""

    streaming: int
    full_load: int
    host_compressed: int
    bytes_per_value: float  # b of the formulas


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One of the files that a model was read from."""

    name: str  # its path from the folder of the model's own file; its name alone where it lies elsewhere
    digest: str  # sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What can be said of a model file without running it."""

    path: str
    digest: str  # sha256 of every byte that was read, side files included
    size_bytes: int  # on disk, side files included
    file_format: str
    family: str  # "" for a model the gate has no family for
    architecture: Options  # the fields of the family's plug
    depth: Depth | None  # as the file or its sidecar declares it
    geometry: Geometry | None
    tensors: tuple[TensorFact, ...]
    recipe: str = ""  # what the file says was done to it: a claim
    calibration_rows: tuple[str, ...] = ()  # row digests the file says it was calibrated on: a claim
    notes: tuple[str, ...] = ()  # "took the EMA weights", ...
    claimed_family: str = ""  # of a step graph: the family that its metadata says it was exported from; a claim
    # Every file that was read, the model's own first; none where it consists of more than files: Python code.
    files: tuple[ModelFile, ...] = field(default=(), metadata=LATE)


@dataclass(frozen=True, slots=True)
class StepState:
    """A recursion right after one ACT step.

    `carry` maps stream name -> (B, L, D). `logits` is (B, S, V) and `halt` is (B, 2) (halt, continue), or None where
    the model has no such head.
    """

    carry: Carry
    logits: Tensor | None = None
    halt: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """One tensor as an artifact stores it: how, and the arrays it is made of."""

    name: str  # official key, prefix removed
    role: Role
    shape: tuple[int, ...]  # logical shape
    encoding: str  # "dense", "int4", "int8-bnb", ... : the key of the encodings' table in storage/
    axis: int | None  # of one scale a channel; None: one scale a tensor
    symmetric: bool
    parts: Mapping[str, NDArray[Any]]  # "data", and "scale", "zero", ... where the encoding has them


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedWeight:
    """The integers of a weight and what they mean: value = scale * (integers - zero)."""

    integers: NDArray[Any]  # an integer type; the logical shape, an axis with a scale a block split: blocks, values
    scale: NDArray[np.float64]  # broadcasts against `integers`
    zero: NDArray[np.float64]  # as `scale`; zeros for symmetric ones
    bits: int
    low: int  # the smallest and the largest integer of the type
    high: int
    granularity: Granularity


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A model in our own format, in memory: the architecture (a claim, validated) and its tensors."""

    family: str
    architecture: Options
    depth: Depth | None
    tensors: tuple[StoredTensor, ...]  # sorted by name
    recipe: str = ""  # "" for a reference
    reference_digest: str = ""
    calibration_digest: str = ""
    calibration_rows: tuple[str, ...] = ()  # digest of every calibration row, see inputs.row_digests
