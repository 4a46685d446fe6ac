"""Files that strangers made: nothing of them runs, nothing of them grows, and each is refused in its own words."""

import ast
import io
import json
import os
import pickle  # noqa: TID251  (to make what must be refused)
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from model_files import MLP, InProcess, saved, spec, tensors_of
from safetensors.torch import save

from fidelity_gate.errors import GateError, ModelRefused, UnsafeContent
from fidelity_gate.models import checkpoint_worker, state
from fidelity_gate.models.opening import open_model


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    runner = InProcess(tmp_path / "job")
    monkeypatch.setattr(state, "run_limited", runner)
    return runner


def refusal(path: Path) -> GateError:
    with pytest.raises(GateError) as caught:
        open_model(spec(path))
    assert caught.value.exit_code in (2, 3)
    assert len(str(caught.value)) <= 200
    return caught.value


class Code:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


def self_containing() -> list:
    content: list = []
    content.append(content)
    return content


def named(tensor) -> dict:
    return {**tensors_of(MLP), "H_init": tensor}


HOSTILE = {
    "sparse": (lambda: named(torch.eye(8).to_sparse()), ModelRefused, "H_init: is a sparse or nested tensor"),
    "sparse csr": (lambda: named(torch.eye(8).to_sparse_csr()), ModelRefused, "H_init: is a sparse or nested tensor"),
    "meta": (lambda: named(torch.empty(8, device="meta")), ModelRefused, "H_init: has no values in the file"),
    "terabyte": (
        lambda: named(torch.zeros(1).expand(1 << 40)),
        UnsafeContent,
        "H_init: claims 4,398,046,511,104 bytes",
    ),
    "repeated": (lambda: named(torch.zeros(8, 1).expand(8, 8)), UnsafeContent, "by repeating the 32 that are stored"),
    "complex": (lambda: named(torch.ones(8, dtype=torch.complex64)), ModelRefused, "H_init: is of type complex64"),
    "float8": (lambda: named(torch.ones(8).to(torch.float8_e4m3fn)), ModelRefused, "H_init: is of type float8_e4m3fn"),
    "list in itself": (lambda: {"model": self_containing()}, ModelRefused, "model: is a list, not a tensor"),
    "list for a tensor": (lambda: named(self_containing()), ModelRefused, "H_init: is a list, not a tensor"),
    "none for a tensor": (lambda: named(None), ModelRefused, "H_init: is a NoneType, not a tensor"),
    "size for a tensor": (lambda: named(torch.Size([1])), ModelRefused, "H_init: is a Size, not a tensor"),
    "dtype for a tensor": (lambda: named(torch.float32), ModelRefused, "H_init: is a dtype, not a tensor"),
    "deep": (lambda: {"model": {"model": {"model": tensors_of(MLP)}}}, ModelRefused, "model: is a dict, not a tensor"),
    "unprintable": (lambda: {**tensors_of(MLP), "a\x1b[31m\n": torch.zeros(1)}, ModelRefused, "cannot be printed"),
    "long name": (lambda: {**tensors_of(MLP), "a" * 400: torch.zeros(1)}, ModelRefused, "aaaaaaaaaaaa"),
    "many axes": (lambda: named(torch.zeros((1,) * 9)), ModelRefused, "H_init: has 9 dimensions"),
    "many names of one": (
        lambda: dict.fromkeys((f"{number}" for number in range(300)), torch.zeros(10_000)),
        UnsafeContent,
        "its tensors claim 12,000,000 bytes",
    ),
}


@pytest.mark.filterwarnings("ignore")  # torch warns of what this makes, not of what reads it
@pytest.mark.parametrize("name", HOSTILE)
def test_what_weights_only_lets_through_is_refused_in_its_own_words(tmp_path: Path, in_process, name: str) -> None:
    make, kind, sentence = HOSTILE[name]
    error = refusal(saved(make(), tmp_path / "step_1"))
    assert sentence in str(error)
    assert type(error) is kind


@pytest.mark.filterwarnings("ignore")
def test_quantized_and_nested_tensors_are_refused(tmp_path: Path, in_process: InProcess) -> None:
    quantized = torch.quantize_per_tensor(torch.ones(8), 0.1, 0, torch.qint8)
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    for tensor, sentence in ((quantized, "is of type qint8"), (nested, "sparse or nested")):
        assert sentence in str(refusal(saved(named(tensor), tmp_path / "step_1")))


def test_a_tensor_larger_than_its_storage_is_refused_not_filled_with_what_is_in_memory(tmp_path, in_process) -> None:
    path = saved({"a": torch.arange(4.0)}, tmp_path / "step_1")
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    key = next(name for name in entries if name.endswith("data.pkl"))
    # The pickled size and stride (4,), (1,) as torch writes them: BININT1 4, TUPLE1 ... BININT1 1, TUPLE1.
    assert entries[key].count(b"K\x00K\x04\x85") == 1
    entries[key] = entries[key].replace(b"K\x00K\x04\x85", b"K\x00K\x64\x85")
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    error = refusal(path)
    assert type(error) is UnsafeContent
    assert "claims more values than are stored" in str(error)


def test_the_oldest_format_of_torch_is_read_too(tmp_path: Path, in_process: InProcess) -> None:
    path = tmp_path / "old"
    torch.save(tensors_of(MLP), path, _use_new_zipfile_serialization=False)
    assert open_model(spec(path)).facts.family == "trm"


def test_an_ordered_dictionary_is_as_good_as_any(tmp_path: Path, in_process: InProcess) -> None:
    assert open_model(spec(saved(OrderedDict(tensors_of(MLP)), tmp_path / "a"))).facts.family == "trm"


def test_tied_weights_are_read(tmp_path: Path, in_process: InProcess) -> None:
    tensors = tensors_of(MLP)
    tensors["lm_head.weight"] = tensors["embed_tokens.embedding_weight"]
    dense = open_model(spec(saved(tensors, tmp_path / "a"))).dense()
    assert np.array_equal(dense["lm_head.weight"], dense["embed_tokens.embedding_weight"])


DAMAGED = {
    "truncated zip": lambda data: data[: len(data) // 2],
    "no directory": lambda data: data[:-30],
    "zip of something else": lambda data: b"PK\x03\x04 not a zip at all",
    "garbage pickle": lambda data: b"\x80\x02garbage",
    "pickle of a plain number": lambda data: pickle.dumps(3, protocol=2),
    "flipped bytes": lambda data: data.replace(b"FloatStorage", b"FlootStorage"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(tmp_path: Path, in_process: InProcess, name: str) -> None:
    path = saved(tensors_of(MLP), tmp_path / "step_1")
    path.write_bytes(DAMAGED[name](path.read_bytes()))
    assert type(refusal(path)) in (ModelRefused, UnsafeContent)


def test_probes_in_a_models_place_are_told_from_a_damaged_model(tmp_path: Path, in_process: InProcess) -> None:
    np.savez(tmp_path / "eval.npz", inputs=np.zeros((2, 3), np.int32))
    error = refusal(tmp_path / "eval.npz")
    assert "holds NumPy arrays (.npz): probes" in str(error)
    assert "inputs: {use: npz" in error.hint


def test_every_truncation_is_refused(tmp_path: Path, in_process: InProcess) -> None:
    whole = saved(tensors_of(MLP), tmp_path / "whole").read_bytes()
    for size in range(1, len(whole), 997):
        (tmp_path / "part").write_bytes(whole[:size])
        refusal(tmp_path / "part")


def test_code_is_not_run_and_is_named(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    path = saved({"model": tensors_of(MLP), "args": Code(mark)}, tmp_path / "step_1")
    error = refusal(path)  # in a real child
    assert type(error) is UnsafeContent
    assert "holds more than plain tensors: posix.mkdir" in str(error)
    assert "torch.save(model.state_dict(), PATH)" in error.hint
    assert not mark.exists()


def test_too_many_tensors_are_refused(tmp_path: Path, in_process: InProcess, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint_worker, "MOST_TENSORS", 5)
    assert "holds 10 tensors (at most 5)" in str(refusal(saved(tensors_of(MLP), tmp_path / "step_1")))


def test_storages_that_no_file_holds_are_refused(tmp_path: Path) -> None:
    zipped, old = saved({"a": torch.arange(4.0)}, tmp_path / "zipped"), tmp_path / "old"
    torch.save({"a": torch.arange(4.0)}, old, _use_new_zipfile_serialization=False)
    for path in (zipped, old):
        checkpoint_worker._refuse_invented((16,), path)
        with pytest.raises(UnsafeContent, match="claims more values"):
            checkpoint_worker._refuse_invented((16, 1 << 20), path)


def test_the_worker_lets_memory_errors_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):

        def exhausted(*_: object, fault: Exception = fault, **__: object) -> None:
            raise fault

        monkeypatch.setattr(torch, "load", exhausted)
        with pytest.raises(type(fault)):
            checkpoint_worker.load(tmp_path / "x")


def test_one_place_only_calls_torch_load() -> None:
    package = Path(checkpoint_worker.__file__).parents[1]
    loads = [
        (path.name, ast.unparse(node.value))
        for path in sorted(package.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "load"
    ]
    assert [load for load in loads if load[1].startswith("torch")] == [("checkpoint_worker.py", "torch")]


# ---------------------------------------------------------------- safetensors


def rewritten(data: bytes, change) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = change(data[8 : 8 + size].decode())
    return len(header).to_bytes(8, "little") + header.encode() + data[8 + size :]


def twice(header: str) -> str:
    parsed = json.loads(header)
    first = f'"H_init":{json.dumps(parsed["L_init"])}'
    return "{" + first + "," + header[1:]


SAFETENSORS = {
    "one name twice": (lambda data: rewritten(data, twice), "twice"),
    "cut off": (lambda data: data[:-1], "cut off"),
    "something behind": (lambda data: data + b"x", "behind its last tensor"),
    "header beyond the file": (lambda data: data[:40], "is cut off"),
    "not finite": (lambda data: data[:-4] + b"\xff\xff\xff\xff", "NaN or infinite"),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_are_read_strictly(tmp_path: Path, name: str) -> None:
    change, sentence = SAFETENSORS[name]
    path = tmp_path / "m.safetensors"
    path.write_bytes(change(save(tensors_of(MLP))))
    error = refusal(path)
    assert type(error) is ModelRefused
    assert sentence in str(error)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer"),
        (b"<!DOCTYPE html><html>", "saved web page"),
        (b"", "zero bytes"),
    ],
)
def test_what_only_looks_like_a_model_is_told_apart(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "step_1").write_bytes(data)
    assert sentence in str(refusal(tmp_path / "step_1"))


def test_pipes_and_folders_are_no_models(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "named pipe" in str(refusal(tmp_path / "pipe"))
    assert "is a folder" in str(refusal(tmp_path))
