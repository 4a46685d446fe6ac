"""Files of saved profiles and of published rows: whole or refused, and nothing lost while they are added to."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saved_profiles import DIGEST, MIB, NOW, PROFILE, RUNS, profile, published

from fidelity_gate.device_records import published as tables
from fidelity_gate.device_records import sealing
from fidelity_gate.device_records.opening import read_profiles
from fidelity_gate.device_records.saved import Origin, SaidDepth, age_text, fault, moment
from fidelity_gate.errors import Refused, ReportNotWritten, UnsafeContent
from fidelity_gate.records import DeviceProfile, UnitShare
from fidelity_gate.shipped import policy_path

TABLE_11 = policy_path("examples/trm-table11.json")
ROW = {"model": "net", "precision": "w8a8", "device": "Phone", "runtime": "onnx", "inference_time_ms": 0.582}
WHOLE = {"source": "a paper, 2026-02-12", "rows": [ROW]}


def written(tmp_path, *records):
    path = tmp_path / "records.json"
    path.write_bytes(sealing.dump(records))
    return path


# ---------------------------------------------------------------- the sealed file


@settings(deadline=None)
@given(
    seconds=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    text=st.text(max_size=20),
    size=st.none() | st.integers(-(2**70), 2**70),
    origin=st.sampled_from(Origin),
)
def test_what_was_saved_is_read_back_exactly(seconds, text, size, origin):
    record = profile(run_seconds=tuple(seconds), source=text, device=text, file_bytes=size, origin=origin)
    data = sealing.dump((record, PROFILE))
    assert sealing.load(data, "here") == (record, PROFILE)
    assert sealing.dump(sealing.load(data, "here")) == data


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_file_in_which_any_byte_was_changed_is_refused_or_says_the_very_same(place, byte):
    whole = sealing.dump((PROFILE, published()))
    place %= len(whole)
    changed = whole[:place] + bytes([byte]) + whole[place + 1 :]
    try:
        found = sealing.load(changed, "here")
    except Refused:
        return
    assert found == (PROFILE, published())


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text.replace('"os":"14"', '"os":"15"', 1), "was changed after it was recorded"),
        (lambda text: text.replace("0.0101", "0.0001", 1), "was changed after it was recorded"),
        (lambda text: text.replace("0.0101", "NaN", 1), "NaN is not a number"),
        (lambda text: text.replace("0.0101", "1e999", 1), "1e999 is too large"),
        (lambda text: text.replace('"os":"14"', '"os":"14","os":"14"', 1), "stands twice"),
        (lambda text: text.replace("records/v1", "records/v2"), "written by a newer fidelity-gate"),
        (lambda text: text.replace("records/v1", "record/v1", 1), "reads fidelity-gate/device-records/v1 only"),
        (lambda text: text.replace('"records"', '"record"'), "records: is missing"),
        (lambda text: text.replace('"sha256"', '"sha-256"'), "sha256: is missing"),
        (lambda text: text[:-40], "is not JSON"),
        (lambda text: "[]", "holds neither records of devices nor rows that somebody published"),
        (lambda text: '{"a": 1}', "holds neither records of devices nor rows that somebody published"),
        (lambda text: "{}", "is an empty profile, as the client writes of a job that failed"),
        (lambda text: "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_in_one_line(tmp_path, edit, said):
    path = tmp_path / "records.json"
    path.write_text(edit(sealing.dump((PROFILE,)).decode()), encoding="utf-8")
    with pytest.raises(Refused, match=re.escape(said)) as caught:
        read_profiles(path)
    assert str(path)[:60] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_with_a_field_too_many_is_refused_though_its_digest_is_right(tmp_path):
    content = json.loads(sealing.dump((PROFILE,)))
    record = content["records"][0]["record"] | {"blessed": True}
    sealed = {"sha256": sealing.sha256_hex(sealing._canonical(record)), "record": record}
    with pytest.raises(Refused, match=r"records\[0\]: blessed: is an unknown key"):
        sealing.load(json.dumps({"schema": sealing.SCHEMA, "records": [sealed]}).encode(), "here")


def test_a_record_that_lacks_what_newer_ones_have_says_to_record_it_again():
    record = json.loads(sealing.dump((PROFILE,)))["records"][0]["record"]
    del record["host_seconds"]
    sealed = {"sha256": sealing.sha256_hex(sealing._canonical(record)), "record": record}
    with pytest.raises(Refused) as caught:
        sealing.load(json.dumps({"schema": sealing.SCHEMA, "records": [sealed]}).encode(), "here")
    assert str(caught.value).startswith("here: records[0]: host_seconds: is missing")
    assert caught.value.hint == "edited, or of an older fidelity-gate: record it again"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ({"execution_summary": {}, "execution_detail": []}, "devices record"),
        ({"schema": "fidelity-gate/measurements/v1"}, "devices record"),
        ({"schema": "fidelity-gate/report/v1"}, "devices record"),
    ],
)
def test_what_records_are_made_of_is_refused_with_the_command_that_makes_them(tmp_path, content, hint):
    path = tmp_path / "given.json"
    path.write_text(json.dumps(content))
    with pytest.raises(Refused) as caught:
        read_profiles(path)
    assert hint in caught.value.hint


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "LIMIT_BYTES", 100)
    with pytest.raises(UnsafeContent, match="is too large"):
        sealing.read(written(tmp_path, PROFILE))
    monkeypatch.setattr(sealing, "MOST_RECORDS", 1)
    with pytest.raises(Refused, match="holds 2 records"):
        sealing.load(sealing.dump((PROFILE, published())), "here")


# ---------------------------------------------------------------- adding


def test_records_are_added_behind_those_that_are_there_and_none_twice(tmp_path):
    path = tmp_path / "records.json"
    later = profile(measured="2026-05-02T10:00:00Z")
    assert sealing.add(path, (PROFILE, PROFILE)) == sealing.Added(1, 1, 1)
    assert sealing.add(path, (later, PROFILE)) == sealing.Added(1, 1, 2)
    assert sealing.read(path) == (PROFILE, later)
    before = path.read_bytes()
    assert sealing.add(path, (later,)).added == 0
    assert path.read_bytes() == before


def test_what_lies_behind_a_link_is_added_to_and_the_link_stays(tmp_path):
    path, link = written(tmp_path, PROFILE), tmp_path / "link.json"
    link.symlink_to(path.name)
    assert sealing.add(link, (published(),)).total == 2
    assert link.is_symlink()
    assert sealing.read(path) == (PROFILE, published())
    assert not (tmp_path / ".link.json.lock").exists()


@pytest.mark.parametrize("content", ["nothing of the kind", '{"schema": "fidelity-gate/device-records/v9"}', ""])
def test_what_is_no_file_of_records_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "release.json"
    path.write_text(content)
    with pytest.raises(Refused):
        sealing.add(path, (PROFILE,))
    assert path.read_text() == content


def test_whatever_goes_wrong_while_writing_the_old_records_stay(tmp_path, monkeypatch):
    path = written(tmp_path, PROFILE)
    before = path.read_bytes()
    monkeypatch.setattr(sealing, "dump", lambda records: (_ for _ in ()).throw(ReportNotWritten("disk full")))
    with pytest.raises(ReportNotWritten):
        sealing.add(path, (published(),))
    assert path.read_bytes() == before
    with pytest.raises(ReportNotWritten, match="its folder does not exist"):
        sealing.add(tmp_path / "nowhere" / "records.json", (PROFILE,))


def test_several_writers_at_once_lose_no_record(tmp_path):
    path = tmp_path / "records.json"
    records = [profile(job_id=f"j{number:04}") for number in range(12)]
    threads = [threading.Thread(target=sealing.add, args=(path, (record,))) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {record.job_id for record in sealing.read(path)} == {record.job_id for record in records}


# ---------------------------------------------------------------- what makes a record no evidence


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measured": "yesterday"}, "does not say when"),
        ({"measured": "2026-05-01T10:00:00"}, "does not say when"),  # in no zone
        ({"measured": ""}, "does not say when"),
        ({"device": ""}, "names no device"),
        ({"model_digest": ""}, "names no model by its digest"),
        ({"model_digest": "sha256:" + DIGEST}, "names no model by its digest"),
        ({"origin": Origin.PUBLISHED}, "claims the digest of a file"),
        ({"run_seconds": (*RUNS, 0.0)}, "a run took 0 s"),
        ({"run_seconds": (*RUNS, -0.001)}, "a run took -0.001 s"),
        ({"run_seconds": (*RUNS, float("nan"))}, "a run took nan s"),
        ({"run_seconds": (), "profile": DeviceProfile()}, "holds no time"),
        ({"profile": DeviceProfile(estimated_seconds=0.0)}, "a run took 0 s"),
        ({"host_seconds": -1.0}, "the host adds -1 s"),
        ({"profile": DeviceProfile(inference_peak_bytes=(0, 0))}, "cannot be"),
        ({"profile": DeviceProfile(inference_peak_bytes=(9, 3))}, "cannot be"),
        ({"profile": DeviceProfile(process_peak_bytes=0)}, "cannot be"),
        ({"peak_bytes": -1}, "cannot be"),
        ({"profile": DeviceProfile(shares=(UnitShare("npu", -1),))}, "below zero"),
    ],
)
def test_a_record_whose_figures_or_binding_cannot_be_says_what_is_wrong(changes, said):
    assert fault(PROFILE) == ""
    assert fault(published()) == ""
    assert said in fault(profile(**changes))


def test_moments_are_told_in_utc_and_a_day_is_its_midnight():
    assert moment("2026-05-10T14:00:00+02:00") == NOW
    assert moment("2026-05-10") == NOW.replace(hour=0)
    assert moment("2026-05-10T12:00:00") is None
    assert moment("10 May") is None
    assert moment("0001-01-01T00:00:00+23:59") is None
    assert moment("9999-12-31T23:59:59-23:59") is None


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (None, "unknown"),
        (0.0, "0 d"),
        (-0.003, "0 d"),
        (282.7, "283 d"),
        (-0.004, "in the future"),
        (-40, "in the future"),
    ],
)
def test_an_age_is_told_in_days_and_what_is_ahead_of_the_clock_has_none(days, said):
    assert age_text(days) == said


# ---------------------------------------------------------------- published rows


def test_a_row_becomes_a_profile_of_one_figure_that_is_no_timed_run():
    row = ROW | {"peak_mb": [0, 387], "unit": "NPU", "layers": {"total": 40, "npu": 38, "cpu": 2}, "tools": {"q": "2"}}
    (found,) = tables.rows({**WHOLE, "rows": [row]}, "here")
    assert found.profile.estimated_seconds == 0.000582
    assert found.run_seconds == ()
    assert found.profile.inference_peak_bytes == (0, 387 * MIB)
    assert found.profile.shares == (UnitShare("npu", 38), UnitShare("cpu", 2))
    assert (found.measured, found.origin, found.model_digest) == ("2026-02-12", Origin.PUBLISHED, "")
    assert found.label == "published, not of this file"


def test_milliseconds_become_the_seconds_that_a_budget_of_as_many_is():
    (found,) = tables.rows({**WHOLE, "rows": [ROW | {"inference_time_ms": 226.057}]}, "here")
    assert found.profile.estimated_seconds == 0.226057 != 226.057 / 1000


def test_layers_that_no_unit_is_named_for_and_memory_that_ends_at_zero_are_not_known():
    (found,) = tables.rows({**WHOLE, "rows": [ROW | {"peak_mb": [0, 0], "layers": {"total": 5, "npu": 4}}]}, "here")
    assert found.profile.inference_peak_bytes is None
    assert found.profile.shares == (UnitShare("npu", 4), UnitShare("unknown", 1))


def test_a_model_published_in_parts_is_several():
    parts = [ROW | {"component": "Encoder"}, ROW | {"component": "Decoder"}, ROW | {"model": "other", "component": "O"}]
    found = tables.rows({**WHOLE, "rows": parts}, "here")
    assert [one.model for one in found] == ["net/Encoder", "net/Decoder", "other"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"inference_time_ms": 0}, "inference_time_ms"),
        ({"inference_time_ms": -3.5}, "inference_time_ms"),
        ({"inference_time_ms": True}, "inference_time_ms"),
        ({"inference_time_ms": "0.5"}, "inference_time_ms"),
        ({"inference_time_ms": None}, "inference_time_ms"),
        ({"model": ""}, "model"),
        ({"device": 24}, "device"),
        ({"unit": "TPU"}, "unit"),
        ({"peak_mb": [387, 0]}, "peak_mb"),
        ({"peak_mb": [1]}, "peak_mb"),
        ({"peak_mb": [0.5, 1]}, "peak_mb"),
        ({"layers": {"total": 3, "npu": 4}}, "layers.total"),
        ({"layers": {"total": 3, "tpu": 3}}, "layers.tpu"),
        ({"runs_per_step": 0}, "runs_per_step"),
        ({"depth": {"h_cycles": 3, "step": 16}}, "depth.step"),
        ({"file_mib": 0}, "file_mib"),
        ({"infrence": 1}, "infrence"),
    ],
)
def test_a_row_with_a_field_that_is_none_is_refused_by_its_number(changes, field):
    with pytest.raises(Refused) as caught:
        tables.rows({**WHOLE, "rows": [ROW, ROW | changes]}, "here")
    assert caught.value.field == f"rows[1].{field}"


@pytest.mark.parametrize("source", ["no day at all", "2026-02-12 or 2026-02-13", "2026-02-31"])
def test_rows_that_nobody_can_date_are_refused(source):
    with pytest.raises(Refused, match="must be the day it was published"):
        tables.rows({"source": source, "rows": [ROW]}, "here")
    (dated,) = tables.rows({"source": source, "published": "2026-01-02", "rows": [ROW]}, "here")
    assert dated.measured == "2026-01-02"


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(sorted(ROW)),
)
def test_no_row_whatever_stands_in_it_comes_out_as_anything_but_a_profile_or_a_refusal(value, field):
    with contextlib.suppress(Refused):
        (found,) = tables.rows({**WHOLE, "rows": [ROW | {field: value}]}, "here")
        assert fault(found) == ""


def test_the_shipped_table_is_table_11_of_the_paper(shared):
    paper = (shared / "reference" / "paper-2606.26488.txt").read_text(encoding="utf-8")
    number = r" ([\d.]+) \|"
    pattern = rf"^\| (\w+) \((FP32|INT8)\) \| (Galaxy S\d+|Dragonwing) \|{number * 6}"
    rows = re.findall(pattern, paper, re.MULTILINE)
    found, _ = read_profiles(TABLE_11)
    assert len(rows) == len(found) == 18
    for row, one in zip(rows, found, strict=True):
        task, precision, device, cycles, steps, step, puzzle, peak, size = row
        assert task in one.model
        assert one.precision == precision.lower()
        assert device in one.device
        assert one.depth == SaidDepth(int(cycles), None, int(steps))
        assert one.profile.estimated_seconds == float(f"{step}e-3")
        assert one.peak_bytes == pytest.approx(float(peak) * MIB, abs=1)
        assert one.file_bytes == pytest.approx(float(size) * MIB, abs=1)
        # What the table calls a puzzle is its steps: so that one run is one ACT step there.
        assert float(puzzle) == pytest.approx(float(step) * int(steps) * (one.runs_per_step or 0), rel=1e-3)
        # What it does not say is not said here either.
        assert (one.runtime, one.os, one.compute_unit, one.profile.shares) == ("", "", "", ())


def test_the_shipped_table_says_where_it_is_from_and_none_of_its_rows_is_unusable():
    found, _ = read_profiles(TABLE_11)
    assert all("arXiv 2606.26488" in one.source and not fault(one) for one in found)
    assert {replace(one, profile=DeviceProfile()).measured for one in found} == {"2026-06-25"}


def test_a_file_of_the_first_version_is_read_for_ever():
    """Records are kept for months: a field that comes later needs a default that old files are read with."""
    path = Path(__file__).parent / "cases" / "device_records" / "v1.json"
    assert sealing.read(path) == (PROFILE, published())
