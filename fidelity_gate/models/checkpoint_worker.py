"""Unpickles a PyTorch checkpoint in a child process: the only caller of torch.load.

`weights_only=True` keeps code out, yet still returns sparse tensors that crash when touched, tensors without data,
tensors of a terabyte with four bytes behind them, and lists that hold themselves. So every tensor's description is
checked before any of its values is read, and what leaves the process is a safetensors file.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import GateError, ModelRefused, UnsafeContent
from fidelity_gate.heavy import torch_module
from fidelity_gate.models.layouts import find_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fidelity_gate.sandbox import Job, Json

TENSORS_FILE = "tensors.safetensors"
CHECKPOINT_FILE = "checkpoint"
MOST_TENSORS = 20_000
MOST_DIMENSIONS = 8
LONGEST_NAME = 300
# Tied weights are saved once and named often, so names may stand for more bytes than the file has; not for many more.
MOST_GROWTH = 4
SLACK_BYTES = 1 << 20
REAL_DTYPES = ("float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
_INVENTED = "a tensor claims more values than are stored for it"
_SAVE_AGAIN = "save the weights alone: torch.save(model.state_dict(), PATH)"
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read(job: Job) -> dict[str, Json]:
    """Read the checkpoint, refuse whatever is not plain weights, and write them as safetensors.

    Args:
        job: `inputs/checkpoint` is the file; `request["weights"]` a dotted path to the weights, or "".

    Returns:
        `{"notes": [...], "ties": {...}}`; the tensors are in `outputs/tensors.safetensors`, names as saved, each with
        bytes of its own: `ties` says which of them shared those of another.
    """
    path = job.inputs / CHECKPOINT_FILE
    loaded = load(path)
    from safetensors.torch import save_file

    found = find_weights(loaded, str(job.request["weights"]))
    check(found.tensors, path)
    plain = {name: tensor.detach().contiguous().clone() for name, tensor in found.tensors.items()}
    save_file(plain, job.outputs / TENSORS_FILE)
    return {"notes": list(found.notes), "ties": ties(found.tensors)}


def load(path: Path) -> object:
    """Return what `torch.load` makes of a file, with every failure told as one sentence.

    Raises:
        UnsafeContent: the file holds Python objects that are not plain data.
        ModelRefused: it is damaged, or no checkpoint.
    """
    torch = torch_module()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise
        raise _told(path, error) from error  # an unpickler on hostile bytes raises anything


def check(tensors: Mapping[str, Any], path: Path) -> None:
    """Refuse a mapping that is not of names to dense, strided, real tensors in CPU memory; touches no values.

    Raises:
        ModelRefused: something is not a tensor, or of a kind that is no weight.
        UnsafeContent: tensors that claim more than the file holds.
    """
    size = path.stat().st_size
    if len(tensors) > MOST_TENSORS:
        raise UnsafeContent(f"holds {len(tensors):,} tensors", hint=f"at most {MOST_TENSORS:,}")
    claimed = 0
    storages: dict[int, int] = {}
    for name, tensor in tensors.items():
        fault = _fault(name, tensor)
        if fault:
            raise ModelRefused(fault, field=name, hint="weights are dense, real tensors")
        logical, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
        if logical > stored or _repeats(tensor):
            raise UnsafeContent(
                f"claims {logical:,} bytes by repeating the {stored:,} that are stored", field=name, hint=_SAVE_AGAIN
            )
        claimed += logical
        storages[tensor.untyped_storage().data_ptr()] = stored
    if claimed > MOST_GROWTH * size + SLACK_BYTES:
        raise UnsafeContent(f"its tensors claim {claimed:,} bytes, the file has {size:,}", hint=_SAVE_AGAIN)
    _refuse_invented(tuple(stored for stored in storages.values() if stored), path)


def ties(tensors: Mapping[str, Any]) -> dict[str, Json]:
    """Return name -> the first name under which exactly the same bytes are saved, be they transposed."""
    first: dict[tuple[int, int, int], str] = {}
    found: dict[str, Json] = {}
    for name in sorted(tensors):
        tensor = tensors[name]
        span = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        if tensor.numel():
            extent = tensor.data_ptr(), tensor.numel() * tensor.element_size(), span * tensor.element_size()
            if first.setdefault(extent, name) != name:
                found[name] = first[extent]
    return found


def _fault(name: str, tensor: Any) -> str:  # noqa: ANN401  (torch is imported lazily)
    """Return why this is not a weight, or ""; asks only for descriptions."""
    torch = torch_module()
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"is a {type(tensor).__name__}, not a tensor"
    if len(name) > LONGEST_NAME or not name.isprintable():
        return "its name is too long or cannot be printed"
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "is a sparse or nested tensor"
    if tensor.device.type != "cpu":
        return f"has no values in the file (device '{tensor.device.type}')"
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in REAL_DTYPES:
        return f"is of type {dtype}"
    return f"has {tensor.dim()} dimensions" if tensor.dim() > MOST_DIMENSIONS else ""


def _repeats(tensor: Any) -> bool:  # noqa: ANN401  (torch is imported lazily)
    return any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def _refuse_invented(storages: tuple[int, ...], path: Path) -> None:
    """Refuse storages that the file does not hold: old torch enlarges a small one by whatever is in memory."""
    kept: Counter[int] = Counter()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            kept = Counter(entry.file_size for entry in archive.infolist() if "/data/" in f"/{entry.filename}")
        invented = bool(Counter(storages) - kept)
    else:
        invented = sum(storages) > path.stat().st_size
    if invented:
        raise UnsafeContent(_INVENTED, hint=_SAVE_AGAIN)


def _holds_arrays(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)


def _told(path: Path, error: Exception) -> GateError:
    message = str(error)
    if "TorchScript" in message:
        return UnsafeContent("is a TorchScript archive, which holds code", hint=_SAVE_AGAIN)
    if "unsupported" in message.lower():  # class, global, operand: what weights_only keeps out
        named = _GLOBAL.search(message)
        return UnsafeContent(f"holds more than plain tensors: {named.group(1) if named else 'code'}", hint=_SAVE_AGAIN)
    if "resize storage" in message:
        return UnsafeContent(_INVENTED, hint=_SAVE_AGAIN)
    if _holds_arrays(path):
        what = "holds NumPy arrays (.npz): probes, which a model is given, and no model"
        return ModelRefused(what, hint="name a model here; probes go into a policy: inputs: {use: npz, path: FILE}")
    if path.read_bytes()[:2] == b"PK":
        return ModelRefused("is a truncated or damaged zip archive, or not PyTorch's", hint="copy or download it again")
    return ModelRefused("is damaged, or is no PyTorch checkpoint", hint="copy or download it again")
