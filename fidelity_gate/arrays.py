"""Numbers from tensors, wherever they live: torch and numpy through one set of functions, float64 throughout.

Carries stay where the model left them (CPU or GPU); only one number a token or a probe leaves. Torch is never imported
here: an array is a torch tensor only where somebody else has loaded torch.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fidelity_gate.records import Tensor

    Numbers: TypeAlias = NDArray[np.float64]

# Values turned into float64 at a time: large enough to hide call overhead, small enough to stay in a core's cache and
# to keep the memory of a comparison far below the memory of a carry.
_CPU_BLOCK = 1 << 16
_DEVICE_BLOCK = 1 << 24


def is_torch(array: Tensor) -> bool:
    """Return whether `array` is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def is_array(value: object) -> bool:
    """Return whether `value` is an array that this module understands."""
    return isinstance(value, np.ndarray) or is_torch(value)


def shape_of(array: Tensor) -> tuple[int, ...]:
    """Return the shape as plain integers."""
    return tuple(int(size) for size in array.shape)


def dtype_of(array: Tensor) -> str:
    """Return the name of the element type, the same word for torch and numpy: "float32"."""
    return str(array.dtype).removeprefix("torch.")


def host(array: Tensor) -> NDArray[Any]:
    """Return `array` as numpy, in its own element type (bfloat16, which numpy lacks, as float32)."""
    if not is_torch(array):
        return np.asarray(array)
    dense = array.detach()
    return np.asarray((dense.float() if dtype_of(dense) == "bfloat16" else dense).cpu().numpy())


def alike(array: Tensor, like: Tensor) -> Tensor:
    """Return `array` as a torch tensor or a numpy array, whichever `like` is; it keeps its values and element type.

    Memory is shared where it can be. bfloat16, which numpy lacks, becomes float32 there.
    """
    if is_torch(array) == is_torch(like):
        return array
    if is_torch(array):
        return host(array)
    return sys.modules["torch"].from_numpy(np.require(array, requirements=["C", "W"])).to(like.device)


def kept(array: Tensor) -> Tensor:
    """Return a copy that shares no memory with `array`."""
    return array.detach().clone() if is_torch(array) else np.array(array)


def is_real(array: Tensor) -> bool:
    """Return whether the elements are floating point numbers."""
    return bool(array.is_floating_point()) if is_torch(array) else bool(np.issubdtype(array.dtype, np.floating))


def host64(array: Tensor) -> Numbers:
    """Return `array` as a float64 numpy array."""
    return host(array).astype(np.float64)


def token_products(left: Tensor, right: Tensor) -> Numbers:
    """Return the scalar product of every token of two tensors, accumulated in float64.

    Equal tensors give bitwise the same sums whichever of them stand left and right.

    Args:
        left: (B, L, D).
        right: (B, L, D), of the same kind (torch or numpy); element types may differ.

    Returns:
        (B, L).
    """
    if left is right:
        return _by_rows(lambda rows: _squares(_wide(left[rows])), left)
    return _by_rows(lambda rows: (_wide(left[rows]) * _wide(right[rows])).sum(-1), left)


def token_cosines(products: Numbers, left_squares: Numbers, right_squares: Numbers) -> Numbers:
    """Return cosines from the three sums of `token_products`.

    Identical vectors give exactly 1 (x / x, and the root of 1). A zero vector on either side gives 0, never NaN: what
    that means is for the caller to say.

    Args:
        products: (B, L), left times right.
        left_squares: (B, L), left times itself.
        right_squares: (B, L), right times itself.

    Returns:
        (B, L), between -1 and 1; NaN only where a sum is not finite.
    """
    alive = (left_squares != 0) & (right_squares != 0)
    safe_left = np.where(alive, left_squares, 1.0)
    safe_right = np.where(alive, right_squares, 1.0)
    # Dividing before the root keeps the product of two squares from overflowing or vanishing.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        cosines = (products / safe_right) / np.sqrt(safe_left / safe_right)
    return np.clip(np.where(alive, cosines, 0.0), -1.0, 1.0)


def largest_magnitudes(array: Tensor) -> Numbers:
    """Return the largest absolute value of every probe: (B, ...) -> (B,)."""
    flat = array.reshape(array.shape[0], -1)
    return host64(flat.abs().amax(1)) if is_torch(array) else np.abs(flat).max(axis=1).astype(np.float64)


def finite_probes(array: Tensor) -> NDArray[np.bool_]:
    """Return which probes hold finite numbers only: (B, ...) -> (B,)."""
    flat = array.reshape(array.shape[0], -1)
    if is_torch(array):
        return host(flat.isfinite().all(1)).astype(np.bool_)
    return np.asarray(np.isfinite(flat).all(axis=1))


def choices(logits: Tensor) -> NDArray[np.int64]:
    """Return the index of the highest value along the last axis, the first of equals: (B, ..., V) -> (B, ...)."""
    return np.asarray(host(logits.argmax(-1)), dtype=np.int64)


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Return whether two tensors have the same shape, element type and values (a NaN equals nothing)."""
    if is_torch(left) != is_torch(right) or shape_of(left) != shape_of(right) or dtype_of(left) != dtype_of(right):
        return False
    return bool(left.equal(right)) if is_torch(left) else bool(np.array_equal(left, right))


def gap_to_row(array: Tensor, row: Tensor) -> Numbers:
    """Return how far every probe lies from `row`, as a share of the row's largest absolute value.

    Args:
        array: (B, ...).
        row: (1, ...), of the same kind.

    Returns:
        (B,); zero where a probe equals the row.
    """
    scale = float(largest_magnitudes(row)[0])
    return largest_magnitudes(array - row) / (scale if scale > 0 else 1.0)


@contextmanager
def quiet(threads: int) -> Iterator[None]:
    """Run models without gradients and on `threads` threads; both are as before when the block ends.

    Does nothing where torch is not loaded.
    """
    torch = sys.modules.get("torch")
    with ExitStack() as stack:
        if torch is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(threads)
            stack.enter_context(torch.inference_mode())
        yield


def _wide(array: Tensor) -> Tensor:
    """Return the tensor in float64 and in memory order, so that equal values are summed in the same order."""
    if is_torch(array):
        torch = sys.modules["torch"]
        return array.to(torch.float64, memory_format=torch.contiguous_format)
    return np.ascontiguousarray(array, dtype=np.float64)


def _squares(wide: Tensor) -> Tensor:
    return (wide * wide).sum(-1)


def _by_rows(compute: Callable[[slice], Tensor], like: Tensor) -> Numbers:
    """Apply `compute` (rows -> (rows, L)) to blocks of probes and join the results on the host."""
    count = int(like.shape[0])
    a_probe = max(1, int(np.prod(shape_of(like)[1:])))
    on_device = is_torch(like) and like.device.type != "cpu"
    block = max(1, (_DEVICE_BLOCK if on_device else _CPU_BLOCK) // a_probe)
    parts = [host64(compute(slice(start, start + block))) for start in range(0, count, block)]
    return np.concatenate(parts) if parts else np.zeros(shape_of(like)[:-1])
