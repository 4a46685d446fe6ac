"""Lint as a metric, and what files alone say before anything runs: nothing is loaded for what already fails."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from fakes import DEPTH, PROBES, SHELF, FakeOpened, FakeRecursion, Recorded, some_facts, some_probes
from made import measured, measurement, policy

import fidelity_gate.analysis.rules
import fidelity_gate.inputs
import fidelity_gate.models
from fidelity_gate import gate, measurements_file, record_json
from fidelity_gate.errors import ExitCode, ModelRefused, NotMeasured, PolicyError, Refused
from fidelity_gate.judge import judge
from fidelity_gate.metrics.lint import Lint
from fidelity_gate.records import (
    Aggregate,
    Bound,
    Check,
    Depth,
    Direction,
    Finding,
    Found,
    InputsSpec,
    Linted,
    LintSettings,
    Location,
    LocationKind,
    MeasureStatus,
    ModelSpec,
    Need,
    Outcome,
    Place,
    Policy,
    Report,
    RunSpec,
    Severity,
    Target,
)
from fidelity_gate.reports.json import SCHEMA, Json
from fidelity_gate.reports.junit import JUnit
from fidelity_gate.reports.terminal import Terminal
from fidelity_gate.wording import MOST_FINDINGS, finding_lines, finding_text, findings_behind

ROOT = Path(__file__).resolve().parents[1]
NPU = Target("npu", static_only=True, tile=64)
SOC = Target("soc", sram_bytes=10**9)
LINT = Check("lint", "lint", Bound(maximum=0.0), (("severity", "error"),))
SIZE = Check("size", "model_size", Bound(maximum=1.0))
FIDELITY = Check("carry-fidelity", "carry_fidelity", Bound(minimum=0.5), aggregate=Aggregate.MEAN)


@dataclass(frozen=True, slots=True)
class Telltale:
    """Tells everything that a rule can see of its subject, one finding each; `more` adds so many.

    Attributes:
        more: further findings.
    """

    more: int = 0
    code: ClassVar[str] = "FG998"
    title: ClassVar[str] = "telltale"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "to see what rules see"
    fix: ClassVar[str] = "nothing"
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS,)

    def check(self, subject):
        """Yield what there is to see."""
        for claim in subject.claims:
            yield Found(Location(LocationKind.METADATA, "claim"), claim)
        for target in subject.targets:
            yield Found(Location(), "seen", target=target.name)
        yield Found(Location(), f"depth {subject.depth}")
        yield Found(Location(), f"reference {subject.reference.facts.path}, claims {subject.reference.claims}")
        for number in range(self.more):
            yield Found(Location(LocationKind.TENSOR, f"w{number}"), "one more")


@dataclass(frozen=True, slots=True)
class OnlyGraphs:
    """Would look at graphs, and finds nothing."""

    code: ClassVar[str] = "FG997"
    title: ClassVar[str] = "only-graphs"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = "to be skipped"
    fix: ClassVar[str] = "nothing"
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject):
        """Yield nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Unreadable(OnlyGraphs):
    """Comes upon a weight that cannot be read."""

    code: ClassVar[str] = "FG996"
    needs: ClassVar[tuple[Need, ...]] = (Need.WEIGHTS,)

    def check(self, subject):
        """Raise as a memory-mapped file does when it is cut short."""
        raise ModelRefused("ends within the weights", field="block")


class Shown(FakeOpened):
    """A model that shows its weights."""

    def stored_weights(self):
        return object()


@pytest.fixture(autouse=True)
def stocked(monkeypatch):
    """A reference and two candidates, all of which show their weights, and three rules."""
    monkeypatch.setitem(fidelity_gate.models.TABLE, "fake", "fakes:FakeFormat")
    monkeypatch.setitem(fidelity_gate.inputs.TABLE, "fake", "fakes:FakeInputs")
    for rule in (Telltale, OnlyGraphs, Unreadable):
        monkeypatch.setitem(fidelity_gate.analysis.rules.TABLE, rule.code, f"{__name__}:{rule.__name__}")
    PROBES.clear()
    PROBES["probes"] = some_probes()
    SHELF.clear()
    SHELF["ref"] = Shown(some_facts("ref", family=""), FakeRecursion())
    SHELF["int8"] = Shown(
        some_facts("int8", bits=8, family="", recipe="int8,says=the-file"), FakeRecursion(error=0.003)
    )
    SHELF["int4"] = Shown(some_facts("int4", bits=4, family=""), FakeRecursion(error=0.3))


def asked(*checks: Check, candidates=("int8", "int4"), **changes) -> Policy:
    specs = tuple(each if isinstance(each, ModelSpec) else ModelSpec(each, each, use="fake") for each in candidates)
    base = Policy(
        name="release",
        path="release.yaml",
        digest="d" * 64,
        reference=ModelSpec("reference", "ref", use="fake"),
        candidates=specs,
        inputs=InputsSpec("fake"),
        recursion=DEPTH,
        checks=checks or (FIDELITY, LINT),
        run=RunSpec(batch=16),
        lint=LintSettings(select=("FG998",)),
    )
    return replace(base, **changes)


def run(wanted: Policy, *, keep_going: bool = False):
    return gate.measure(wanted, gate.MeasureOptions(keep_going=keep_going), Recorded())


def the(found, candidate, metric):
    (one,) = [m for m in found.measurements if (m.candidate, m.metric) == (candidate, metric)]
    return one


def loads() -> list[int]:
    return [opened.loads for opened in SHELF.values()]


def told(found, candidate) -> list[str]:
    (record,) = [record for record in found.candidates if record.name == candidate]
    return [
        f"{finding.target or finding.location.name or '-'}: {finding.message}" for finding in record.linted.findings
    ]


# ---------------------------------------------------------------- what rules see, and what is kept of it


def test_a_rule_sees_the_claims_the_targets_the_depth_and_the_reference_of_a_candidate():
    found = run(asked(LINT, targets=(SOC, NPU)))
    assert told(found, "int8") == [
        "claim: int8,says=the-file",
        "claim: int8",
        "claim: the policy",
        "soc: seen",
        "npu: seen",
        f"-: depth {DEPTH}",
        "-: reference /nowhere/ref, claims ()",
    ]
    assert the(found, "int8", "lint").values == (7.0,)
    assert the(found, "int4", "lint").values == (6.0,)


def test_a_candidate_is_linted_for_its_own_targets_alone():
    found = run(asked(LINT, candidates=(ModelSpec("int8", "int8", use="fake", targets=("npu",)),), targets=(SOC, NPU)))
    assert [line for line in told(found, "int8") if line.endswith("seen")] == ["npu: seen"]
    assert found.candidates[0].targets == (NPU,)


def test_nothing_is_claimed_of_a_candidate_that_is_declared_as_not_compressed():
    found = run(asked(LINT, candidates=(ModelSpec("int8", "int8", use="fake", uncompressed=True),)))
    assert [line for line in told(found, "int8") if line.startswith("claim")] == []


def test_the_policy_does_not_claim_that_a_shallower_candidate_is_compressed():
    shallow = Depth(h_cycles=1, l_cycles=1, steps=6)
    found = run(asked(LINT, candidates=(ModelSpec("fast", "ref", use="fake", recursion=shallow),)))
    assert [line for line in told(found, "fast") if line.startswith("claim")] == ["claim: fast"]
    assert f"-: depth {shallow}" in told(found, "fast")


def test_options_and_severities_of_the_policy_reach_the_rules():
    settings = LintSettings(select=("FG998",), severity=(("FG9", Severity.WARN),), options=(("FG998", (("more", 5),)),))
    warned = replace(LINT, id="warned", options=(("severity", "warn"),))
    found = run(asked(LINT, warned, candidates=("int4",), lint=settings))
    counts = {one.options: one.values for one in found.measurements}
    assert counts == {(("severity", "error"),): (0.0,), (("severity", "warn"),): (9.0,)}


def test_only_candidates_that_a_check_wants_it_of_are_linted():
    found = run(asked(FIDELITY, replace(LINT, candidates=("int4",))), keep_going=True)
    assert [record.linted is None for record in found.candidates] == [True, False]
    assert [m.candidate for m in found.measurements if m.metric == "lint"] == ["int4"]


@pytest.mark.parametrize("check", [FIDELITY, replace(LINT, severity=Severity.OFF)])
def test_nothing_is_linted_where_no_check_asks_for_it(check):
    found = run(asked(FIDELITY, *({check} - {FIDELITY})))
    assert found.provenance.lint is None
    assert [record.linted for record in found.candidates] == [None, None]


def test_settings_are_kept_without_the_place_in_the_policy():
    settings = LintSettings(select=("FG998",), place=Place("release.yaml", 7, 1))
    assert run(asked(LINT, lint=settings)).provenance.lint == LintSettings(select=("FG998",))


def test_findings_survive_the_file_of_measurements():
    found = run(asked(LINT, targets=(NPU,)))
    assert measurements_file.load(measurements_file.dump(found), "x") == found


def test_a_rule_that_nobody_knows_is_refused_and_a_weight_that_cannot_be_read_too():
    with pytest.raises(PolicyError, match="no lint rule is named 'FG123'"):
        run(asked(LINT, lint=LintSettings(select=("FG123",))))
    with pytest.raises(ModelRefused, match="ends within the weights"):
        run(asked(LINT, lint=LintSettings(select=("FG996",))))


# ---------------------------------------------------------------- the number


def linted(*severities: Severity, checked=("FG998",), skipped=()) -> Linted:
    findings = tuple(
        Finding("FG998", "telltale", severity, "f.onnx", "int8", Location(LocationKind.NODE, f"n{at}"), "wrong", "", "")
        for at, severity in enumerate(severities)
    )
    return Linted(findings, checked, skipped)


def counted(found: Linted | None, severity="error"):
    record = replace(measured().candidates[0], linted=found)
    return Lint(severity=severity).measure(record, record)


@pytest.mark.parametrize(("severity", "count"), [("error", 2.0), ("warn", 3.0)])
def test_findings_of_the_severity_and_worse_are_counted(severity, count):
    found = counted(linted(Severity.ERROR, Severity.WARN, Severity.ERROR), severity)
    assert found.values == (count,)


def test_the_detail_names_the_first_findings_and_says_how_many_there_are():
    assert counted(linted()).detail == "1 rule looked"
    assert counted(linted(*[Severity.ERROR] * 4, checked=("FG997", "FG998"))).detail == (
        "2 rules looked; FG998 at n0: wrong; FG998 at n1: wrong; and 2 more"
    )


def test_a_file_that_lint_cannot_look_into_has_no_number():
    with pytest.raises(NotMeasured, match="neither its weights nor a graph"):
        counted(None)


def test_settings_that_leave_nothing_to_look_have_no_number():
    with pytest.raises(NotMeasured, match="leave no rule"):
        counted(linted(checked=()))
    with pytest.raises(NotMeasured, match=r"none of 1 lint rules could look at the file \(FG997: the file is not a"):
        counted(linted(checked=(), skipped=(("FG997", "the file is not a step graph"),)))


def test_a_hooked_model_is_not_measured_and_so_undecided_not_clean():
    SHELF["int8"] = FakeOpened(SHELF["int8"].facts, SHELF["int8"].recursion)
    wanted = asked(LINT, candidates=("int8",))
    found = run(wanted)
    assert the(found, "int8", "lint").status is MeasureStatus.NOT_MEASURED
    assert found.candidates[0].linted is None
    assert judge(wanted, found).exit_code == ExitCode.UNDECIDED


def test_rules_about_graphs_alone_leave_a_file_of_tensors_undecided():
    wanted = asked(LINT, candidates=("int8",), lint=LintSettings(select=("FG997",)))
    assert judge(wanted, run(wanted)).exit_code == ExitCode.UNDECIDED


# ---------------------------------------------------------------- static checks first


def test_a_static_check_that_fails_keeps_every_model_from_being_loaded():
    wanted = asked(FIDELITY, SIZE, LINT)
    found = run(wanted)
    assert loads() == [0, 0, 0]
    for name in ("int8", "int4"):
        assert the(found, name, "carry_fidelity").status is MeasureStatus.NOT_MEASURED
        assert the(found, name, "carry_fidelity").reason == (
            "not run: static check 'size' failed first (--keep-going to measure everything)"
        )
        assert the(found, name, "model_size").status is MeasureStatus.MEASURED
        assert the(found, name, "lint").status is MeasureStatus.MEASURED
    verdict = judge(wanted, found)
    assert verdict.exit_code == ExitCode.FAILED
    outcomes = {result.check.id: result.outcome for result in verdict.results if result.candidate == "int8"}
    assert outcomes == {
        "carry-fidelity": Outcome.NOT_MEASURED,
        "size": Outcome.FAIL,
        "lint": Outcome.FAIL,
    }


def test_findings_keep_models_from_being_loaded_too():
    found = run(asked(FIDELITY, LINT))
    assert loads() == [0, 0, 0]
    assert "static check 'lint' failed first" in the(found, "int8", "carry_fidelity").reason


def test_going_on_measures_everything_and_is_what_measuring_without_judging_does():
    found = run(asked(FIDELITY, SIZE), keep_going=True)
    assert all(one.status is MeasureStatus.MEASURED for one in found.measurements)
    assert gate.MeasureOptions().keep_going


@pytest.mark.parametrize(
    "check",
    [
        replace(SIZE, bound=Bound(maximum=1e9)),  # met
        replace(SIZE, severity=Severity.WARN),
        replace(SIZE, severity=Severity.OFF),
        replace(SIZE, bound=Bound(minimum=1e9)),  # faces the wrong way: refused, and no number can tell
        Check("fits", "sram_peak", Bound(maximum=1.0), (("scenario", "streaming"),)),  # not measured: no geometry
    ],
)
def test_what_does_not_fail_by_a_number_stops_nothing(check):
    for name in ("int8", "int4"):
        SHELF[name] = Shown(replace(SHELF[name].facts, geometry=None), SHELF[name].recursion)
    found = run(asked(FIDELITY, check))
    assert the(found, "int8", "carry_fidelity").status is MeasureStatus.MEASURED


def test_a_candidate_that_fails_stops_the_run_for_all_and_every_check_is_still_told():
    wanted = asked(FIDELITY, replace(SIZE, candidates=("int4",)))
    found = run(wanted)
    assert loads() == [0, 0, 0]
    assert {(one.candidate, one.metric) for one in found.measurements} == {
        ("int8", "carry_fidelity"),
        ("int4", "carry_fidelity"),
        ("int4", "model_size"),
    }


def test_an_early_end_judged_later_by_a_milder_policy_is_never_a_pass():
    found = run(asked(FIDELITY, SIZE))
    milder = asked(FIDELITY, replace(SIZE, bound=Bound(maximum=1e9)))
    assert judge(milder, found).exit_code == ExitCode.UNDECIDED


STATIC = """
import sys
from fidelity_gate import cli
code = cli.answer(sys.argv[1:])
heavy = sorted({'torch', 'onnx', 'onnxruntime', 'bitsandbytes'} & set(sys.modules))
sys.exit(f'{code} {heavy}')
"""
RELEASE = """apiVersion: fidelity-gate/v1
name: static
reference: zoo:trm-addition
candidates: {int8: int8.safetensors}
inputs: zoo:trm-addition
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
checks:
  carry-fidelity: {metric: carry_fidelity, aggregate: mean, require: {min: 0.5}}
  flash: {metric: model_size, require: {max: 1 kB}}
  lint: {metric: lint, require: {max: 0}}
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """A folder with a policy, and an INT8 candidate that is too large for it."""
    from fidelity_gate.storage.artifact import encode
    from fidelity_gate.verbs.compress import compressed

    folder = tmp_path_factory.mktemp("release")
    (folder / "release.yaml").write_text(RELEASE)
    (folder / "int8.safetensors").write_bytes(encode(compressed("zoo:trm-addition", "int8", calibration=None)[1]))
    return folder


@pytest.mark.parametrize(
    ("args", "outcome"),
    [
        (("run", "release.yaml"), "1 []"),
        (("run", "release.yaml", "--keep-going"), "1 ['torch']"),
        (("measure", "release.yaml", "-o", "m.json"), "0 ['torch']"),
    ],
)
def test_a_run_that_files_alone_decide_never_imports_torch_or_a_runtime(release, args, outcome):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", STATIC, *args],
        cwd=release, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr.strip().splitlines()[-1] == outcome, done.stderr


# ---------------------------------------------------------------- the judge


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lint": LintSettings(select=("FG99",))}, "lint"),
        ({"lint": LintSettings(select=("FG998",), ignore=("FG1",))}, "lint"),
        ({"lint": LintSettings(select=("FG998",), severity=(("FG9", Severity.WARN),))}, "lint"),
        ({"lint": LintSettings(select=("FG998",), options=(("FG998", (("more", 1),)),))}, "lint"),
        ({"targets": ()}, "candidates.int8.targets"),
        ({"targets": (SOC, replace(NPU, tile=128))}, "candidates.int8.targets"),
    ],
)
def test_findings_of_other_settings_or_targets_are_refused(changes, field):
    wanted = asked(LINT, targets=(SOC, NPU))
    found = run(wanted)
    assert judge(wanted, found).exit_code == ExitCode.FAILED
    with pytest.raises(Refused) as caught:
        judge(replace(wanted, **changes), found)
    assert caught.value.field == field


def test_the_line_of_the_lint_block_does_not_matter():
    wanted = asked(LINT)
    moved = replace(wanted, lint=replace(wanted.lint, place=Place("other.yaml", 99, 1)))
    assert judge(moved, run(wanted)).results == judge(wanted, run(wanted)).results


def test_other_targets_are_no_matter_where_nothing_was_linted():
    wanted = asked(replace(SIZE, bound=Bound(maximum=1e9)))
    assert judge(replace(wanted, targets=(NPU,)), run(wanted)).passed


def test_a_candidate_that_was_spared_as_uncompressed_is_refused_by_a_policy_that_spares_it_nothing():
    wanted = asked(replace(SIZE, bound=Bound(maximum=1e9)), candidates=("int8",))
    spared = replace(wanted, candidates=(replace(wanted.candidates[0], uncompressed=True),))
    with pytest.raises(Refused, match="uncompressed: true, and the policy says uncompressed: false"):
        judge(wanted, run(spared))


# ---------------------------------------------------------------- the reports


HOSTILE = "\x1b[31m::error::]]>\n##[error] \ud800"


def report(count: int = 3, *, name: str = "blk.w") -> Report:
    findings = tuple(
        Finding(
            code="FG998",
            rule="telltale",
            severity=Severity.ERROR if at % 2 == 0 else Severity.WARN,
            model="int8.onnx",
            candidate="int8",
            location=Location(LocationKind.TENSOR, f"{name}{at}"),
            message="is wrong",
            why="because",
            fix="mend it",
            target="npu" if at == 0 else "",
        )
        for at in range(count)
    )
    check = replace(LINT, options=(("severity", "warn"),))
    record = replace(
        measured().candidates[0], linted=Linted(findings, ("FG997", "FG998"), (("FG996", "no reference was given"),))
    )
    number = Lint(severity="warn").measure(record, record)
    one = measurement(
        number.values,
        metric="lint",
        options=check.options,
        direction=Direction.LOWER,
        per_probe=False,
        curve=(),
        floor_values=(),
        detail=number.detail,
    )
    data = measured(one, candidates=("int8",))
    data = replace(data, candidates=(record,), provenance=replace(data.provenance, lint=LintSettings()))
    wanted = policy(check, targets=())
    return Report(judge(wanted, data), wanted, data, "2026-01-02T03:04:05+00:00")


def test_the_table_is_followed_by_what_lint_found_in_every_candidate():
    lines = Terminal().render(report()).splitlines()
    at = lines.index("lint of int8: 2 errors, 1 warning (2 rules looked, 1 could not)")
    assert lines[at + 1 : at + 4] == [
        "  error FG998 at blk.w0: is wrong (on npu)",
        "  warn FG998 at blk.w1: is wrong",
        "  error FG998 at blk.w2: is wrong",
    ]
    clean = report(0)
    assert "lint of int8: 0 errors, 0 warnings (2 rules looked, 1 could not)" in Terminal().render(clean)
    assert clean.verdict.passed


def test_no_more_than_ten_are_shown_and_the_rest_is_counted():
    lines = Terminal().render(report(25)).splitlines()
    shown = [line for line in lines if line.startswith(("  error FG998", "  warn FG998"))]
    assert len(shown) == MOST_FINDINGS == 10
    assert "  and 15 more: fidelity-gate lint int8.onnx" in lines
    assert finding_lines(report(8).measured.candidates[0].linted.findings, 3)[3:] == [
        "and 5 more: fidelity-gate lint int8.onnx"
    ]
    assert len(finding_lines(report(10).measured.candidates[0].linted.findings)) == 10


def test_the_failure_in_junit_lists_the_findings_that_were_counted():
    text = JUnit().render(report())
    assert "error FG998 at blk.w0: is wrong (on npu)" in text
    assert "warn FG998 at blk.w1: is wrong" in text
    found = report()
    only_errors = replace(found.policy.checks[0], options=(("severity", "error"),))
    result = replace(found.verdict.results[0], check=only_errors)
    assert [line.split()[0] for line in finding_lines(findings_behind(found, result))] == ["error", "error"]
    assert findings_behind(found, replace(result, check=FIDELITY)) == ()


def test_json_holds_every_finding_and_is_read_back_as_it_was():
    found = report(25)
    text = Json().render(found)
    assert record_json.load(text.encode(), Report, SCHEMA, where="x") == found


@pytest.mark.parametrize("reporter", [Terminal(), JUnit(), JUnit(strict=True)])
def test_names_in_findings_are_escaped(reporter):
    text = reporter.render(report(12, name=HOSTILE))
    assert "\\x1b[31m" in text
    for bad in ("\x1b", "::error", "##[error", "\ud800"):
        assert bad not in text
    assert "\n" not in finding_text(report(1, name=HOSTILE).measured.candidates[0].linted.findings[0])
