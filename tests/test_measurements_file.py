"""measurements.json: exact round trips, and nothing that a lenient reader would let through."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import measured, measurement

from fidelity_gate import measurements_file
from fidelity_gate.errors import Internal, Refused, UnsafeContent
from fidelity_gate.records import (
    CurvePoint,
    Direction,
    Footprint,
    Geometry,
    Measurement,
    MeasureStatus,
    NoiseFloor,
    Role,
    RunSpec,
    TensorFact,
)

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
SCALARS = TEXTS | st.integers() | FLOATS | st.booleans() | st.none()
OPTIONS = st.dictionaries(TEXTS, SCALARS, max_size=3).map(lambda found: tuple(sorted(found.items())))
MEASUREMENTS = st.builds(
    Measurement,
    metric=TEXTS,
    options=OPTIONS,
    candidate=TEXTS,
    unit=TEXTS,
    direction=st.sampled_from(Direction),
    per_probe=st.booleans(),
    floored=st.booleans(),
    status=st.sampled_from(MeasureStatus),
    values=st.lists(FLOATS, max_size=4).map(tuple),
    curve=st.lists(st.builds(CurvePoint, st.integers(), FLOATS, FLOATS, FLOATS), max_size=2).map(tuple),
    floor_values=st.lists(FLOATS, max_size=2).map(tuple),
    detail=TEXTS,
    reason=TEXTS,
)


def rich_facts():
    """Return a set that uses every field of every record."""
    data = measured()
    tensor = TensorFact("a.weight", Role.BLOCK, (4, 8), "int4 per channel", 4.5, 18, 12)
    facts = replace(
        data.reference.facts, tensors=(tensor,), geometry=Geometry(6, 16, 1, 256), calibration_rows=("a", "b")
    )
    record = replace(data.reference, facts=facts, footprint=Footprint(1, 2, 3, 0.5))
    provenance = replace(data.provenance, libraries=(("numpy", "2.4.6"), ("torch", None)), run=RunSpec(seed=7))
    floor = NoiseFloor(1e-6, 0.99, (1.0, 0.1 + 0.2), (CurvePoint(1, 0.5, 0.25, -0.0),), (5e-324, 1.7e308))
    return replace(data, reference=record, provenance=provenance, noise_floor=floor)


def changed(edit) -> bytes:
    """Return a good file after `edit` has changed its content."""
    content = json.loads(measurements_file.dump(rich_facts()))
    edit(content)
    return json.dumps(content).encode()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(MEASUREMENTS, max_size=3).map(tuple))
def test_every_set_comes_back_exactly_as_it_was_and_as_the_same_bytes(measurements) -> None:
    data = replace(rich_facts(), measurements=measurements)
    content = measurements_file.dump(data)

    found = measurements_file.load(content, "m.json")

    assert found == data
    assert repr(found) == repr(data)  # 1 and 1.0 and True are equal, -0.0 and 0.0 are too
    assert measurements_file.dump(found) == content
    assert content.isascii()
    assert content.endswith(b"\n")


def test_keys_are_sorted_and_the_schema_is_named() -> None:
    content = json.loads(measurements_file.dump(measured()), object_pairs_hook=list)
    names = [name for name, _ in content]

    assert names == sorted(names)
    assert ("schema", "fidelity-gate/measurements/v1") in content


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_never_written(bad: float) -> None:
    with pytest.raises(Internal, match=r"measurements\[0\].values\[1\]: must be a finite number"):
        measurements_file.dump(measured(measurement((0.9, bad))))


@pytest.mark.parametrize(
    "data",
    [
        measured(measurement(options=(("b", 1), ("a", 2)))),
        measured(measurement(options=(("a", 1), ("a", 2)))),
        measured(measurement(options=(("a", [1]),))),
        measured(measurement([0.9, 0.9])),
        measured(measurement(unit=1)),
        measured(measurement(direction="higher")),
        measured(measurement(values=("0.9",))),
        measured(reference=None),
    ],
)
def test_a_record_that_is_not_what_its_types_say_is_a_bug_and_is_not_written(data) -> None:
    with pytest.raises(Internal):
        measurements_file.dump(data)


def test_whole_numbers_stand_for_floats() -> None:
    def edit(content) -> None:
        content["measurements"][0]["values"] = [1, 0]

    found = measurements_file.load(changed(edit), "m.json")

    assert found.measurements[0].values == (1.0, 0.0)
    assert [type(value) for value in found.measurements[0].values] == [float, float]


EDITS = {
    "an unknown key": (
        lambda c: c.update(verdict=1),
        "verdict: is an unknown key (edited, or of a newer fidelity-gate: measure again)",
    ),
    "an unknown key, nearly known": (lambda c: c.update(measurement=[]), "did you mean measurements?"),
    "an unknown key inside": (lambda c: c["reference"]["facts"].update(x=1), "reference.facts.x: is an unknown key"),
    "a missing key": (lambda c: c.pop("provenance"), "provenance: is missing"),
    "a missing key inside": (
        lambda c: c["measurements"][0].pop("floored"),
        "measurements[0].floored: is missing (edited, or of an older fidelity-gate: measure again)",
    ),
    "text for a number": (lambda c: c["provenance"].update(probes="2"), "provenance.probes: must be a whole number"),
    "a float for a whole number": (lambda c: c["provenance"].update(probes=2.0), "must be a whole number"),
    "true for a number": (lambda c: c["provenance"].update(probes=True), "must be a whole number"),
    "true among values": (lambda c: c["measurements"][0].update(values=[True]), "values[0]: must be a number"),
    "text among values": (lambda c: c["measurements"][0].update(values=["1"]), "values[0]: must be a number"),
    "null among values": (lambda c: c["measurements"][0].update(values=[None]), "values[0]: must be a number"),
    "a number for true": (lambda c: c["measurements"][0].update(floored=0), "floored: must be true or false"),
    "a number for text": (lambda c: c.update(tool_version=1), "tool_version: must be text"),
    "an object for a list": (lambda c: c.update(measurements={}), "measurements: must be a list"),
    "a list for an object": (lambda c: c.update(reference=[]), "reference: must be an object"),
    "null for an object": (lambda c: c.update(reference=None), "reference: must be an object"),
    "a list of options": (lambda c: c["measurements"][0].update(options=[]), "options: must be an object"),
    "a nested option": (lambda c: c["measurements"][0]["options"].update(a=[]), "options.a: must be text"),
    "another direction": (lambda c: c["measurements"][0].update(direction="up"), "direction: is not a known value"),
    "a direction of no text": (lambda c: c["measurements"][0].update(direction=[]), "direction: is not a known value"),
    "too large a number": (lambda c: c["measurements"][0].update(values=[10**400]), "must be a finite number"),
    "a shape of text": (lambda c: c["reference"]["facts"]["tensors"][0].update(shape="44"), "shape: must be a list"),
    "a future schema": (
        lambda c: c.update(schema="fidelity-gate/measurements/v20"),
        "schema: is 'fidelity-gate/measurements/v20', written by a newer fidelity-gate "
        "(update: this version reads fidelity-gate/measurements/v1 only)",
    ),
    "an impossible schema": (
        lambda c: c.update(schema="fidelity-gate/measurements/v"),
        "is 'fidelity-gate/measurements/v' (this version",
    ),
    "a number for a schema": (lambda c: c.update(schema="2"), "schema: is '2' (this version"),
    "a verdict": (
        lambda c: c.update(schema="fidelity-gate/report/v1"),
        "is 'fidelity-gate/report/v1', a verdict: `report` renders it "
        "(wanted: what `measure -o` or `run --measurements` writes)",
    ),
    "a schema that is a list": (lambda c: c.update(schema=[]), "is something else"),
    "no schema": (lambda c: c.pop("schema"), "is not a file of this tool"),
}


@pytest.mark.parametrize(("edit", "said"), EDITS.values(), ids=EDITS.keys())
def test_a_file_that_was_edited_badly_is_refused_with_the_path_of_the_field(edit, said: str) -> None:
    with pytest.raises(Refused) as caught:
        measurements_file.load(changed(edit), "m.json")

    assert said in str(caught.value)
    assert str(caught.value).startswith("m.json: ")


GOOD = measurements_file.dump(measured())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"1",
        b'"text"',
        GOOD[:-20],
        GOOD + b"{}",
        b"\xff\xfe" + GOOD.decode().encode("utf-16-le"),
        GOOD.replace(b"0.98", b"NaN", 1),
        GOOD.replace(b"0.98", b"Infinity", 1),
        GOOD.replace(b"0.98", b"-Infinity", 1),
        GOOD.replace(b"0.98", b"1e309", 1),
        GOOD.replace(b"0.98", b"0x1", 1),
        GOOD.replace(b"0.98", b"1_0", 1),
        GOOD.replace(b"0.98", b"010", 1),
        GOOD.replace(b"0.98", b"9" * 5000, 1),
        GOOD.replace(b'"per_probe":true', b'"per_probe":false,"per_probe":true', 1),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        GOOD.replace(b'"metric"', b'"metr\xffic"', 1),
    ],
)
def test_what_is_not_strict_json_is_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        measurements_file.load(content, "m.json")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=60) | st.integers(0, len(GOOD) - 2).map(lambda cut: GOOD[:cut]))
def test_no_bytes_at_all_break_the_reader(content: bytes) -> None:
    with pytest.raises(Refused):
        measurements_file.load(content, "m.json")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_changed_byte_is_read_strictly_or_refused(at: int, byte: int) -> None:
    content = bytearray(GOOD)
    content[at] = byte
    with contextlib.suppress(Refused):
        found = measurements_file.load(bytes(content), "m.json")
        assert measurements_file.load(measurements_file.dump(found), "m.json") == found


def test_a_file_is_read_from_disk_within_its_limit(tmp_path, monkeypatch) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(GOOD)
    assert measurements_file.read(str(path)) == measured()

    monkeypatch.setattr(measurements_file, "LIMIT_BYTES", len(GOOD) - 1)
    with pytest.raises(UnsafeContent, match="too large"):
        measurements_file.read(str(path))


def test_a_large_file_is_loaded_without_numpy(tmp_path) -> None:
    values = tuple(1 / (row + 3) for row in range(500))
    many = [measurement(values, candidate=f"c{i}", metric=f"m{j}") for i in range(4) for j in range(15)]
    path = tmp_path / "m.json"
    path.write_bytes(measurements_file.dump(measured(*many, probes=500)))
    program = (
        "import sys\n"
        "from fidelity_gate import measurements_file\n"
        f"measurements_file.read({str(path)!r})\n"
        "assert not {'numpy', 'torch', 'pydantic'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
