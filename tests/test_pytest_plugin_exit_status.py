"""Door 2, the exit status: 0 only where the gate passed, whatever a conftest.py, an ini file or the environment say."""

from __future__ import annotations

import sys

import pytest
import pytest_sessions
from pytest_sessions import data

from fidelity_gate.pytest_parts.common import is_zero

session, measuring = pytest_sessions.session, pytest_sessions.measuring


@pytest.mark.parametrize(
    ("status", "zero"), [(0, True), (None, True), (256, True), (-256, True), (1, False), (4, False)]
)
def test_what_the_system_makes_a_zero_of_is_one(status, zero) -> None:
    assert is_zero(status) is zero


# ---------------------------------------------------------------- a conftest.py that is not on our side


SWALLOWING = {
    "sets the exit status": """
        def pytest_sessionfinish(session): session.exitstatus = 0
    """,
    "sets it last of all": """
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_sessionfinish(session):
            result = yield
            session.exitstatus = 0
            return result
    """,
    "turns failures into passes": """
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            report.outcome, report.longrepr = "passed", None
            return report
    """,
    "skips the verdict and what fails": """
        @pytest.hookimpl(trylast=True)
        def pytest_runtest_setup(item):
            if item.name in ("gate.verdict", "carry-fidelity[int4]"): pytest.skip("not today")
    """,
    "expects failures": """
        def pytest_collection_modifyitems(items):
            for item in items: item.add_marker(pytest.mark.xfail)
    """,
    "sets it when the session is over": """
        sessions = []
        def pytest_sessionstart(session): sessions.append(session)
        def pytest_configure(config): config.add_cleanup(lambda: setattr(sessions[0], "exitstatus", 0))
        @pytest.hookimpl(trylast=True)
        def pytest_unconfigure(): sessions[0].exitstatus = 0
    """,
    "hands another one to the system": """
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_cmdline_main():
            yield
            return 0
    """,
    "hands one to the system that comes out as 0": """
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_cmdline_main():
            yield
            return 256
    """,
    "hands none to the system": """
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_cmdline_main(): yield
    """,
    "takes the end away": """
        def pytest_collection_finish(session):
            session.config.pluginmanager.unregister(name="fidelity-gate-finishing")
    """,
    "takes the verdict away": """
        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(session):
            session.items[:] = [item for item in session.items if item.name == "carry-fidelity[int8]"]
    """,
}


@pytest.mark.parametrize("how", SWALLOWING)
def test_a_conftest_that_swallows_the_verdict_does_not_get_a_green_session(session, measuring, pytester, how) -> None:
    pytester.makeconftest("import pytest\n" + "\n".join(line[8:] for line in SWALLOWING[how].splitlines()))
    measuring.result = data(int4=0.5)
    result = session("--fidelity-gate")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["BLOCKED (exit 1): *carry-fidelity int4: 0.5000 < 0.97"])


def test_a_verdict_that_was_made_to_pass_by_marks_alone_does_not_count(session, measuring, pytester) -> None:
    pytester.makeconftest(
        "import pytest\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items: item.add_marker(pytest.mark.skip)"
    )
    result = session("--fidelity-gate")  # all of it would pass; none of it was run
    assert result.ret == 1


def test_a_conftest_that_leaves_the_end_away_gets_no_green_session_of_a_policy_that_would_pass(
    session, measuring, pytester
) -> None:
    text = "\n".join(line[8:] for line in SWALLOWING["takes the end away"].splitlines())
    pytester.makeconftest("import pytest\n" + text)
    result = session("--fidelity-gate")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.assert_outcomes(passed=7, warnings=2)


def test_a_conftest_that_says_that_tests_are_only_collected_is_not_believed(session, measuring, pytester) -> None:
    pytester.makeconftest("def pytest_configure(config): config.option.collectonly = True")
    result = session("--fidelity-gate", "--junitxml", "out.xml")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert 'failures="1"' in (pytester.path / "out.xml").read_text()


def test_a_conftest_that_does_something_else_than_running_tests_is_a_usage_error(session, measuring, pytester) -> None:
    pytester.makeconftest("import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_cmdline_main(): return 0")
    result = session("--fidelity-gate")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --fidelity-gate: nothing was judged at the end of this session"])
    assert session().ret == 0  # who does not ask for the gate is left alone


@pytest.mark.parametrize("part", ["fidelity-gate-finishing", "fidelity-gate-last-word"])
def test_a_part_of_the_plugin_cannot_be_blocked(session, measuring, part) -> None:
    result = session("--fidelity-gate", "-p", f"no:{part}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: -p no:{part}: --fidelity-gate does not work without it"])


def test_a_conftest_that_loads_the_plugin_is_told_that_it_is_too_late(pytester, monkeypatch) -> None:
    (pytester.path / "release.gate.yaml").write_text(pytest_sessions.POLICY)
    pytester.makeconftest(f"pytest_plugins = ['{pytest_sessions.PLUGIN}']")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_inprocess("--fidelity-gate")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --fidelity-gate: a conftest.py loads this plugin, which is too late *"])


# ---------------------------------------------------------------- sessions that show something and run nothing


SHOWING = ["--collect-only", "--collectonly", "--co", "--fixtures", "--fixtures-per-test", "--markers", "--cache-show"]


@pytest.mark.parametrize("word", [*SHOWING, "--help"])
def test_who_asks_to_be_shown_something_is_shown_it_and_no_report_is_touched(
    session, measuring, pytester, word
) -> None:
    (pytester.path / "gate.json").write_text("yesterday's")
    result = session("--fidelity-gate", word, "--fg-report", "json:gate.json", cache=True)

    assert result.ret == 0
    assert measuring.calls == 0
    assert (pytester.path / "gate.json").read_text() == "yesterday's"
    assert "BLOCKED" not in result.stdout.str()


@pytest.mark.parametrize("word", SHOWING)
def test_an_ini_file_or_the_environment_cannot_make_a_session_show_something_instead(
    session, measuring, pytester, monkeypatch, word
) -> None:
    pytester.makeini(f"[pytest]\naddopts = {word}")
    result = session("--fidelity-gate", cache=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: tox.ini: addopts: {word} may only be given on the command line"])

    pytester.makeini("")
    monkeypatch.setenv("PYTEST_ADDOPTS", word)
    result = session("--fidelity-gate", cache=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: PYTEST_ADDOPTS: {word} may only be given on the command line"])


@pytest.mark.parametrize("words", ["-h", "--help", "-qh", "-vh"])
def test_help_that_an_ini_file_asks_for_is_no_green_session(session, measuring, pytester, words) -> None:
    pytester.makeini(f"[pytest]\naddopts = {words}")
    result = session("--fidelity-gate")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: " in result.stderr.str()


def test_options_in_the_environment_are_those_of_whoever_started_the_session(
    session, measuring, pytester, monkeypatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--fidelity-gate --fg-report json:gate.json --fg-candidate int8=b.bin")
    result = session()

    result.assert_outcomes(passed=7, warnings=2)
    assert (pytester.path / "gate.json").exists()


def test_a_session_that_only_collects_loads_nothing_that_measures(pytester) -> None:
    (pytester.path / "release.gate.yaml").write_text(pytest_sessions.POLICY)
    program = (
        "import sys, pytest\n"
        "code = pytest.main(['-q', '--fidelity-gate', '--collect-only', '-p', 'no:hypothesispytest', *sys.argv[1:]])\n"
        "loaded = {'torch', 'onnx', 'onnxruntime', 'safetensors', 'qai_hub', 'jinja2', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {sorted(loaded)}' if loaded else code)"
    )
    own = () if pytest_sessions.INSTALLED else ("-p", pytest_sessions.PLUGIN)
    done = pytester.run(sys.executable, "-c", program, *own, timeout=120)

    assert (done.ret, done.stderr.str()) == (0, "")
    assert [line.partition("::")[2] for line in done.outlines if "::" in line] == pytest_sessions.NAMES
