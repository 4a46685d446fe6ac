"""Integer recipes: one evenly spaced grid a tensor or an output channel, weights alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.compress.applying import BlockEncoder, Compression
from fidelity_gate.compress.clipping import best_shrink
from fidelity_gate.errors import UsageError
from fidelity_gate.records import Role, StoredTensor
from fidelity_gate.storage.integers import IntegerScheme
from fidelity_gate.storage.quantized import integer_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import Probes

Granularity = Literal["tensor", "channel"]


@dataclass(frozen=True, slots=True)
class Int8(Compression):
    """8 bit, one symmetric scale an output channel: harmless on every model measured so far."""

    name: ClassVar[str] = "int8"

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Quantize to the channel's range."""
        return _on_grid(IntegerScheme(8, 0, symmetric=True))


@dataclass(frozen=True, slots=True)
class Int4Naive(Compression):
    """4 bit, one symmetric scale for the whole matrix, no calibration: what breaks many recursive models."""

    name: ClassVar[str] = "int4-naive"

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Quantize to the tensor's range."""
        return _on_grid(IntegerScheme(4, None, symmetric=True))


@dataclass(frozen=True, slots=True)
class Int4Calibrated(Compression):
    """4 bit, one scale and zero point an output channel, range from minimum to maximum.

    The calibration puzzles are recorded in the file by the digest of every row, so that a gate can refuse to evaluate
    on them; `clip=minmax` does not look at them, and they may be left out.

    Attributes:
        clip: minmax spans a channel's whole range. mse shrinks it to where the squared error of the channel's output
            on the calibration puzzles, over the reference's whole recursion, is smallest.
    """

    name: ClassVar[str] = "int4-calibrated"
    takes_calibration: ClassVar[bool] = True

    clip: Literal["minmax", "mse"] = "minmax"

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Quantize to the channel's range, or to the part of it that serves the outputs best."""
        scheme = IntegerScheme(4, 0, symmetric=False)
        if self.clip == "minmax":
            return _on_grid(scheme)
        if calibration is None:
            what = "clip=mse needs calibration puzzles"
            raise UsageError(what, field="--calibration", hint="give some of the training set, or use clip=minmax")
        from fidelity_gate.compress.moments import input_moments

        moments = input_moments(model, calibration)

        def encode(name: str, values: NDArray[np.float32]) -> StoredTensor:
            shrink = best_shrink(values, scheme, moments[name])
            return integer_tensor(name, Role.BLOCK, values, scheme, shrink)

        return encode


@dataclass(frozen=True, slots=True)
class Int3(Compression):
    """3 bit (eight values in three bytes), for ladders: a rung that should break.

    Attributes:
        granularity: one scale for the whole matrix, or one an output channel.
        symmetric: no zero points: codes -3..3 around 0.
    """

    name: ClassVar[str] = "int3"

    granularity: Granularity = "tensor"
    symmetric: bool = True

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Quantize to the range of tensor or channel."""
        return _on_grid(IntegerScheme(3, _axis(self.granularity), self.symmetric))


@dataclass(frozen=True, slots=True)
class Int2(Compression):
    """2 bit (four values a byte), for ladders: the lowest rung.

    Attributes:
        granularity: one scale for the whole matrix, or one an output channel.
        symmetric: no zero points: codes -1, 0, 1.
    """

    name: ClassVar[str] = "int2"

    granularity: Granularity = "tensor"
    symmetric: bool = True

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Quantize to the range of tensor or channel."""
        return _on_grid(IntegerScheme(2, _axis(self.granularity), self.symmetric))


def _axis(granularity: Granularity) -> int | None:
    return 0 if granularity == "channel" else None


def _on_grid(scheme: IntegerScheme) -> BlockEncoder:
    def encode(name: str, values: NDArray[np.float32]) -> StoredTensor:
        return integer_tensor(name, Role.BLOCK, values, scheme)

    return encode
