"""Probes from files: what numpy and safetensors write is read, and nothing else passes for it."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fidelity_gate.errors import GateError, InputsRefused, UnsafeContent
from fidelity_gate.inputs.npz import Npz
from fidelity_gate.inputs.safetensors import Safetensors
from fidelity_gate.inputs.sudoku import Sudoku
from fidelity_gate.records import Probes
from fidelity_gate.storage import npyfile as npy

ROWS = np.arange(1, 37, dtype=np.int32).reshape(4, 9)
LABELS = ROWS + 1
BOTH = pytest.mark.parametrize("kind", ["npz", "safetensors"])


def written(folder: Path, kind: str, **arrays: np.ndarray) -> str:
    path = folder / f"probes.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        # safetensors writes the bytes behind a view as they lie, whatever its strides
        safetensors.numpy.save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return str(path)


def opened(path: str, **options: object) -> Probes:
    plug = Npz if path.endswith(("npz", "npy")) else Safetensors
    return plug(path, **options).probes("")


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(descr: str, shape: str) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


# ---------------------------------------------------------------- what is read


@BOTH
def test_inputs_labels_and_identifiers_are_found_under_their_usual_names(tmp_path: Path, kind: str) -> None:
    identifiers = np.array([5, 6, 7, 8], np.int32)
    probes = opened(written(tmp_path, kind, inputs=ROWS, labels=LABELS, puzzle_identifiers=identifiers))
    assert np.array_equal(probes.inputs, ROWS)
    assert probes.labels is not None
    assert np.array_equal(probes.labels, LABELS)
    assert np.array_equal(probes.identifiers, identifiers)
    assert probes.grid == (3, 3)
    assert probes.ignore_label == -100
    assert probes.source == f"probes.{kind}"


@BOTH
def test_labels_and_identifiers_may_be_absent(tmp_path: Path, kind: str) -> None:
    probes = opened(written(tmp_path, kind, inputs=ROWS[:, :8]))
    assert probes.labels is None
    assert np.array_equal(probes.identifiers, [0, 0, 0, 0])
    assert probes.grid is None  # eight tokens are no square


@BOTH
def test_other_names_rows_and_facts_can_be_asked_for(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind, tokens=ROWS, solutions=LABELS[:, 6:], kinds=np.arange(4, dtype=np.int32))
    names = {"inputs": "tokens", "labels": "solutions", "identifiers": "kinds"}
    facts = {"ignore_label": 0, "grid": (1, 9), "answer": "6:9", "first": 1, "count": 2}
    probes = opened(path, **names, **facts)
    assert np.array_equal(probes.inputs, ROWS[1:3])
    assert probes.labels is not None
    assert np.array_equal(probes.labels, LABELS[1:3, 6:])
    assert np.array_equal(probes.identifiers, [1, 2])
    assert (probes.ignore_label, probes.grid, probes.answer_slice) == (0, (1, 9), (6, 9))
    assert probes.source == f"probes.{kind}, rows 1 to 2"


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<i8", "<f4", "<f8", "<f2"])
def test_whole_numbers_of_any_type_and_order_are_the_same_probes(tmp_path: Path, dtype: str) -> None:
    plain = opened(written(tmp_path, "npz", inputs=ROWS))
    other = opened(written(tmp_path, "npz", inputs=np.asfortranarray(ROWS.astype(dtype))))
    assert other.digest == plain.digest
    assert other.inputs.dtype == np.int32
    assert other.inputs.flags.writeable  # torch warns of arrays that are not


def test_the_kind_of_file_does_not_change_the_digest_but_every_value_does(tmp_path: Path) -> None:
    digests = {opened(written(tmp_path, kind, inputs=ROWS, labels=LABELS)).digest for kind in ("npz", "safetensors")}
    assert len(digests) == 1
    changed = LABELS.copy()
    changed[3, 8] += 1
    digests.add(opened(written(tmp_path, "npz", inputs=ROWS, labels=changed)).digest)
    digests.add(opened(written(tmp_path, "npz", inputs=changed, labels=LABELS)).digest)
    digests.add(opened(written(tmp_path, "npz", inputs=ROWS, labels=LABELS), ignore_label=0).digest)
    digests.add(opened(written(tmp_path, "npz", inputs=ROWS)).digest)
    digests.add(opened(written(tmp_path, "npz", inputs=ROWS, labels=LABELS, identifiers=np.arange(4))).digest)
    assert len(digests) == 6


def test_npy_files_are_paired_by_path(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    np.save(tmp_path / "y.npy", LABELS)
    np.save(tmp_path / "z.npy", np.arange(4))
    probes = Npz("x.npy", labels="y.npy", identifiers="z.npy").probes(str(tmp_path))
    assert probes.labels is not None
    assert np.array_equal(probes.labels, LABELS)
    assert np.array_equal(probes.identifiers, np.arange(4))


def test_compressed_archives_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "c.npz", inputs=ROWS)
    assert np.array_equal(opened(str(tmp_path / "c.npz")).inputs, ROWS)


def test_probes_survive_being_saved(tmp_path: Path) -> None:
    made = Sudoku(count=5).probes("")
    assert made.labels is not None
    assert opened(written(tmp_path, "npz", inputs=made.inputs, labels=made.labels)).digest == made.digest


# ---------------------------------------------------------------- real data sets


@pytest.mark.parametrize(
    ("name", "count", "grid", "tokens", "copying_the_input"),
    [("sudoku-extreme_test500", 500, (9, 9), 11, 0.310), ("maze-30x30-hard-1k_test", 1000, (30, 30), 6, 0.875)],
)
def test_official_data_sets_are_read(
    shared: Path, name: str, count: int, grid: tuple[int, int], tokens: int, copying_the_input: float
) -> None:
    probes = Npz(f"{name}_inputs.npy", labels=f"{name}_labels.npy").probes(str(shared / "data"))
    assert len(probes) == count
    assert probes.grid == grid
    assert probes.inputs.max() < tokens
    assert probes.labels is not None
    assert (probes.inputs == probes.labels).mean() == pytest.approx(copying_the_input, abs=5e-4)


def test_padding_can_be_ignored_as_the_official_code_does(shared: Path) -> None:
    files = {"labels": "sudoku4x4_test_labels.npy", "ignore_label": 0}
    probes = Npz("sudoku4x4_test_inputs.npy", **files).probes(str(shared / "data"))
    assert probes.labels is not None
    assert ((probes.labels != probes.ignore_label).sum(axis=1) < 36).all()


# ---------------------------------------------------------------- what is refused


REFUSED_ARRAYS = {
    "text": ({"inputs": np.array([["a", "b"]])}, "inputs: holds text, not whole numbers"),
    "bytes": ({"inputs": np.array([[b"a", b"b"]])}, "holds bytes"),
    "bools": ({"inputs": np.array([[True, False]])}, "holds true and false"),
    "complex": ({"inputs": np.array([[1j, 2]])}, "holds complex numbers"),
    "dates": ({"inputs": np.array([["2020-01-01"]], "M8[D]")}, r"holds datetime64\[D\]"),
    "records": ({"inputs": np.zeros((2, 2), "i4,i4")}, "holds records"),
    "NaN": ({"inputs": np.where(ROWS == 15, np.nan, ROWS)}, "inputs: row 1, cell 5 is nan, not finite"),
    "Inf": ({"inputs": np.where(ROWS > 30, np.inf, ROWS)}, r"row 3, cell 3 is inf, not finite \(6 such values\)"),
    "fractions": ({"inputs": ROWS + 0.5}, "row 0, cell 0 is 1.5, not a whole number"),
    "huge numbers": ({"inputs": ROWS.astype(np.int64) + 2**31 - 36}, "row 3, cell 8 is 2147483648, beyond 32 bits"),
    "huge unsigned": ({"inputs": np.full((2, 2), 2**64 - 1, np.uint64)}, "beyond 32 bits"),
    "a float at the limit": ({"inputs": np.full((2, 2), 2**31, np.float32)}, "is 2147483648.0, beyond 32 bits"),
    "huge floats": ({"inputs": np.full((2, 2), 1e300)}, "beyond 32 bits"),
    "0-d": ({"inputs": np.array(3)}, "is a single value, not a table of tokens"),
    "1-d": ({"inputs": np.arange(9)}, r"is an array of shape \[9\]"),
    "3-d": ({"inputs": ROWS.reshape(4, 3, 3)}, r"shape \[4, 3, 3\], not a table"),
    "no probes": ({"inputs": ROWS[:0]}, "inputs: holds no probes"),
    "no tokens": ({"inputs": ROWS[:, :0]}, "holds probes without tokens"),
    "fewer labels": ({"inputs": ROWS, "labels": LABELS[:3]}, "labels: has 3 rows, the inputs have 4"),
    "1-d labels": ({"inputs": ROWS, "labels": np.arange(4)}, r"labels: is an array of shape \[4\]"),
    "NaN labels": ({"inputs": ROWS, "labels": LABELS * np.nan}, "labels: row 0, cell 0 is nan"),
    "fewer identifiers": ({"inputs": ROWS, "identifiers": np.arange(3)}, "identifiers: has 3 rows, the inputs have 4"),
    "2-d identifiers": ({"inputs": ROWS, "identifiers": ROWS}, "identifiers: has shape"),
    "two identifiers": (
        {"inputs": ROWS, "identifiers": np.arange(4), "puzzle_identifiers": np.arange(4)},
        "has both identifiers and puzzle_identifiers",
    ),
    "a wrong name": ({"input": ROWS, "labels": LABELS}, r"no array named 'inputs' \(did you mean input\?\)"),
}


@pytest.mark.parametrize("case", REFUSED_ARRAYS)
def test_an_array_that_is_no_table_of_tokens_is_refused(tmp_path: Path, case: str) -> None:
    arrays, message = REFUSED_ARRAYS[case]
    with pytest.raises(InputsRefused, match=message) as caught:
        opened(written(tmp_path, "npz", **arrays))
    assert "probes.npz" in str(caught.value)
    assert len(str(caught.value)) <= 200


REFUSED_OPTIONS = {
    "no path": ({"path": ""}, "path: no file is named"),
    "negative first": ({"first": -1}, "first: must not be negative"),
    "no rows": ({"count": 0}, "count: must be at least 1"),
    "more rows than there are": ({"count": 5}, "count: has 4 rows, but rows 0 to 4 are asked for"),
    "rows behind the end": ({"first": 4}, "has 4 rows, but rows 4 on are asked for"),
    "labels that are not there": ({"labels": "label"}, r"no array named 'label' \(did you mean labels\?\)"),
    "identifiers that are not there": ({"identifiers": "ids"}, "no array named 'ids'"),
    "an empty grid": ({"grid": (0, 9)}, "grid: has at least one row"),
    "half an answer": ({"answer": "3"}, "'3' is not a span of tokens"),
    "an empty answer": ({"answer": "3:3"}, "answer: '3:3' is not a span of tokens"),
    "an answer from the end": ({"answer": "-3:3"}, "not a span"),
}


@BOTH
@pytest.mark.parametrize("case", REFUSED_OPTIONS)
def test_options_that_the_file_cannot_meet_are_refused(tmp_path: Path, kind: str, case: str) -> None:
    options, message = REFUSED_OPTIONS[case]
    path = written(tmp_path, kind, inputs=ROWS, labels=LABELS)
    with pytest.raises(InputsRefused, match=message):
        opened(**({"path": path} | options)) if "path" not in options else Npz(**options)


def zipped(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def twice(name: str) -> bytes:
    """Return an archive with two members of one name, which zipfile would warn of if it wrote it itself."""
    return zipped((name, npy_bytes(ROWS)), ("xnputs.npy", npy_bytes(LABELS))).replace(b"xnputs", b"inputs")


GOOD = npy_bytes(ROWS)
REFUSED_BYTES = {
    "zero bytes": (b"", "zero bytes"),
    "text": (b"1 2 3", "is neither a .npz nor a .npy file"),
    "a web page": (b"<!DOCTYPE html><html>", "saved web page"),
    "a git-LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer"),
    "a pickle": (b"\x80\x04K\x01.", "neither"),
    "cut off": (GOOD[:-1], "is cut off: 144 bytes declared, 143 there"),
    "cut off in the header": (GOOD[:20], "its header is broken"),
    "bytes behind": (GOOD + b"\0", "has bytes behind its array"),
    "another version": (b"\x93NUMPY\x07\x00" + GOOD[8:], "header is broken"),
    "a header that is code": (header("__import__('os')", "(4, 9)"), "header is broken"),
    "a header that nests": (header("'<i4'", "(" * 5000 + ")" * 4000), "header is broken"),
    "a header of minus signs": (header("'<i4'", "-" * 9000 + "1"), "header is broken"),
    "a header that says exabytes": (header("'<i4'", "(4611686018427387904, 9)"), "is cut off"),
    "a negative shape": (header("'<i4'", "(-4, -9)") + ROWS.tobytes(), "has bytes behind"),
    "a damaged archive": (zipped(("inputs.npy", GOOD)).replace(GOOD[-40:], b"\1" * 40), "damaged or cut off"),
    "an archive cut off": (zipped(("inputs.npy", GOOD))[:-30], "damaged or cut off"),
    "two arrays of a name": (twice("inputs.npy"), "inputs: holds two arrays of this name"),
    "no arrays": (zipped(("readme.txt", b"hello")), "holds 'readme.txt', which is no array"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("case", REFUSED_BYTES)
def test_bytes_that_are_no_probes_are_refused_in_their_own_words(tmp_path: Path, case: str) -> None:
    data, message = REFUSED_BYTES[case]
    path = tmp_path / "probes.npz"
    path.write_bytes(data)
    with pytest.raises(InputsRefused, match=message):
        opened(str(path))


def test_pickled_arrays_are_never_read(tmp_path: Path) -> None:
    path = tmp_path / "probes.npz"
    np.savez(path, inputs=np.array([[{}, {}]], dtype=object))
    with pytest.raises(UnsafeContent, match="inputs: holds Python objects"):
        opened(str(path))


def test_archives_that_unpack_to_gigabytes_are_refused_unread() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs.npy", bytes(2**22))
    with pytest.raises(UnsafeContent, match="unpacks to 4,194,304 bytes"):
        npy.read_npz(stream.getvalue(), where="bomb.npz", limit_bytes=2**21)
    with pytest.raises(UnsafeContent, match="holds 65 arrays"):
        npy.read_npz(zipped(*((f"{n}.npy", GOOD) for n in range(65))), where="many.npz", limit_bytes=2**21)


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(zipped(("inputs.npy", GOOD)))
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", 10)  # the unpacked size
    with pytest.raises(InputsRefused, match="damaged"):
        npy.read_npz(bytes(data), where="lie.npz", limit_bytes=2**21)


def test_archives_packed_otherwise_are_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("inputs.npy", GOOD)
    with pytest.raises(InputsRefused, match="packed in a way numpy never writes"):
        npy.read_npz(stream.getvalue(), where="lzma.npz", limit_bytes=2**21)


def test_folders_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    np.savez(tmp_path / "eval.npz", inputs=ROWS)
    for name, message in (("pipe", "FIFO"), ("folder", "folder"), ("loop", "loop"), ("evla", "did you mean eval.npz")):
        with pytest.raises(InputsRefused, match=message):
            opened(str(tmp_path / f"{name}.npz"))


def test_a_safetensors_file_with_two_tensors_of_a_name_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "safetensors", inputs=ROWS, xnputs=LABELS)
    Path(path).write_bytes(Path(path).read_bytes().replace(b"xnputs", b"inputs"))
    with pytest.raises(InputsRefused, match="inputs"):
        opened(path)


def test_names_mean_nothing_to_a_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    with pytest.raises(InputsRefused, match="has no array named 'tokens'"):
        opened(str(tmp_path / "x.npy"), inputs="tokens")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_as_they_are_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([GOOD, zipped(("inputs.npy", GOOD)), npy_bytes(ROWS.astype(np.float64))]))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "probes.npz"
    path.write_bytes(bytes(damaged))
    try:
        probes = opened(str(path))
    except GateError:
        return
    assert probes.inputs.dtype == np.int32
    assert probes.inputs.ndim == 2
