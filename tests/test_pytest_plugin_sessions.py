"""Door 2, whole sessions: what is left out, interrupted, rerun or tampered with never ends in a green session."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import pytest_sessions
from pytest_sessions import INSTALLED, NAMES, PLUGIN, POLICY, data

import fidelity_gate
from fidelity_gate import measurements_file

session, measuring = pytest_sessions.session, pytest_sessions.measuring
OTHER = POLICY.replace("sudoku-release", "second-release")


def cases(path: Path) -> dict[str, set[str]]:
    """Return every case of a JUnit file by name, with what became of it."""
    found: dict[str, set[str]] = {}
    for case in ElementTree.parse(path).iter("testcase"):  # noqa: S314
        tags = {child.tag for child in case} - {"properties", "system-out", "system-err"}
        found.setdefault(f"{case.get('classname')}::{case.get('name')}", set()).update(tags)
    return found


# ---------------------------------------------------------------- what is left out


@pytest.mark.parametrize("stop", ["-x", "--maxfail=1"])
def test_a_session_that_stops_early_reports_the_verdict_that_it_never_reached(
    session, measuring, pytester, stop
) -> None:
    pytester.makepyfile(test_a="def test_first(): assert False")  # before the policy would be, if it came second
    (pytester.path / "release.gate.yaml").rename(pytester.path / "z.gate.yaml")
    result = session("--fidelity-gate", stop, "--junitxml", "out.xml", "test_a.py", "z.gate.yaml")

    assert result.ret != 0
    result.assert_outcomes(failed=2)
    assert cases(pytester.path / "out.xml") == {
        "test_a::test_first": {"failure"},
        "z.gate.yaml::gate.verdict": {"failure"},
    }
    result.stdout.fnmatch_lines(
        [
            "*_ gate.verdict of z.gate.yaml _*",
            "gate.verdict was not run: BLOCKED (exit 3): gate.verdict: 6 of 6 checks were not run: *",
        ]
    )
    assert measuring.calls == 0


def test_a_session_that_somebody_stops_reports_the_verdict_and_leaves_no_report(session, measuring, pytester) -> None:
    (pytester.path / "gate.json").write_text("yesterday's")
    measuring.result = KeyboardInterrupt()
    args = ("--fidelity-gate", "--junitxml", "out.xml", "--fg-report", "json:gate.json")
    result = session(*args, no_reraise_ctrlc=True)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert cases(pytester.path / "out.xml")["release.gate.yaml::gate.verdict"] == {"failure"}
    result.stdout.fnmatch_lines(["*BLOCKED (exit 3): the measurement was interrupted (KeyboardInterrupt) *"])
    assert not (pytester.path / "gate.json").exists()


def test_exit_with_zero_from_the_middle_of_a_session_is_not_green(session, measuring, pytester) -> None:
    pytester.makepyfile(test_a="import pytest\ndef test_out(): pytest.exit('enough', returncode=0)")
    result = session("--fidelity-gate", "test_a.py", "release.gate.yaml")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["BLOCKED (exit 3): gate.verdict: 6 of 6 checks were not run: *"])


def test_last_failed_neither_hides_a_policy_nor_its_checks(session, measuring, pytester) -> None:
    (pytester.path / "release.gate.yaml").write_text(POLICY.replace("0.97", "0.999"))
    (pytester.path / "second.gate.yaml").write_text(OTHER)
    first = session("--fidelity-gate", cache=True)
    first.assert_outcomes(passed=11, failed=3, warnings=4)
    result = session("--fidelity-gate", "--lf", cache=True)

    assert result.ret == 1
    result.stdout.fnmatch_lines(["gate.verdict: 6 of 6 checks were deselected: *"])
    result.stdout.fnmatch_lines(["*= fidelity-gate: second.gate.yaml =*", "*BLOCKED (exit 2): *were deselected*"])


def test_a_deselected_check_blocks_the_table_and_the_reports_too(session, measuring, pytester) -> None:
    result = session("--fidelity-gate", "-k", "carry", "--fg-report", "junit:gate.xml")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*= fidelity-gate: release.gate.yaml =*", "*BLOCKED (exit 2): gate.verdict: 4 of 6 *"])
    result.stdout.no_fnmatch_line("PASSED: *")
    assert list(cases(pytester.path / "gate.xml").values()) == [{"failure"}]


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
def test_tests_that_are_only_set_up_are_not_run(session, measuring, option) -> None:
    result = session("--fidelity-gate", option)

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*gate.verdict: 6 of 6 checks were not run*"])


@pytest.mark.parametrize("args", [("--collect-only",), ("--co", "-q")])
def test_collecting_shows_the_tests_and_measures_and_deletes_nothing(session, measuring, pytester, args) -> None:
    (pytester.path / "gate.json").write_text("yesterday's")
    result = session("--fidelity-gate", "--fg-report", "json:gate.json", *args)

    assert result.ret == 0
    assert measuring.calls == 0
    assert (pytester.path / "gate.json").read_text() == "yesterday's"
    shown = result.stdout.str()
    assert all(name in shown for name in NAMES)
    assert "BLOCKED" not in shown


def test_a_policy_beside_one_that_is_wrong_is_not_green_either(session, measuring, pytester) -> None:
    (pytester.path / "wrong.gate.yaml").write_text("name: []")
    result = session("--fidelity-gate", "--fg-report", "json:.")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*_ gate.verdict of release.gate.yaml _*",
            "gate.verdict was not run: *6 of 6 checks were not run*",
            "*_ gate.verdict of wrong.gate.yaml _*",
            "gate.verdict was not run: BLOCKED (exit 2): wrong.gate.yaml:*",
        ]
    )
    result.stdout.fnmatch_lines(["*= fidelity-gate: wrong.gate.yaml =*", "BLOCKED (exit 2): wrong.gate.yaml:*"])
    assert '"exit_code": 2' in (pytester.path / "fidelity-gate.wrong.json").read_text().replace('":', '": ')
    going_on = session("--fidelity-gate", "--continue-on-collection-errors", "-k", "fits")
    assert going_on.ret == 1
    going_on.stdout.fnmatch_lines(["gate.verdict: 4 of 6 checks were deselected: *"])


# ---------------------------------------------------------------- once


def test_reruns_cannot_turn_a_measurement_around(session, measuring, pytester) -> None:
    pytest.importorskip("pytest_rerunfailures")
    measuring.result, measuring.later = data(int4=0.5), data()
    result = session("--fidelity-gate", "--reruns", "2", "--junitxml", "out.xml")

    assert result.ret == 1
    result.assert_outcomes(passed=5, failed=2, warnings=2)
    result.stdout.fnmatch_lines(["*4 rerun*"])
    assert measuring.calls == 1
    assert cases(pytester.path / "out.xml")["release.gate.yaml::carry-fidelity[int4]"] == {"failure"}


@pytest.mark.parametrize("ending", [RuntimeError("a bug"), MemoryError()])
def test_a_measurement_that_broke_is_not_tried_again(session, measuring, ending) -> None:
    pytest.importorskip("pytest_rerunfailures")
    measuring.result, measuring.later = ending, data()
    result = session("--fidelity-gate", "--reruns", "1")

    assert result.ret == 1
    assert measuring.calls == 1


def test_two_files_of_one_policy_name_are_two_policies(session, measuring, pytester) -> None:
    for folder in ("a", "b"):
        (pytester.path / folder).mkdir()
        (pytester.path / folder / "release.gate.yaml").write_text(POLICY)
    (pytester.path / "release.gate.yaml").unlink()
    result = session("--fidelity-gate", "--junitxml", "out.xml", "--fg-report", "junit:.")

    result.assert_outcomes(passed=14, warnings=4)
    assert measuring.calls == 2
    names = cases(pytester.path / "out.xml")
    assert len(names) == 14
    assert {"a.release.gate.yaml::gate.verdict", "b.release.gate.yaml::gate.verdict"} <= set(names)
    assert sorted(path.name for path in pytester.path.glob("fidelity-gate*")) == [
        "fidelity-gate.a-release.xml",
        "fidelity-gate.b-release.xml",
    ]


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "words",
    ["--fg-allow-code", "--fg-candidate=int8=a.bin", "--fg-reference a.bin", "--fg-measurements m.json", "--co"],
)
def test_an_ini_file_may_not_say_what_is_compared_or_allowed(session, measuring, pytester, words) -> None:
    pytester.makeini(f"[pytest]\naddopts = {words}")
    result = session("--fidelity-gate")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = f"ERROR: tox.ini: addopts: {words.split()[0].partition('=')[0]} may only be given *"
    result.stderr.fnmatch_lines([said])
    if words != "--co":  # nor for tests that ask by themselves
        session().stderr.fnmatch_lines([said])


def test_an_ini_file_can_add_names_and_cannot_take_policies_away(session, measuring, pytester) -> None:
    pytester.makeini("[pytest]\nfg_files = only-this.yaml\nfg_keep_going = true\nfg_wait = 5\nfg_reports = json:g.json")
    session("--fidelity-gate").assert_outcomes(passed=7, warnings=2)
    assert (pytester.path / "g.json").exists()


@pytest.mark.parametrize("wait", ["-1", "soon", "inf", "nan"])
def test_a_wait_that_is_no_time_is_refused(session, measuring, wait) -> None:
    result = session("--fidelity-gate", f"--fg-wait={wait}")
    assert result.ret != 0
    assert f"--fg-wait: '{wait}' is not a number of seconds" in result.stderr.str() + result.stdout.str()


def test_an_option_that_nothing_listens_to_is_a_usage_error(session, measuring, pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    result = session("--fg-candidate", "int8=a.bin")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--fg-candidate was given, and nothing asks for the gate: add --fidelity-gate"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("int9=a.bin", "*--fg-candidate: 'int9' is not a candidate of this policy*"),
        ("a.bin", "*--fg-candidate: 'a.bin' is not NAME=PATH (--fg-candidate int8=*"),
    ],
)
def test_a_mistake_in_an_option_is_told_by_the_option_that_was_given(session, measuring, given, said) -> None:
    result = session("--fidelity-gate", f"--fg-candidate={given}")

    assert result.ret != 0
    told = result.stdout.str() + result.stderr.str()
    pytest.LineMatcher(told.splitlines()).fnmatch_lines([said])
    assert " --candidate" not in told


def test_without_the_plugin_the_option_is_unknown(session, measuring) -> None:
    if not INSTALLED:
        pytest.skip("the plugin is not installed as an entry point")
    result = session("-p", "no:fidelity_gate", "--fidelity-gate")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: --fidelity-gate*"])


def test_a_session_without_the_option_is_the_same_with_and_without_the_plugin(session, measuring, pytester) -> None:
    pytester.makepyfile(
        "import pytest, warnings\ndef test_a(): warnings.warn('w', UserWarning)\n"
        "@pytest.mark.skip\ndef test_b(): pass\ndef test_c(): assert 0"
    )

    def shown(*args: str) -> list[str]:
        lines = session(*args, "-v", "--strict-markers").stdout.lines
        return [line.partition(" in ")[0] for line in lines if not line.startswith("plugins:")]

    without = ("-p", "no:fidelity_gate") if INSTALLED else ()
    assert shown() == shown(*without)


def test_a_repository_that_turns_warnings_into_errors_fails_for_warned_checks_alone(
    session, monkeypatch, pytester
) -> None:
    import warnings

    from fidelity_gate import gate

    def measure(policy, options, progress):
        warnings.warn("of a library that measures", DeprecationWarning, stacklevel=1)
        return data()

    monkeypatch.setattr(gate, "measure", measure)
    pytester.makeini(
        "[pytest]\naddopts = --strict-markers\nfilterwarnings =\n    error\n"
        "    default::fidelity_gate.pytest_plugin.FidelityGateWarning"
    )
    own = () if INSTALLED else ("-p", PLUGIN)
    quiet = ("-p", "no:hypothesispytest", "-p", "no:timeout", "-p", "no:cacheprovider")
    result = pytester.runpytest_inprocess(*own, *quiet, "--fidelity-gate")

    assert result.ret == 0
    result.assert_outcomes(passed=7, warnings=3)


def test_a_root_elsewhere_and_a_test_that_leaves_its_folder_change_nothing(session, measuring, pytester) -> None:
    folder = pytester.mkdir("elsewhere")
    pytester.makepyfile(test_a=f"import os\ndef test_away(): os.chdir({str(folder)!r})")
    result = session("--fidelity-gate", "--rootdir", str(folder), "test_a.py", "release.gate.yaml")

    result.assert_outcomes(passed=8, warnings=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*= fidelity-gate: release.gate.yaml =*"])


def test_optimised_python_decides_as_any_other(tmp_path) -> None:
    (tmp_path / "release.gate.yaml").write_text(POLICY)
    (tmp_path / "m.json").write_bytes(measurements_file.dump(data(int4=0.5)))
    own = () if INSTALLED else ("-p", PLUGIN)
    args = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest", "--fidelity-gate", "-q"]
    root = str(Path(fidelity_gate.__file__).parents[1])
    program = f"import sys; sys.path.insert(0, {root!r}); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-O", "-c", program, *own, *args, "--fg-measurements", "m.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "carry-fidelity int4: 0.5000 < 0.9700" in done.stdout


# ---------------------------------------------------------------- what is collected


def test_policies_whose_tests_would_have_the_same_names_are_refused(session, measuring, pytester) -> None:
    for folder in ("a", "b"):
        pytester.mkdir(folder).joinpath("release.gate.yaml").write_text(POLICY)
    elsewhere = str(pytester.mkdir("elsewhere"))
    args = ("--fidelity-gate", "a", "b", "--rootdir", elsewhere, "--continue-on-collection-errors")
    result = session(*args, "--junitxml", "out.xml")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=7, failed=1, errors=1, warnings=2)
    result.stdout.fnmatch_lines(
        ["*b/release.gate.yaml: its tests would have the names of those of a/release.gate.yaml (rename one of both, *"]
    )
    found = cases(pytester.path / "out.xml")
    assert found["release.gate.yaml::gate.verdict"] == set()
    assert found["b.release.gate.yaml::gate.verdict"] == {"failure"}
    assert session(*args[:2], "--rootdir", elsewhere).ret == 0  # one of them alone is no trouble


def test_names_that_junit_cannot_tell_apart_are_refused(session, measuring, pytester) -> None:
    pytester.mkdir("a").joinpath("b.gate.yaml").write_text(POLICY)
    (pytester.path / "a.b.gate.yaml").write_text(POLICY)
    result = session("--fidelity-gate", "a", "a.b.gate.yaml")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*error: a.b.gate.yaml: its tests would have the names of those of a/b.gate.yaml*"])


def test_a_policy_that_is_no_file_is_not_passed_over(session, measuring, pytester) -> None:
    folder = pytester.mkdir("gates")
    (folder / "gone.gate.yaml").symlink_to("nowhere.yaml")
    (folder / "folder.gate.yaml").mkdir()
    result = session("--fidelity-gate", "--junitxml", "out.xml")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(passed=7, failed=2, warnings=2)
    result.stdout.fnmatch_lines(
        [
            "gate.verdict was not run: BLOCKED (exit 2): gates/folder.gate.yaml: is a folder*",
            "gate.verdict was not run: BLOCKED (exit 2): gates/gone.gate.yaml: is a link to a file that is not there",
        ]
    )
    assert cases(pytester.path / "out.xml")["gates.gone.gate.yaml::gate.verdict"] == {"failure"}


def test_what_was_not_asked_for_or_is_ignored_may_be_no_file(session, measuring, pytester) -> None:
    (pytester.mkdir("old") / "gone.gate.yaml").symlink_to("nowhere.yaml")
    session("--fidelity-gate", "release.gate.yaml").assert_outcomes(passed=7, warnings=2)
    session("--fidelity-gate", "--ignore", "old").assert_outcomes(passed=7, warnings=2)
    session("--fidelity-gate", "--ignore-glob", "*/gone*").assert_outcomes(passed=7, warnings=2)


def test_a_policy_of_any_name_is_collected_where_the_command_line_names_it(session, measuring, pytester) -> None:
    (pytester.path / "release.gate.yaml").rename(pytester.path / "release.yaml")
    session("--fidelity-gate", "release.yaml").assert_outcomes(passed=7, warnings=2)
    assert session("--fidelity-gate", ".").ret == pytest.ExitCode.USAGE_ERROR
    assert session("release.yaml").ret == pytest.ExitCode.USAGE_ERROR
