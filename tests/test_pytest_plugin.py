"""Door 2: policies as tests, and no way to a green session that the judge would block."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_sessions
from made import facts, sram
from pytest_sessions import INSTALLED, NAMES, PLUGIN, POLICY, data

import fidelity_gate
from fidelity_gate import gate, measurements_file
from fidelity_gate.errors import NotMeasured, Refused
from fidelity_gate.policy.loading import load_policy_text
from fidelity_gate.records import (
    Finding,
    Linted,
    LintSettings,
    Location,
    LocationKind,
    MeasureStatus,
    ModelRecord,
    Severity,
)

session, measuring = pytest_sessions.session, pytest_sessions.measuring


def test_every_check_of_every_candidate_is_a_test_and_so_is_the_verdict(session, measuring) -> None:
    result = session("--fidelity-gate", "-v")

    result.assert_outcomes(passed=7, warnings=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"release.gate.yaml::{name.replace('[', '[[]')} PASSED*" for name in NAMES])
    assert measuring.calls == 1
    result.stdout.no_fnmatch_line("*quiet*")


def test_without_the_option_nothing_is_collected(session, measuring, pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")

    session().assert_outcomes(passed=1)
    assert measuring.calls == 0


def test_a_missed_check_fails_with_its_comparison_as_the_first_line(session, measuring) -> None:
    measuring.result = data(int4=0.969996)
    result = session("--fidelity-gate")

    assert result.ret == 1
    result.assert_outcomes(passed=5, failed=2, warnings=2)
    result.stdout.fnmatch_lines(
        [
            "*_ carry-fidelity[[]int4[]] of release.gate.yaml _*",
            "carry-fidelity int4: 0.969996 < 0.970000",
            "required: min: 0.97",
            "worst probe: 0",
            "policy: release.gate.yaml:10:3",
            "*_ gate.verdict of release.gate.yaml _*",
            "BLOCKED (exit 1): 3 of 4 required checks are met; carry-fidelity int4: 0.969996 < 0.97",
            "carry-fidelity int4: 0.969996 < 0.970000",
        ]
    )
    assert measuring.calls == 1


def test_a_missed_warning_is_a_warning_of_its_own_class_at_its_line(session, measuring) -> None:
    result = session("--fidelity-gate")

    result.stdout.fnmatch_lines(["*release.gate.yaml:12: FidelityGateWarning: worst int8: 0.9800 < 0.985"])
    strict = session("--fidelity-gate", "-W", "error::fidelity_gate.pytest_plugin.FidelityGateWarning")
    strict.assert_outcomes(passed=5, failed=2)
    strict.stdout.fnmatch_lines(
        ["*_ worst[[]int8[]] of release* _*", "worst int8: 0.9800 < 0.985", "*_ worst[[]int4[]] of release* _*"]
    )


def test_what_was_not_measured_is_an_error_at_setup(session, measuring) -> None:
    complete = data()
    missing = replace(
        complete.measurements[0], status=MeasureStatus.NOT_MEASURED, values=(), reason="z_H is not finite at step 3"
    )
    measuring.result = replace(complete, measurements=(missing, *complete.measurements[1:]))
    result = session("--fidelity-gate")

    result.assert_outcomes(passed=5, errors=1, failed=1, warnings=2)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of carry-fidelity[[]int8[]]*",
            "carry-fidelity int8: not measured: z_H is not finite at step 3",
            "BLOCKED (exit 3): *",
        ]
    )


@pytest.mark.parametrize("ending", [Refused("is a folder", where="ref.pt"), NotMeasured("no torch")])
def test_a_measurement_that_ends_is_an_error_of_every_check_and_is_not_repeated(session, measuring, ending) -> None:
    measuring.result = ending
    result = session("--fidelity-gate")

    result.assert_outcomes(errors=6, failed=1)
    result.stdout.fnmatch_lines([f"fits[[]int8-soc-8mb[]]: {ending}", f"gate.verdict: {ending}"])
    assert measuring.calls == 1


@pytest.mark.parametrize(
    "edit", [("metric: sram_peak", "metric: sram_peek"), ("0.97", "NaN"), (POLICY, ""), ("steps: 3", "steps: 3}")]
)
def test_a_policy_that_is_wrong_is_a_collection_error(session, measuring, pytester, edit) -> None:
    (pytester.path / "release.gate.yaml").write_text(POLICY.replace(*edit))
    pytester.makepyfile("def test_nothing(): pass")
    result = session("--fidelity-gate")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1, failed=1)  # readers of JUnit pass over errors: the verdict is a failure
    result.stdout.fnmatch_lines(
        [
            "fidelity-gate: error: *release.gate.yaml*",
            "*_ gate.verdict of release.gate.yaml _*",
            "gate.verdict was not run: BLOCKED (exit 2): release.gate.yaml*",
        ]
    )
    assert measuring.calls == 0


@pytest.mark.parametrize(
    ("args", "left"),
    [
        (("-k", "fits"), ["fits[int8-soc-8mb]", "fits[int4-soc-8mb]"]),
        (("-k", "not carry"), NAMES[2:6]),
        (("--deselect", "release.gate.yaml::fits[int4-soc-8mb]"), [*NAMES[:3], *NAMES[4:6]]),
        (("release.gate.yaml::carry-fidelity[int8]",), ["carry-fidelity[int8]"]),
        (("-m", "anything"), []),
        (("-k", "nothing-like-this"), []),
    ],
)
def test_whatever_is_deselected_the_verdict_is_run_and_fails_for_it(session, measuring, args, left) -> None:
    result = session("--fidelity-gate", "-v", *args)

    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*::{name.replace('[', '[[]')} PASSED*" for name in left])
    gone = [name for name in NAMES[:-1] if name not in left]
    result.stdout.fnmatch_lines([f"gate.verdict: {len(gone)} of 6 checks were deselected: *"])
    result.assert_outcomes(
        passed=len(left), failed=1, warnings=sum("worst" in name for name in left), deselected=_deselected(args, gone)
    )


def _deselected(args: tuple[str, ...], gone: list[str]) -> int:
    """Return what pytest itself counts: the verdict too where an expression left it out; nothing for a chosen id."""
    if len(args) == 1:
        return 0
    return len(gone) + (args[0] != "--deselect" and "not" not in args[1].split())


def test_selecting_everything_by_name_is_a_pass(session, measuring) -> None:
    session("--fidelity-gate", "release.gate.yaml").assert_outcomes(passed=7, warnings=2)
    session("--fidelity-gate", ".", "release.gate.yaml").assert_outcomes(passed=7, warnings=2)


def test_asking_for_the_gate_where_there_is_no_policy_is_not_green(session, measuring, pytester) -> None:
    pytester.makepyfile(test_other="def test_nothing(): pass")
    result = session("--fidelity-gate", "test_other.py")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --fidelity-gate: no policy named [*].gate.yaml was collected"])


def test_other_file_names_can_be_given_in_the_ini_file(session, measuring, pytester) -> None:
    (pytester.path / "release.gate.yaml").rename(pytester.path / "release.policy.yaml")
    pytester.makeini("[pytest]\nfg_files = *.policy.yaml other.yaml")

    session("--fidelity-gate").assert_outcomes(passed=7, warnings=2)


def test_every_policy_is_measured_once_and_has_its_own_verdict(session, measuring, pytester) -> None:
    (pytester.path / "second.gate.yaml").write_text(POLICY.replace("0.97", "0.999"))
    result = session("--fidelity-gate")

    result.assert_outcomes(passed=11, failed=3, warnings=4)
    assert measuring.calls == 2


def test_saved_measurements_are_judged_without_running_anything(session, measuring, pytester) -> None:
    (pytester.path / "m.json").write_bytes(measurements_file.dump(data(int4=0.5)))
    result = session("--fidelity-gate", "--fg-measurements", "m.json")

    result.assert_outcomes(passed=5, failed=2, warnings=2)
    assert measuring.calls == 0
    gone = session("--fidelity-gate", "--fg-measurements", "gone.json")
    assert gone.ret == pytest.ExitCode.INTERRUPTED


def test_measurements_of_another_run_block(session, measuring, pytester) -> None:
    other = data()
    other = replace(
        other, candidates=tuple(replace(one, depth=replace(one.depth, steps=1)) for one in other.candidates)
    )
    (pytester.path / "m.json").write_bytes(measurements_file.dump(other))
    result = session("--fidelity-gate", "--fg-measurements", "m.json")

    result.assert_outcomes(errors=6, failed=1)
    result.stdout.fnmatch_lines(["gate.verdict: measurements: candidates.int8.recursion: measured with *"])


def test_paths_of_the_command_line_are_taken(session, measuring, monkeypatch) -> None:
    seen = []

    def look(policy, options, progress):
        seen.append((policy, options))
        return data()

    monkeypatch.setattr(gate, "measure", look)
    session(
        "--fidelity-gate", "--fg-reference", "r.pt", "--fg-candidate", "int8=a.bin", "--fg-candidate", "int4=b.bin",
        "--fg-inputs", "other.npz", "--fg-allow-code",
    ).assert_outcomes(passed=7, warnings=2)  # fmt: skip

    ((policy, options),) = seen
    assert [spec.path for spec in (policy.reference, *policy.candidates)] == ["r.pt", "a.bin", "b.bin"]
    assert dict(policy.inputs.options)["path"] == "other.npz"
    assert options.allow_code is True


def test_junit_xml_of_pytest_shows_what_blocks(session, measuring, pytester) -> None:
    measuring.result = data(int4=0.5)
    session("--fidelity-gate", "--junitxml", "out.xml")

    cases = list(ElementTree.parse(pytester.path / "out.xml").iter("testcase"))  # noqa: S314
    failed = {
        case.get("name"): case.find("failure").get("message") for case in cases if case.find("failure") is not None
    }
    assert set(failed) == {"carry-fidelity[int4]", "gate.verdict"}
    assert failed["carry-fidelity[int4]"].startswith("Failed: carry-fidelity int4: 0.5000 < 0.97")


@pytest.mark.parametrize(("args", "keep_going"), [((), False), (("--fg-keep-going",), True)])
def test_the_session_stops_at_static_checks_as_run_does_unless_it_is_told_to_go_on(
    session, monkeypatch, args, keep_going
) -> None:
    allowed = []

    def look(policy, options, progress):
        allowed.append(options.keep_going)
        return data()

    monkeypatch.setattr(gate, "measure", look)
    session("--fidelity-gate", *args)
    assert allowed == [keep_going]


def test_a_lint_check_that_fails_lists_what_was_found(session, measuring, pytester) -> None:
    text = POLICY.replace("  quiet:", "  lint: {metric: lint, require: {max: 0}, candidates: [int4]}\n  quiet:")
    (pytester.path / "release.gate.yaml").write_text(text)
    found = data()
    place = Location(LocationKind.TENSOR, "blk.w\x1b[31m")
    finding = Finding("FG201", "per-tensor-low-bits", Severity.ERROR, "int4", "int4", place, "one scale", "", "")
    targets = load_policy_text(text, "release.gate.yaml").targets
    int8, int4 = (replace(record, targets=targets) for record in found.candidates)
    lint = replace(sram(1.0, candidate="int4"), metric="lint", options=(("severity", "error"),), unit="")
    measuring.result = replace(
        found,
        measurements=(*found.measurements, lint),
        candidates=(int8, replace(int4, linted=Linted((finding,), ("FG201",)))),
        provenance=replace(found.provenance, lint=LintSettings()),
    )
    result = session("--fidelity-gate")
    result.stdout.fnmatch_lines(["lint int4: 1 > 0", "error FG201 at blk.w\\x1b[[]31m: one scale"])


def test_names_that_meet_are_numbered(session, measuring, pytester) -> None:
    text = POLICY.replace("{int8: int8.safetensors, int4: int4.safetensors}", "{a: a.bin, a-b: b.bin}")
    text = text.replace("[soc-8mb]", "[{name: b-c, sram: 1 MiB}, {name: c, sram: 1 MiB}]")
    (pytester.path / "release.gate.yaml").write_text(text)
    records = [ModelRecord(name, facts(name), data().reference.depth) for name in ("a", "a-b")]
    complete = data()
    renamed = {"int8": "a", "int4": "a-b"}
    measuring.result = replace(
        complete,
        candidates=tuple(records),
        measurements=tuple(replace(one, candidate=renamed[one.candidate]) for one in complete.measurements),
    )
    result = session("--fidelity-gate", "-v")

    result.assert_outcomes(passed=9, warnings=2)
    result.stdout.fnmatch_lines(["*::fits[[]a-b-c[]] PASSED*", "*::fits[[]a-b-c[]].2 PASSED*"])


def test_hostile_text_is_escaped(session, measuring) -> None:
    measuring.result = Refused("x\x1b[31m\n::error::y")
    result = session("--fidelity-gate")

    assert "gate.verdict: x\\x1b[31m\\x0a: :error: :y" in result.stdout.str()
    assert "::error" not in result.stdout.str()


IMPORTED = """
import sys
before = set(sys.modules)
import pytest
pytest_modules = {name.partition('.')[0] for name in sys.modules}
import fidelity_gate.pytest_plugin
found = {name.partition('.')[0] for name in sys.modules} - pytest_modules - sys.stdlib_module_names
assert found == {'fidelity_gate'}, found
ours = {name for name in sys.modules if name.startswith('fidelity_gate')}
light = {'fidelity_gate.pytest_plugin', 'fidelity_gate.pytest_parts', 'fidelity_gate.pytest_parts.common'}
assert ours == {'fidelity_gate'} | light, ours
"""

SESSION = """
import sys, pytest
code = pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:]])
heavy = {'torch', 'numpy', 'pydantic', 'onnxruntime', 'rich', 'click'} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


def as_process(code: str, *args: str, cwd: Path | None = None) -> None:
    root = Path(fidelity_gate.__file__).parents[1]
    program = f"import sys; sys.path.insert(0, {str(root)!r})\n{code}"
    subprocess.run([sys.executable, "-c", program, *args], check=True, timeout=60, cwd=cwd)


def test_loading_the_plugin_imports_pytest_and_the_standard_library_only() -> None:
    as_process(IMPORTED)


def test_a_session_that_does_not_ask_for_the_gate_pays_for_nothing(tmp_path) -> None:
    (tmp_path / "test_it.py").write_text("def test_nothing(): pass")
    (tmp_path / "release.gate.yaml").write_text(POLICY)

    plugins = (*(() if INSTALLED else ("-p", PLUGIN)), "-p", "no:xdist", "-p", "no:hypothesispytest")
    as_process(SESSION, *plugins, cwd=tmp_path)
