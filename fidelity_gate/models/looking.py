"""The weights of an opened file for whoever wants to look at some of them (the `Weights` protocol)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.models.state import refuse_not_finite
from fidelity_gate.storage.quantized import dense_of, integers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.records import QuantizedWeight, StoredTensor


@dataclass(frozen=True, slots=True, eq=False)
class StoredWeights:
    """Tensors of our own format."""

    tensors: Mapping[str, StoredTensor]

    def quantized(self, name: str) -> QuantizedWeight | None:
        """Return the integers and scales; None where the tensor holds floats or a code book."""
        return integers_of(self.tensors[name])

    def dense(self, name: str) -> NDArray[np.float32]:
        """Return the dequantized values."""
        return dense_of(self.tensors[name])


@dataclass(frozen=True, slots=True, eq=False)
class PlainWeights:
    """Arrays of floats under official names."""

    arrays: Mapping[str, NDArray[Any]]

    def quantized(self, name: str) -> QuantizedWeight | None:
        """Floats have no integers."""
        return None

    def dense(self, name: str) -> NDArray[np.float32]:
        """Return the values as float32; raises ModelRefused where one does not fit."""
        with np.errstate(over="ignore"):
            values = self.arrays[name].astype(np.float32)
        refuse_not_finite({name: values})
        return values
