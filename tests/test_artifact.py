"""Our own format: exact round trips, deterministic bytes, and no damaged region that slips through as the old model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import deserialize
from safetensors.numpy import save

from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.records import Artifact, Depth, Role, StoredTensor
from fidelity_gate.storage.artifact import MARK, VERSION, decode, encode, is_artifact
from fidelity_gate.storage.integers import IntegerScheme
from fidelity_gate.storage.quantized import dense_of, dense_tensor, integer_tensor
from fidelity_gate.storage.tensorfile import read_tensors

Json = dict  # of a header, taken apart and put together again


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


ARTIFACT = Artifact(
    family="trm",
    architecture=(("hidden_size", 6), ("mixer", "mlp"), ("norm_eps", 1e-5), ("rope", None), ("tied", False)),
    depth=Depth(3, 6, 16),
    tensors=(
        integer_tensor("block.w", Role.BLOCK, weights(5, 7), IntegerScheme(4, 0, symmetric=False)),
        integer_tensor("block.u", Role.BLOCK, weights(5, 7, seed=1), IntegerScheme(8, 0, symmetric=True)),
        dense_tensor("embed", Role.EMBEDDING, weights(11, 6), "bfloat16"),
        dense_tensor("head", Role.HEAD, weights(3, 6), "float16"),
        dense_tensor("init", Role.OTHER, weights(6)),
    ),
    recipe="int4-calibrated,clip=mse",
    reference_digest="ab" * 32,
    calibration_digest="cd" * 32,
    calibration_rows=("0" * 32, "f" * 32),
)
DATA = encode(ARTIFACT)


def same(left: Artifact, right: Artifact) -> bool:
    """Equal in every field, the tensors by the bytes of their parts."""

    def flat(artifact: Artifact) -> list[object]:
        tensors = sorted(artifact.tensors, key=lambda tensor: tensor.name)
        return [(t.name, t.role, t.shape, t.encoding, t.axis, t.symmetric, parts_of(t)) for t in tensors]

    def parts_of(tensor: StoredTensor) -> list[object]:
        return [(part, array.dtype, array.shape, array.tobytes()) for part, array in sorted(tensor.parts.items())]

    fields = ("family", "architecture", "depth", "recipe", "reference_digest", "calibration_digest", "calibration_rows")
    return flat(left) == flat(right) and all(getattr(left, name) == getattr(right, name) for name in fields)


def taken_apart(data: bytes) -> tuple[Json, bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def put_together(header: Json | str, body: bytes) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + body


def edited(change: Callable[[Json], object]) -> bytes:
    """The good file with its outer (safetensors) header changed."""
    header, body = taken_apart(DATA)
    change(header)
    return put_together(header, body)


def edited_mark(change: Callable[[Json], object]) -> bytes:
    """The good file with our own header changed."""
    header, body = taken_apart(DATA)
    mark = json.loads(header["__metadata__"][MARK])
    change(mark)
    header["__metadata__"][MARK] = json.dumps(mark)
    return put_together(header, body)


# ---------------------------------------------------------------- round trips

PRINTABLE = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":#"), min_size=1, max_size=12
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PRINTABLE
)


@st.composite
def tensors(draw: st.DrawFn, name: str) -> StoredTensor:
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    values = weights(*shape, seed=draw(st.integers(0, 1000)))
    role = draw(st.sampled_from(Role))
    if draw(st.booleans()):
        return dense_tensor(name, role, values, draw(st.sampled_from(["float32", "float16", "bfloat16"])))
    scheme = IntegerScheme(draw(st.sampled_from([2, 3, 4, 8])), draw(st.sampled_from([None, 0])), draw(st.booleans()))
    return integer_tensor(name, role, values, scheme)


@st.composite
def artifacts(draw: st.DrawFn) -> Artifact:
    names = draw(
        st.lists(PRINTABLE.filter(lambda name: "/" not in name and name != "__metadata__"), unique=True, max_size=4)
    )
    depth = draw(st.none() | st.builds(Depth, *[st.integers(1, 99)] * 3))
    return Artifact(
        family=draw(PRINTABLE),
        architecture=tuple(sorted(draw(st.dictionaries(PRINTABLE, SCALARS, max_size=4)).items())),
        depth=depth,
        tensors=tuple(draw(tensors(name)) for name in sorted(names)),
        recipe=draw(PRINTABLE),
        calibration_rows=tuple(draw(st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), max_size=3))),
    )


@settings(max_examples=60, deadline=None)
@given(artifact=artifacts())
def test_an_artifact_comes_back_as_it_was(artifact: Artifact) -> None:
    data = encode(artifact)
    assert same(decode(data, "x"), artifact)
    assert encode(decode(data, "x")) == data
    assert is_artifact(data[:64])


def test_the_order_of_tensors_does_not_change_the_bytes() -> None:
    assert encode(replace(ARTIFACT, tensors=ARTIFACT.tensors[::-1])) == DATA


def test_any_safetensors_reader_finds_dense_tensors_under_their_own_names() -> None:
    entries = dict(deserialize(DATA))
    assert np.array_equal(np.frombuffer(entries["init"]["data"], np.float32), weights(6))
    assert entries["embed"]["dtype"] == "BF16"
    packed = {"block.u/data", "block.u/scale", "block.w/data", "block.w/scale", "block.w/zero"}
    assert set(entries) == {"embed", "head", "init"} | packed


def test_the_strict_reader_agrees_with_the_library() -> None:
    arrays = read_tensors(DATA).tensors
    for name, entry in deserialize(DATA):
        assert list(arrays[name].shape) == entry["shape"]
        assert arrays[name].tobytes() == bytes(entry["data"])


def test_packed_tensors_take_the_bytes_their_name_says() -> None:
    big = integer_tensor("w", Role.BLOCK, weights(256, 256), IntegerScheme(4, 0, symmetric=False))
    size = len(encode(Artifact("trm", (), None, (big,))))
    assert 256 * 256 // 2 + 256 * 5 <= size <= 256 * 256 // 2 + 256 * 5 + 1000


def test_arrays_are_usable_for_decoding() -> None:
    by_name = {tensor.name: tensor for tensor in decode(DATA, "x").tensors}
    assert np.abs(dense_of(by_name["block.w"]) - weights(5, 7)).max() < 0.3


# ---------------------------------------------------------------- recognising


@pytest.mark.parametrize(
    "head",
    [b"", b"PK\x03\x04" + b"\0" * 60, DATA[:8], save({"a": weights(2)})[:64], b"\xff" * 64, b'{"fidelity_gate": 1}'],
    ids=["empty", "zip", "too short", "plain safetensors", "noise", "json"],
)
def test_other_files_are_not_taken_for_artifacts(head: bytes) -> None:
    assert not is_artifact(head)


# ---------------------------------------------------------------- what is refused

REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "plausible header"),
    "noise": (b"\xff" * 200, "plausible header"),
    "cut in the header": (DATA[:100], "is cut off"),
    "cut in the data": (DATA[:-1], "is cut off"),
    "trailing bytes": (DATA + b"\0", "behind its last tensor"),
    "not JSON": (put_together("{nonsense", b""), "is not JSON"),
    "not UTF-8": ((8).to_bytes(8, "little") + b'{"\xff": 1}', "is not UTF-8"),
    "deep JSON": (put_together('{"a":' + "[" * 100_000, b""), "nested too deeply"),
    "a long number": (put_together('{"a":' + "9" * 5000 + "}", b""), "not acceptable JSON"),
    "plain safetensors": (save({"a": weights(2)}), "as metadata"),
    "other metadata beside ours": (edited(lambda h: h["__metadata__"].update(format="pt")), "as metadata"),
    "metadata that is no text": (edited(lambda h: h["__metadata__"].update({MARK: 1})), "must be text"),
    "an unknown dtype": (edited(lambda h: h["init"].update(dtype="F8_E4M3")), "is not one of"),
    "a field unknown to safetensors": (edited(lambda h: h["init"].update(stride=[1])), "not a field"),
    "a negative size": (edited(lambda h: h["init"].update(shape=[-6])), "not negative"),
    "a size as a flag": (edited(lambda h: h["init"].update(shape=[True])), "whole numbers"),
    "a shape of another size": (edited(lambda h: h["init"].update(shape=[7])), "bytes apart"),
    "a billion dimensions of one": (edited(lambda h: h["init"].update(shape=[6] + [1] * 99)), "dimensions"),
    "a tensor that is gone": (edited(lambda h: h.pop("init")), "gap|behind its last|starts at"),
    "an array nobody declared": (edited_mark(lambda m: m["tensors"].pop("init")), "belongs to no tensor"),
    "a declared tensor without array": (
        edited_mark(lambda m: m["tensors"].update(ghost=m["tensors"]["init"])),
        "ghost: consists of nothing",
    ),
    "a future version": (edited_mark(lambda m: m.update(version=VERSION + 1)), "upgrade fidelity-gate"),
    "version zero": (edited_mark(lambda m: m.update(version=0)), "whole number from 1"),
    "a version as text": (edited_mark(lambda m: m.update(version="1")), "whole number from 1"),
    "no version": (edited_mark(lambda m: m.pop("version")), "version: is missing"),
    "an unknown field": (edited_mark(lambda m: m.update(verdict="pass")), "verdict: is not a field"),
    "an unknown field of a tensor": (
        edited_mark(lambda m: m["tensors"]["init"].update(bits=4)),
        "bits: is not a field",
    ),
    "an unknown role": (edited_mark(lambda m: m["tensors"]["init"].update(role="king")), "role: must be one of"),
    "an unknown encoding": (edited_mark(lambda m: m["tensors"]["init"].update(encoding="int5")), "must be one of"),
    "another axis": (edited_mark(lambda m: m["tensors"]["block.w"].update(axis=1)), "axis: must be"),
    "symmetry as a number": (edited_mark(lambda m: m["tensors"]["block.w"].update(symmetric=0)), "true or false"),
    "another symmetry": (edited_mark(lambda m: m["tensors"]["block.w"].update(symmetric=True)), "block.w"),
    "another encoding": (edited_mark(lambda m: m["tensors"]["block.w"].update(encoding="int3")), "block.w"),
    "another logical shape": (edited_mark(lambda m: m["tensors"]["block.w"].update(shape=[7, 5])), "block.w"),
    "a huge logical shape": (edited_mark(lambda m: m["tensors"]["block.w"].update(shape=[2**40] * 9)), "block.w"),
    "dense under another shape": (edited_mark(lambda m: m["tensors"]["init"].update(shape=[3, 2])), "init"),
    "a depth of nothing": (edited_mark(lambda m: m["depth"].update(steps=0)), "steps: must be a whole number"),
    "a depth with a fraction": (edited_mark(lambda m: m["depth"].update(steps=2.0)), "steps: must be a whole number"),
    "half a depth": (edited_mark(lambda m: m["depth"].pop("steps")), "steps: is missing"),
    "a depth with more": (edited_mark(lambda m: m["depth"].update(x=1)), "x: is not a field"),
    "a NaN in the architecture": (
        edited_mark(lambda m: m["architecture"].update(eps=float("nan"))),
        "NaN is not a number",
    ),
    "a list in the architecture": (edited_mark(lambda m: m["architecture"].update(eps=[])), "must be text"),
    "an escape in the family": (edited_mark(lambda m: m.update(family="trm\x1b[2J")), "printable line"),
    "a workflow command as tensor": (edited_mark(lambda m: m["tensors"].update({"::error": {}})), "printable line"),
    "calibration rows that are no digests": (edited_mark(lambda m: m.update(calibration_rows=["x"])), "hexadecimal"),
    "calibration rows as text": (edited_mark(lambda m: m.update(calibration_rows="00")), "must be a list"),
    "a header that is a list": (edited(lambda h: h["__metadata__"].update({MARK: "[]"})), "must be an object"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_file_that_is_not_exactly_an_artifact_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ModelRefused, match=message) as refusal:
        decode(data, "m.safetensors")
    assert str(refusal.value).startswith("m.safetensors: ")


def test_a_tensor_declared_twice_is_refused() -> None:
    header, body = taken_apart(DATA)
    entry = json.dumps(header["init"])
    text = json.dumps(header)[:-1] + f', "init": {entry}}}'
    with pytest.raises(ModelRefused, match="'init' stands twice"):
        decode(put_together(text, body), "x")


def test_a_key_of_our_header_given_twice_is_refused() -> None:
    header, body = taken_apart(DATA)
    header["__metadata__"][MARK] = header["__metadata__"][MARK][:-1] + ',"family":"hrm"}'
    with pytest.raises(ModelRefused, match="'family' stands twice"):
        decode(put_together(header, body), "x")


def test_two_tensors_over_the_same_bytes_are_refused() -> None:
    def overlap(header: Json) -> None:
        header["twin"] = dict(header["init"])

    with pytest.raises(ModelRefused, match="overlaps another tensor"):
        decode(edited(overlap), "x")


def test_bytes_between_tensors_are_refused() -> None:
    header, body = taken_apart(DATA)
    last = max(header, key=lambda name: header[name]["data_offsets"][0] if name != "__metadata__" else -1)
    header[last]["data_offsets"] = [offset + 8 for offset in header[last]["data_offsets"]]
    with pytest.raises(ModelRefused, match="gap"):
        decode(put_together(header, body + b"\0" * 8), "x")


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused_or_read_as_what_it_now_says(at: int, bit: int) -> None:
    data = bytearray(DATA)
    data[at] ^= 1 << bit
    try:
        read = decode(bytes(data), "x")
    except GateError:
        return
    # Whatever was accepted is a well-formed artifact, and not silently the old one.
    assert not same(read, ARTIFACT)
    assert same(decode(encode(read), "x"), read)


@settings(max_examples=150, deadline=None)
@given(start=st.integers(0, len(DATA)), length=st.integers(1, 64), junk=st.binary(max_size=64))
def test_a_replaced_region_never_crashes_the_reader(start: int, length: int, junk: bytes) -> None:
    data = DATA[:start] + junk + DATA[start + length :]
    try:
        read = decode(data, "x")
    except GateError:
        return
    assert data == DATA or not same(read, ARTIFACT)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_not_crashed_on(data: bytes) -> None:
    with pytest.raises(GateError):
        decode(data, "x")


# ---------------------------------------------------------------- what is not even written


def test_two_tensors_of_one_name_are_not_written() -> None:
    with pytest.raises(ModelRefused, match="under one name"):
        encode(replace(ARTIFACT, tensors=(*ARTIFACT.tensors, ARTIFACT.tensors[0])))


def test_a_part_and_a_tensor_of_one_key_are_not_written() -> None:
    twin = dense_tensor("block.w/scale", Role.OTHER, weights(5))
    with pytest.raises(ModelRefused, match="under one name"):
        encode(replace(ARTIFACT, tensors=(*ARTIFACT.tensors, twin)))


def test_what_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ModelRefused, match="printable"):
        encode(replace(ARTIFACT, recipe="int8\nsecond line"))
    broken = replace(ARTIFACT.tensors[0], parts={**ARTIFACT.tensors[0].parts, "scale": np.zeros(5, np.float32)})
    with pytest.raises(ModelRefused, match="scale"):
        encode(replace(ARTIFACT, tensors=(broken,)))
