"""Bytes of a `.wav` file -> samples between -1 and 1: plain PCM of 8 to 32 bits, whole, and nothing else."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.errors import InputsRefused
from fidelity_gate.lazy import Postponed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = Postponed("numpy")

_PLAIN = "ffmpeg -i IN -c:a pcm_s16le OUT.wav makes plain PCM"
_WIDEST = 4  # bytes a sample


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What a `.wav` file holds.

    Attributes:
        rate: samples a second.
        samples: (L, C) float32 of C channels, full scale of the file's integers being 1.
    """

    rate: int
    samples: NDArray[np.float32]


def read_wav(data: bytes, *, where: str) -> Recording:
    """Return the samples of a `.wav` file.

    Raises:
        InputsRefused: not WAV, compressed or floating point, cut off, of a width that PCM has not, or without samples.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate, declared = file.getparams()[:4]
            body = file.readframes(declared)
    except (wave.Error, EOFError, RuntimeError) as error:  # RuntimeError: a chunk that ends before its own header
        raise InputsRefused(f"is not a readable .wav file ({_reason(error)})", where=where, hint=_PLAIN) from error
    if width > _WIDEST:
        raise InputsRefused(f"has samples of {width} bytes", where=where, hint=_PLAIN)
    there = len(body) // (channels * width)
    if there != declared:
        raise InputsRefused(f"is cut off: {declared:,} samples declared, {there:,} there", where=where)
    if not there or not rate:
        raise InputsRefused("holds no samples" if rate else "has a sample rate of 0", where=where)
    return Recording(rate, _values(body, width).reshape(-1, channels))


def _values(body: bytes, width: int) -> NDArray[np.float32]:
    """Return little-endian integers as float32: those of 8 bits are unsigned, all others signed."""
    if width == 1:
        return (np.frombuffer(body, np.uint8).astype(np.float32) - 128) / np.float32(128)
    # Shifted to the top of 32 bits, where every width has the same full scale.
    wide = np.zeros((len(body) // width, 4), np.uint8)
    wide[:, 4 - width :] = np.frombuffer(body, np.uint8).reshape(-1, width)
    return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)


def _reason(error: Exception) -> str:
    return str(error) or "it is cut off"
