"""LLM.int8 matrices as bitsandbytes computes them on a CPU, checked against independent arithmetic before use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import NotMeasured
from fidelity_gate.heavy import bitsandbytes_module, torch_module

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fidelity_gate.records import StoredTensor, Tensor

CHECK_ROWS = 8
# The library rounds activations in fp16, the check in float32: single codes differ by one (1/127 of a row's maximum).
CHECK_TOLERANCE = 5e-3


@dataclass(frozen=True, slots=True, eq=False)
class Int8Matrix:
    """A callable that stands for `x @ weight.T`: activations are quantized row by row to int8, as LLM.int8 does."""

    layer: Any  # bitsandbytes.nn.Linear8bitLt
    shape: tuple[int, int]  # (out, in)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product for `x` (..., in) as (..., out), in the dtype of `x`."""
        if self.layer.training:  # then the library would silently compute with dequantized weights instead
            raise NotMeasured("an LLM.int8 layer is in training mode", hint="this is a bug of fidelity-gate")
        rows = x.reshape(-1, self.shape[1])  # the library takes 2-D and 3-D inputs only
        return self.layer(rows).reshape(*x.shape[:-1], self.shape[0]).to(x.dtype)


def matrix_of(stored: StoredTensor, where: str) -> Int8Matrix:
    """Return the layer of a tensor that is stored as "int8-bnb".

    Args:
        stored: codes (out, in), row maxima (out,), and the outlier threshold.
        where: the file, for errors.

    Raises:
        NotMeasured: bitsandbytes is missing, or computes something else than LLM.int8 on this machine.
    """
    torch = torch_module()
    codes, maxima = stored.parts["data"], stored.parts["scb"]
    threshold = float(stored.parts["threshold"][0])
    rows, columns = stored.shape
    bnb = bitsandbytes_module(where)
    layer = bnb.nn.Linear8bitLt(columns, rows, bias=False, has_fp16_weights=False, threshold=threshold)
    data, scb = torch.from_numpy(codes.copy()), torch.from_numpy(maxima.copy())
    layer.weight = bnb.nn.Int8Params(data, requires_grad=False, has_fp16_weights=False, CB=data, SCB=scb)
    matrix = Int8Matrix(layer.eval(), (rows, columns))
    _refuse_wrong_arithmetic(matrix, stored, threshold, where)
    return matrix


def _refuse_wrong_arithmetic(matrix: Int8Matrix, stored: StoredTensor, threshold: float, where: str) -> None:
    """Hold one product of the library against our own, so that the gate never grades a library's bug."""
    torch = torch_module()
    x = _check_input(matrix.shape[1], threshold)
    with torch.inference_mode():
        found = matrix(torch.from_numpy(x)).numpy().astype(np.float64)
    expected = reference_product(x, stored, threshold)
    scale = float(np.linalg.norm(expected)) or 1.0
    gap = float(np.linalg.norm(found - expected)) / scale
    if not gap <= CHECK_TOLERANCE:  # NaN too
        what = f"bitsandbytes differs from LLM.int8 arithmetic by {gap:.1%} on this machine"
        raise NotMeasured(what, where=where, field=stored.name, hint="another version, or: --recipe int8")


def _check_input(columns: int, threshold: float) -> NDArray[np.float32]:
    """Return (CHECK_ROWS, in) activations with one outlier column, where outliers are told apart."""
    x = np.random.default_rng(0).uniform(-1, 1, size=(CHECK_ROWS, columns)).astype(np.float32)
    if threshold:
        x *= min(1.0, threshold / 2)
        x[0, columns // 2] = 2 * threshold
    return x.astype(np.float16).astype(np.float32)


def reference_product(x: NDArray[np.float32], stored: StoredTensor, threshold: float) -> NDArray[np.float64]:
    """Return `x @ weight.T` as LLM.int8 defines it, in float64.

    Args:
        x: (rows, in) activations that fp16 holds exactly.
        stored: codes (out, in) and row maxima (out,).
        threshold: columns of `x` with a value this large are multiplied in float; 0: none.
    """
    codes = stored.parts["data"].astype(np.float64)
    maxima = stored.parts["scb"].astype(np.float64)
    outlier = np.abs(x).max(axis=0) >= threshold if threshold else np.zeros(x.shape[1], dtype=np.bool_)
    inliers = np.where(outlier, 0.0, x).astype(np.float64)
    largest = np.abs(inliers).max(axis=1, keepdims=True)
    steps = np.rint(inliers * (127.0 / np.where(largest, largest, 1.0)))
    product: NDArray[np.float64] = (steps @ codes.T) * largest * maxima / 127.0**2
    kept = np.where(outlier, x, 0.0).astype(np.float64)
    product += kept @ (codes * maxima[:, None] / 127.0).T
    return product
