"""bitsandbytes recipes: its bytes, decoded by our own arithmetic, and refused where the library contradicts it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fidelity_gate.compress.applying import BlockEncoder, Compression
from fidelity_gate.errors import ModelRefused
from fidelity_gate.heavy import bitsandbytes_module, torch_module
from fidelity_gate.records import Role, StoredTensor
from fidelity_gate.storage.encodings import NF4_BLOCK, NF4_CODE
from fidelity_gate.storage.quantized import dense_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import Probes

HALF_MAX = float(np.finfo(np.float16).max)
# Two float32 roundings apart: the library multiplies by a reciprocal, or stores a product in another order.
ROUNDING = 1e-5
TRAP = "bitsandbytes on this CPU"


@dataclass(frozen=True, slots=True)
class Int8Bnb(Compression):
    """8 bit rows as LLM.int8 keeps and computes them (bitsandbytes): activations are rounded to int8 rows too.

    Attributes:
        threshold: activations this large are multiplied in float, 0 for none. The library's usual 6.0 picks columns
            over the whole batch, so that a puzzle's result depends on which puzzles share its batch: hence 0 here.
    """

    name: ClassVar[str] = "int8-bnb"

    threshold: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a threshold that no activation size can be held against."""
        if not (math.isfinite(self.threshold) and self.threshold >= 0):
            raise ValueError("threshold must be 0 or a positive number")

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Let the library quantize every row."""

        def encode(name: str, values: NDArray[np.float32]) -> StoredTensor:
            return int8_rows(name, values, self.threshold)

        return encode


@dataclass(frozen=True, slots=True)
class Nf4Bnb(Compression):
    """4 bit NormalFloat in blocks of 64 values with a float32 maximum each (bitsandbytes nf4): 4.5 bits a weight."""

    name: ClassVar[str] = "nf4-bnb"

    def block_encoder(self, model: OpenedModel, calibration: Probes | None) -> BlockEncoder:
        """Let the library quantize every block of 64."""
        return nf4_blocks


def int8_rows(name: str, values: NDArray[np.float32], threshold: float) -> StoredTensor:
    """Return the rows that bitsandbytes' `Linear8bitLt` would hold, checked against the definition of LLM.int8.

    Raises:
        ModelRefused: a weight is beyond float16, through which LLM.int8 goes, or the library's rows are wrong.
    """
    torch, functional = torch_module(), bitsandbytes_module().functional
    if float(np.abs(values).max()) > HALF_MAX:
        raise ModelRefused("holds a weight beyond float16, through which LLM.int8 goes", field=name, hint="use int8")
    half = np.ascontiguousarray(values).astype(np.float16)
    codes, maxima, _ = functional.int8_vectorwise_quant(torch.from_numpy(half))
    scb = maxima.numpy().astype(np.float32)
    data = np.where(scb[:, None] == 0, np.int8(0), codes.numpy())  # the library divides zero rows by their zero maximum
    parts = {"data": data, "scb": scb, "threshold": np.array([threshold], dtype=np.float32)}
    stored = StoredTensor(name, Role.BLOCK, values.shape, "int8-bnb", 0, True, parts)
    wide = half.astype(np.float32)
    step = (scb / 127)[:, None]
    off = np.abs(dense_of(stored) - wide) > step * (0.5 + 127 * ROUNDING)
    if not np.array_equal(scb, np.abs(wide).max(axis=1)) or off.any():
        raise ModelRefused(f"{TRAP} quantizes it to wrong int8 rows", field=name, hint="--recipe int8")
    return stored


def nf4_blocks(name: str, values: NDArray[np.float32]) -> StoredTensor:
    """Return the blocks that `bitsandbytes.functional.quantize_4bit` makes, checked in both directions.

    Raises:
        ModelRefused: the library quantized wrongly, or reads its own bytes back as other weights than they hold, as it
            does on AVX-512 CPUs for rows that are a multiple of 16 but not of 64 long.
    """
    torch, functional = torch_module(), bitsandbytes_module().functional
    weight = torch.from_numpy(np.array(values, dtype=np.float32, order="C"))
    packed, state = functional.quantize_4bit(weight, blocksize=NF4_BLOCK, quant_type="nf4", compress_statistics=False)
    data = packed.numpy().reshape(-1).copy()
    if values.size % 2:
        data[-1] &= 0xF0  # the library fills the last low nibble with the code of 0.0
    parts = {"data": data, "absmax": state.absmax.numpy().copy(), "code": state.code.numpy().copy()}
    stored = StoredTensor(name, Role.BLOCK, values.shape, "nf4-bnb", None, True, parts)
    ours = dense_of(stored)
    _refuse_bad_blocks(name, values, ours, parts["absmax"])
    theirs = functional.dequantize_4bit(packed, state).numpy()
    if theirs.shape != ours.shape or not np.allclose(theirs, ours, rtol=ROUNDING, atol=0):
        what = f"{TRAP} reads its own 4-bit weights back as others (rows of {values.shape[-1]} values)"
        raise ModelRefused(what, field=name, hint="--recipe int4-calibrated, or a CPU without AVX-512")
    return stored


def _refuse_bad_blocks(
    name: str, values: NDArray[np.float32], decoded: NDArray[np.float32], absmax: NDArray[np.float32]
) -> None:
    """Refuse blocks whose maximum is not theirs, or whose values are not on the nearest code."""
    flat = np.abs(values.reshape(-1))
    maxima = np.maximum.reduceat(flat, np.arange(0, flat.size, NF4_BLOCK))
    scale = np.repeat(maxima, NF4_BLOCK)[: flat.size]
    scaled = np.divide(values.reshape(-1), scale, out=np.zeros(flat.size, np.float32), where=scale > 0)
    middle = (NF4_CODE[1:] + NF4_CODE[:-1]) / 2
    nearest = NF4_CODE[np.searchsorted(middle, scaled)] * scale
    off = np.abs(decoded.reshape(-1) - values.reshape(-1)) > np.abs(nearest - values.reshape(-1)) + ROUNDING * scale
    if not np.array_equal(absmax, maxima) or off.any():
        raise ModelRefused(f"{TRAP} quantizes it to wrong nf4 blocks", field=name, hint="--recipe int4-calibrated")
