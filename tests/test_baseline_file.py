"""Baseline files: whole or refused, with one line that says how to mend it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made import measurement, policy, sram
from past_made import BASELINE, DROP, WHEN, baseline_of, device_run, latency, only, ran

from fidelity_gate.errors import Refused
from fidelity_gate.files import sha256_hex
from fidelity_gate.judge import judge
from fidelity_gate.past import baseline_file
from fidelity_gate.past.baseline_file import dump, load, made, read
from fidelity_gate.past.reading import past_of, refuse_unreadable
from fidelity_gate.records import BaselineSpec, MeasureStatus, Outcome, Verdict

RUN = ran(measurement((0.98, 0.99)), latency(), sram())


def saved(folder: Path, **fields: object) -> Path:
    path = folder / "release.json"
    path.write_bytes(dump(baseline_of(RUN, **fields)))
    return path


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    then = baseline_of(RUN)

    assert load(dump(then), "x") == then
    assert read(str(saved(tmp_path))) == then
    assert dump(then) == dump(baseline_of(RUN))


def test_a_baseline_holds_the_numbers_and_all_that_makes_them_the_same_thing() -> None:
    verdict = Verdict("sudoku-release", "d" * 64, (), 2, 1, passed=False, exit_code=1, reason="slow")
    lost = measurement((), metric="halt_agreement", status=MeasureStatus.NOT_MEASURED, reason="no head")
    broken = device_run(device="phone", gap="lost")
    run = replace(RUN, measurements=(*RUN.measurements, lost))
    run = replace(run, candidates=(replace(run.candidates[0], device_runs=(device_run(), broken)),))
    then = made(run, verdict, created=WHEN, revision="v1")

    assert (then.passed, then.reason, then.revision, then.created) == (False, "slow", "v1", WHEN)
    assert (then.policy_name, then.policy_digest) == ("sudoku-release", "d" * 64)
    assert (then.inputs_digest, then.probes, then.run) == ("i" * 64, 2, RUN.provenance.run)
    assert [one.metric for one in then.measurements] == ["carry_fidelity", "latency", "sram_peak"]
    assert all(not (one.curve or one.floor_values or one.floor_curve) for one in then.measurements)
    (model,) = then.candidates
    assert (model.name, model.digest, model.depth) == ("int8", "digest of int8", RUN.reference.depth)
    assert [place.device for place in model.places] == ["board"]
    assert model.places[0].where == device_run().machine


def test_a_baseline_that_is_not_there_is_refused_and_never_made(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    asked = policy(DROP, baseline=BaselineSpec(str(path)))

    for look in (lambda: refuse_unreadable(asked), lambda: past_of(asked, RUN)):
        with pytest.raises(Refused, match="there is no such baseline, and a run never makes one") as caught:
            look()
        assert "fidelity-gate baseline write" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -2])
def test_a_baseline_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:cut] if cut != -1 else data[:-1].rstrip(b"}\n"))

    with pytest.raises(Refused) as caught:
        read(str(path))
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (b"0.98", b"0.18"),
        (b'"passed":true', b'"passed":false'),
        (b'"probes":2', b'"probes":3'),
        (b'"policy_name":"sudoku-release"', b'"policy_name":"maze-release"'),
        (b'"seal":"', b'"seal":"0'),
    ],
)
def test_a_baseline_that_was_edited_is_refused(tmp_path: Path, then: bytes, now: bytes) -> None:
    path = saved(tmp_path)
    assert then in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(then, now))

    with pytest.raises(Refused, match="was edited after it was written, or damaged") as caught:
        read(str(path))
    assert caught.value.hint == "restore it, or write a new one: fidelity-gate baseline write"


@pytest.mark.parametrize(
    ("then", "now", "said", "hint"),
    [
        (b"baseline/v1", b"baseline/v2", "v2', written by a newer fidelity-gate", "update: this version reads"),
        (
            b"baseline/v1",
            b"measurements/v1",
            "is 'fidelity-gate/measurements/v1'",
            "this version reads fidelity-gate/b",
        ),
        (b'"probes":2,', b"", "is missing", "of an older fidelity-gate: write a new one: fidelity-gate baseline write"),
        (b'"probes":2,', b'"probes":2,"xyz":2,', "is an unknown key", "of a newer fidelity-gate: write a new one: "),
    ],
)
def test_a_file_of_another_kind_or_version_is_no_baseline(
    tmp_path: Path, then: bytes, now: bytes, said: str, hint: str
) -> None:
    path = saved(tmp_path)
    assert path.read_bytes().count(then) == 1
    path.write_bytes(path.read_bytes().replace(then, now))

    with pytest.raises(Refused) as caught:
        read(str(path))
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_a_baseline_of_a_version_that_knew_fewer_facts_to_show_is_read_for_ever(tmp_path: Path) -> None:
    now = baseline_of(RUN)
    content = json.loads(dump(now))
    for one in content["measurements"]:
        assert (one.pop("rows"), one.pop("curve_here")) == ([], [])
    then = json.dumps(content | {"seal": ""}, sort_keys=True, separators=(",", ":")) + "\n"
    data = json.dumps(content | {"seal": sha256_hex(then.encode())}).encode()

    found = load(data, "x")
    assert replace(found, seal=now.seal) == now
    with pytest.raises(Refused, match="was edited after it was written"):
        load(data.replace(b'"passed": true', b'"passed": false'), "x")


def test_what_is_read_is_what_is_judged_by(tmp_path: Path) -> None:
    asked = policy(DROP, baseline=BaselineSpec(str(saved(tmp_path))))
    past = past_of(asked, RUN)

    assert past is not None
    assert past.baseline == baseline_of(RUN)
    assert only(judge(asked, RUN, past)).outcome is Outcome.PASS
    assert past_of(policy(), RUN) is None


def test_a_seal_is_of_everything_but_itself() -> None:
    then = baseline_of(RUN)
    for field in ("created", "revision", "reason", "tool_version", "reference_digest"):
        with pytest.raises(Refused, match="edited"):
            load(dump(replace(then, **{field: "another"})), "x")
    assert baseline_file.SCHEMA.encode() in dump(then)
    assert BASELINE.path == "baselines/release.json"
