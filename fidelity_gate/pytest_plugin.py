"""Door 2, pytest: `pytest --fidelity-gate` collects `*.gate.yaml`, one test a check and candidate, and `gate.verdict`.

Inert until it is asked for, by the option, by the marker or by the fixture; until then nothing but pytest is imported.
A policy is measured once in a session, when the first of its tests is set up, in whichever process that is; every test
only shows its part of the one verdict, so that no rerun of a test measures again. The verdict cannot be deselected:
whatever `-k`, `-m` or `--lf` leave out, it is run, and fails for what is missing. The parts are in pytest_parts/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fidelity_gate.pytest_parts.common import (
    FILES_INI,
    KEEP_GOING_INI,
    MARKER,
    NEED_OPTION,
    NOT_IN_INI,
    OPTION,
    POLICY_FILES,
    REPORTS_INI,
    WAIT_INI,
    WAIT_SECONDS,
    FidelityGateWarning,
    clear_up,
    invite,
    is_worker,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import Any

    from fidelity_gate.pytest_parts.guarding import Reporter

__all__ = ["FidelityGateWarning"]

MARKER_TEXT = (
    f"{MARKER}(policy, reference=None, candidates=None, inputs=None): "
    "the test is an error at setup unless this policy of fidelity-gate passes"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options; none of them changes a threshold."""
    group = parser.getgroup("fidelity-gate", "fidelity-gate: release gates for compressed recursive models")
    group.addoption(OPTION, action="store_true", help=f"collect release policies ({POLICY_FILES}) as tests")
    group.addoption("--fg-reference", metavar="PATH", help="the reference model, instead of the policy's")
    group.addoption(
        "--fg-candidate", action="append", default=[], metavar="NAME=PATH", help="a candidate's file; repeatable"
    )
    group.addoption("--fg-inputs", metavar="PATH", help="the file of probes, instead of the policy's")
    group.addoption("--fg-measurements", metavar="FILE", help="judge what was measured earlier; nothing is run")
    group.addoption(
        "--fg-report",
        action="append",
        default=[],
        metavar="TYPE[:DEST]",
        help="leave a report, as `fidelity-gate run --report` does: to a file or a folder; repeatable",
    )
    group.addoption(
        "--fg-keep-going", action="store_true", help="run the models even where the files alone fail a check already"
    )
    group.addoption("--fg-allow-code", action="store_true", help="run Python that the policy names (hooked models)")
    group.addoption(
        "--fg-add-to-history",
        action="store_true",
        help="add what was judged to the histories that the policies name, as `fidelity-gate run` does",
    )
    group.addoption("--fg-revision", metavar="TEXT", help="what a history calls this run: a commit, a tag")
    group.addoption(
        "--fg-wait",
        metavar="SECONDS",
        help=f"how long one process waits while another one measures (default: {WAIT_SECONDS:g})",
    )
    parser.addini(FILES_INI, f"names of policy files to collect beside {POLICY_FILES}", type="args", default=[])
    parser.addini(REPORTS_INI, "reports to leave, as --fg-report has them", type="args", default=[])
    parser.addini(WAIT_INI, "as --fg-wait", default="")
    parser.addini(KEEP_GOING_INI, "as --fg-keep-going", type="bool", default=False)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Once the first conftest files are loaded, put the last word on the exit status outside of their hooks."""
    result = yield
    if getattr(early_config.known_args_namespace, "fidelity_gate", False):
        from fidelity_gate.pytest_parts.last_word import NAME, LastWord

        early_config.pluginmanager.register(LastWord(), NAME)
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; where the gate was asked for, begin."""
    config.addinivalue_line("markers", MARKER_TEXT)
    if is_worker(config):
        return
    if any(config.getoption(name) for name in (OPTION, *NOT_IN_INI)):
        from fidelity_gate.pytest_parts.asking import refuse_loosening

        refuse_loosening(config)
    if config.getoption(OPTION):
        from fidelity_gate.pytest_parts.finishing import begin

        begin(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a policy where the gate was asked for."""
    if not parent.config.getoption(OPTION):
        return None
    from fidelity_gate.pytest_parts.collecting import file_node

    return file_node(file_path, parent)


@pytest.hookimpl(tryfirst=True)  # whoever answers first ends this hook
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> None:
    """Where the gate was asked for, let no policy be passed over because it is no file."""
    if parent.config.getoption(OPTION):
        from fidelity_gate.pytest_parts.collecting import note_what_is_no_file

        note_what_is_no_file(path, parent)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist tells its controller what there is to run
def pytest_collection_finish(session: pytest.Session) -> None:
    """Let no verdict get lost."""
    config = session.config
    if config.getoption(OPTION):
        from fidelity_gate.pytest_parts.collecting import keep_verdicts

        keep_verdicts(session)
        return
    given = [name for name in (*NOT_IN_INI, *NEED_OPTION) if config.getoption(name)]
    if given and not is_worker(config):
        from fidelity_gate.pytest_parts.guarding import refuse_unheard

        refuse_unheard(session, given)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Guard tests that are marked with a policy: behind marks that skip them, before their fixtures are set up."""
    if item.get_closest_marker(MARKER) is not None:
        from fidelity_gate.pytest_parts.guarding import guard

        guard(item)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401  (pytest-xdist's, which may not be installed)
    """Tell a worker where the processes of this session meet."""
    invite(node)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the processes of a session left for one another."""
    clear_up(config)


@pytest.fixture(scope="session")
def fidelity_report(pytestconfig: pytest.Config) -> Reporter:
    """Measure and judge a policy of fidelity-gate, once in a session: `fidelity_report("release.gate.yaml")`.

    The arguments `reference`, `candidates` (a mapping of names to files) and `inputs` replace the policy's. It returns
    the report, whatever became of it: `report.verdict.passed`, `report.verdict.results`.
    """
    from fidelity_gate.pytest_parts.guarding import Reporter

    return Reporter(pytestconfig)
