"""Artifacts whose block matrices are stored as a test wants them: scales too large, ranges cut, tensors left out."""

from pathlib import Path

import numpy as np

from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import Artifact, Role, StoredTensor
from fidelity_gate.storage.artifact import encode
from fidelity_gate.storage.encodings import NF4_BLOCK, NF4_CODE
from fidelity_gate.storage.integers import IntegerScheme, codes_of, grid_of
from fidelity_gate.storage.packing import pack
from fidelity_gate.storage.quantized import dense_tensor, integer_tensor
from tests.model_files import weights_of

WIDE = Trm(hidden_size=64, vocab_size=5, num_heads=2, layers=1, seq_len=6)
WIDE_MLP = Trm(hidden_size=64, vocab_size=5, mixer="mlp", layers=1, seq_len=40, positions="none")


def save_encoded(folder: Path, name, family, store, *, edit=None, recipe="") -> Path:
    """Write an artifact of random weights; `store` is (name, array) -> StoredTensor for the matrices of the block."""
    arrays = weights_of(family)
    if edit is not None:
        edit(arrays)
    tensors = []
    for key, (shape, role) in sorted(family.tensors().items()):
        block = role is Role.BLOCK and len(shape) > 1
        tensors.append(store(key, arrays[key]) if block else dense_tensor(key, role, arrays[key]))
    path = folder / f"{name}.safetensors"
    path.write_bytes(encode(Artifact(family.name, family.architecture(), None, tuple(tensors), recipe=recipe)))
    return path


def integers(bits, axis=0, *, symmetric=True, shrink=1.0, stretch=1.0):
    """Return how to store a matrix as integers; `shrink` cuts the range, `stretch` makes the scales too large."""

    def store(name, values):
        scheme = IntegerScheme(bits, axis, symmetric)
        factor = np.full(1 if axis is None else len(values), shrink)
        if stretch == 1:
            return integer_tensor(name, Role.BLOCK, values, scheme, factor)
        scale, zero = grid_of(values, scheme, factor)
        scale = (scale * stretch).astype(np.float32)
        codes = codes_of(values, scheme, scale, zero)
        data = (codes ^ np.uint8(0x80)).view(np.int8) if bits == 8 else pack(codes, bits)
        return StoredTensor(name, Role.BLOCK, values.shape, f"int{bits}", axis, True, {"data": data, "scale": scale})

    return store


def some(store, *parts, others=None):
    """Return how to store the matrices whose names hold one of `parts`; the others in float32, or as `others` says."""
    plain = others or (lambda name, values: dense_tensor(name, Role.BLOCK, values))
    return lambda name, values: (store if any(part in name for part in parts) else plain)(name, values)


def nf4(name, values):
    """Store a matrix as bitsandbytes does on a CPU that it gets right."""
    flat = values.reshape(-1)
    absmax = np.array([np.abs(flat[at : at + NF4_BLOCK]).max() for at in range(0, flat.size, NF4_BLOCK)], np.float32)
    scaled = flat / np.repeat(absmax, NF4_BLOCK)[: flat.size]
    codes = np.abs(scaled[:, None] - NF4_CODE).argmin(axis=1).astype(np.uint8)
    parts = {"data": codes[::2] << 4 | codes[1::2], "absmax": absmax, "code": NF4_CODE.copy()}
    return StoredTensor(name, Role.BLOCK, values.shape, "nf4-bnb", None, True, parts)
