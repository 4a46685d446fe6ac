"""The end of a session: what was left undone is told, reports are left, and only what passed ends in 0.

Runs in the process that began the session. It counts up: the session may end in 0 only where at least one policy was
collected and, for each, every check was run, the verdict passed as a test, and what the session measured, judged here
once more, passes.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from fidelity_gate.errors import GateError, NotMeasured, Refused
from fidelity_gate.pytest_parts.asking import Gated, only_shows, report_texts
from fidelity_gate.pytest_parts.common import FILES_INI, OPTION, POLICY_FILES, VERDICT, is_zero
from fidelity_gate.pytest_parts.judging import judging_of
from fidelity_gate.pytest_parts.last_word import NAME as LAST_WORD
from fidelity_gate.pytest_parts.leaving import Leaving, leaving_of
from fidelity_gate.pytest_parts.remembering import ADD, remember, revision_of
from fidelity_gate.pytest_parts.telling import title

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from fidelity_gate.pytest_parts.asking import Source
    from fidelity_gate.records import Report

NAME = "fidelity-gate-finishing"
NOT_AT_ALL = "was not run"


@dataclass(slots=True, eq=False)
class Finishing:
    """What the process that began the session knows of its policies."""

    config: pytest.Config
    leaving: Leaving
    revision: str = ""
    gates: dict[Source, Gated] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)  # node id -> what the test came to
    reports: dict[Source, Report] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    interrupted: bool = False
    passed: bool = False
    session: pytest.Session | None = None

    def expect(self, gates: list[Gated]) -> None:
        """Remember the policies that were collected."""
        self.gates.update((gated.source, gated) for gated in gates)

    # ------------------------------------------------------------ hooks

    def pytest_report_header(self) -> list[str]:
        """Say what judges."""
        from fidelity_gate.pytest_parts.telling import header_lines

        return header_lines()

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say which policies are judged."""
        from fidelity_gate.pytest_parts.collecting import lines

        return lines(self.config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Refuse to gate nothing; with pytest-xdist only the end can tell."""
        if session.testsfailed or self.config.pluginmanager.hasplugin("dsession"):
            return
        if not self.gates:
            raise pytest.UsageError(self._nothing())
        try:
            self.leaving.refuse_sharing(len(self.gates))
        except GateError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what became of a test; what is run again has not become anything yet."""
        if report.when == "call" or (report.when == "setup" and report.outcome in ("failed", "skipped")):
            self.outcomes[report.nodeid] = "xfailed" if hasattr(report, "wasxfail") else report.outcome

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Leave no report of what somebody stopped; pytest's own stops (`-x`) leave them."""
        self.interrupted = not isinstance(excinfo.value, pytest.Session.Interrupted)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Conclude before anybody writes a report, and have the last word on the exit status."""
        self.session = session
        if not only_shows(self.config):
            self._conclude()
        result = yield
        self._hold()
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table of every policy."""
        for source, report in self.reports.items():
            terminalreporter.section(f"fidelity-gate: {source.policy}")
            terminalreporter.write(self._shown(report, color=terminalreporter.hasmarkup))
        for note in self.notes:
            terminalreporter.write_line(f"fidelity-gate: {note}")
        for trouble in self.troubles:
            terminalreporter.write_line(f"fidelity-gate: {trouble}", red=True)

    # ------------------------------------------------------------ what they do

    def _conclude(self) -> None:
        if not self.gates:  # with pytest-xdist the workers know; what cannot be read is no policy, and blocks
            with contextlib.suppress(GateError, KeyError, TypeError):
                told = [Gated.of(plain) for left in judging_of(self.config).shelf.left() for plain in left]
                self.expect(told)
        for gated in self.gates.values():
            report = self._settled(gated)
            self.reports[gated.source] = report
            if gated.refused or gated.verdict not in self.outcomes:
                self._tell_undone(gated, report)
        self.passed = bool(self.gates) and not any(_blocks(report) for report in self.reports.values())
        if not self.gates and self.session is not None and self.session.exitstatus == pytest.ExitCode.OK:
            self.troubles.append(self._nothing())
        if not self.interrupted:
            self._leave()

    def _settled(self, gated: Gated) -> Report:
        """Return what became of a policy: what was judged where that blocks, or else what is missing."""
        from fidelity_gate.verbs.failures import as_gate_error
        from fidelity_gate.verbs.orders import failed_report

        judging, policy = judging_of(self.config), None
        try:
            policy = judging.policy(gated.source)
            report = None if gated.refused else judging.settled(gated.source)
        except Exception as error:  # noqa: BLE001  (whatever it is must block, and be shown)
            return failed_report(as_gate_error(error), policy)
        missing = self._missing(gated)
        if report is None:
            return failed_report(missing or NotMeasured("nothing was measured in this session"), policy)
        return failed_report(missing, policy) if missing and not _blocks(report) else report

    def _missing(self, gated: Gated) -> GateError | None:
        """Return what of a policy the session left out, or None."""
        count = len(gated.checks)
        if gated.refused:
            return Refused(gated.refused)
        if gated.left_out:
            names = ", ".join(gated.left_out)
            return Refused(f"{len(gated.left_out)} of {count} checks were deselected: {names}", field=VERDICT)
        undone = [check.rpartition("::")[2] for check in gated.checks if check not in self.outcomes]
        if undone:
            return NotMeasured(f"{len(undone)} of {count} checks were not run: {', '.join(undone)}", field=VERDICT)
        outcome = self.outcomes.get(gated.verdict, NOT_AT_ALL)
        if outcome != "passed":
            said = outcome if outcome == NOT_AT_ALL else f"ended as {outcome}"
            return NotMeasured(f"the verdict {said}, and nothing else counts", field=VERDICT)
        return None

    def _tell_undone(self, gated: Gated, report: Report) -> None:
        """Report a verdict that was never run as failed, so that JUnit and everybody else shows it."""
        from fidelity_gate.pytest_parts.telling import one_line, verdict_properties
        from fidelity_gate.wording import verdict_line

        said = one_line(f"{VERDICT} {NOT_AT_ALL}: {verdict_line(report)}")
        location = (gated.verdict.rpartition("::")[0], None, title(gated.verdict))
        properties = verdict_properties(report)
        call = pytest.TestReport(gated.verdict, location, {}, "failed", said, "call", user_properties=properties)
        after = pytest.TestReport(gated.verdict, location, {}, "passed", None, "teardown", user_properties=properties)
        for one in (call, after):
            self.config.hook.pytest_runtest_logreport(report=one)
        self.outcomes.pop(gated.verdict, None)

    def _leave(self) -> None:
        """Leave what outlives the session: lines in histories, then its reports."""
        from fidelity_gate.verbs.orders import failed_report

        with contextlib.chdir(self.config.invocation_params.dir):
            if self.config.getoption(ADD) and (failure := self._failure_of(self._remember)):
                blocked = {source: failed_report(failure, report.policy) for source, report in self.reports.items()}
                self.reports = blocked  # as on the command line, no report passes then
            if self.leaving.orders:
                self._failure_of(lambda: self.leaving.write(self.reports))

    def _remember(self) -> None:
        self.notes.extend(remember(self.reports.values(), self.revision))

    def _failure_of(self, work: Callable[[], None]) -> GateError | None:
        """Do it, and return what kept it from being done; such a session does not pass."""
        from fidelity_gate.verbs.failures import as_gate_error

        try:
            work()
        except Exception as error:  # noqa: BLE001  (a bug in one report must not keep pytest from writing its own)
            self.passed = False
            self.troubles.append(str(failure := as_gate_error(error)))
            return failure
        return None

    def _hold(self) -> None:
        """Keep a session from ending in 0 that may not, and let one on workers end as any other.

        pytest-xdist goes on where pytest stops: a policy that cannot be collected is one more failed test to it, and it
        knows nothing of what its workers should have found.
        """
        if self.session is None or self.passed or only_shows(self.config):
            return
        if is_zero(self.session.exitstatus):
            self.session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.session.exitstatus != pytest.ExitCode.TESTS_FAILED:
            return
        if not self.gates:
            self.session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif any(gated.refused for gated in self.gates.values()) and not self._goes_on():
            self.session.exitstatus = pytest.ExitCode.INTERRUPTED

    def _goes_on(self) -> bool:
        return bool(self.config.getoption("continue_on_collection_errors"))

    def _shown(self, report: Report, *, color: bool) -> str:
        from fidelity_gate.pytest_parts.telling import digest_line
        from fidelity_gate.reports.terminal import Terminal

        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        table = Terminal(color=color, unicode=unicode)
        if sys.stdout.isatty():
            table = replace(table, width=max(80, shutil.get_terminal_size().columns))
        own = any(isinstance(order.reporter, Terminal) for order in self.leaving.orders if not order.to_file)
        texts = [*([] if own else [table.render(report)]), *self.leaving.shown(report)]
        return "".join(f"{text.rstrip()}\n" for text in (*texts, digest_line(report)) if text)

    def _nothing(self) -> str:
        patterns = " or ".join([POLICY_FILES, *self.config.getini(FILES_INI)])
        return f"{OPTION}: no policy named {patterns} was collected"


_FINISHING = pytest.StashKey[Finishing]()


def begin(config: pytest.Config) -> None:
    """Begin a session that was asked to gate, in the process that began it.

    Raises:
        pytest.UsageError: a report that cannot be left, or a session without this part.
    """
    read = [config.getoption(name) or "" for name in ("--fg-reference", "--fg-inputs", "--fg-measurements")]
    given = [text.partition("=")[2] for text in config.getoption("--fg-candidate")]
    try:
        revision = revision_of(config)
        leaving = leaving_of(report_texts(config), keep=(*read, *given))
        if not only_shows(config):
            leaving.clear()
    except GateError as error:
        raise pytest.UsageError(_with_own_names(str(error))) from None
    finishing = Finishing(config, leaving, revision)
    config.stash[_FINISHING] = finishing
    config.pluginmanager.register(finishing, NAME)
    for part in (NAME, LAST_WORD):
        if f"no:{part}" in config.getoption("plugins"):
            raise pytest.UsageError(f"-p no:{part}: {OPTION} does not work without it")
    if not config.pluginmanager.hasplugin(LAST_WORD):
        raise pytest.UsageError(f"{OPTION}: a conftest.py loads this plugin, which is too late (-p fidelity_gate)")


def finishing_of(config: pytest.Config) -> Finishing:
    """Return what this process knows of the end."""
    return config.stash[_FINISHING]


def has_passed(config: pytest.Config) -> bool | None:
    """Return whether all policies of the session passed, or None where there was no session."""
    finishing = config.stash.get(_FINISHING, None)
    return None if finishing is None or finishing.session is None else finishing.passed


def _with_own_names(text: str) -> str:
    """Return an error of the command line with the names that its options have here."""
    return re.sub(r"(?<![\w-])--(?=(report|revision)\b)", "--fg-", text)


def _blocks(report: Report) -> bool:
    from fidelity_gate.wording import blocks

    return blocks(report)
