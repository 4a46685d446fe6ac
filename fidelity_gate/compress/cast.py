"""Casts: every matrix in sixteen bits, no scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.compress.applying import BlockEncoder, Compression, Precision
from fidelity_gate.records import Role, StoredTensor
from fidelity_gate.storage.quantized import dense_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import Probes


@dataclass(frozen=True, slots=True)
class Fp16(Compression):
    """IEEE half precision: 11 bits of precision, nothing beyond 65,504 (such a weight is refused)."""

    name: ClassVar[str] = "fp16"

    heads: Precision = "float16"
    embeddings: Precision = "float16"

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Round to the nearest float16."""
        return _cast_to("float16")


@dataclass(frozen=True, slots=True)
class Bf16(Compression):
    """Bfloat16: 8 bits of precision, the range of float32."""

    name: ClassVar[str] = "bf16"

    heads: Precision = "bfloat16"
    embeddings: Precision = "bfloat16"

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Round to the nearest bfloat16."""
        return _cast_to("bfloat16")


def _cast_to(dtype: str) -> BlockEncoder:
    def encode(name: str, values: NDArray[np.float32]) -> StoredTensor:
        return dense_tensor(name, Role.BLOCK, values, dtype)

    return encode
