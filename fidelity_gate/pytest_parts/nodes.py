"""The nodes of a policy: its file, a test for every check and candidate, and `gate.verdict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from fidelity_gate.errors import GateError, UsageError
from fidelity_gate.pytest_parts.asking import Gated, source_of
from fidelity_gate.pytest_parts.common import VERDICT, FidelityGateWarning
from fidelity_gate.pytest_parts.judging import judging_of
from fidelity_gate.pytest_parts.telling import (
    check_properties,
    distinct,
    failure_lines,
    first_line,
    item_name,
    one_line,
    title,
    verdict_lines,
    verdict_properties,
)
from fidelity_gate.records import Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path
    from typing import Any

    from fidelity_gate.pytest_parts.asking import Source
    from fidelity_gate.records import Check, CheckResult, Report


class GateFile(pytest.File):
    """One policy: loaded when it is collected, measured and judged once."""

    checks: tuple[CheckItem, ...] = ()
    verdict: VerdictItem | None = None
    refused: str = ""  # why it could not be collected
    all: Sequence[GateFile] = ()  # of the session, this one too

    @property
    def source(self) -> Source:
        """Return the policy as the session's options have it."""
        return source_of(self.config, self.path)

    def collect(self) -> Iterable[pytest.Item]:
        """Return one item for every check and candidate, and the verdict."""
        from fidelity_gate.matching import pairs

        try:
            if twin := self._twin():
                what = f"its tests would have the names of those of {twin.source.policy}"
                hint = "rename one of both, or give a --rootdir that holds them"
                raise UsageError(what, where=self.source.policy, hint=hint)
            policy = judging_of(self.config).policy(self.source)
        except GateError as error:
            self.refused = str(error)
            raise self.CollectError(f"fidelity-gate: error: {error}") from None
        judged = [(check, candidate) for check, candidate in pairs(policy) if check.severity is not Severity.OFF]
        names = distinct([item_name(check, candidate) for check, candidate in judged])
        self.checks = tuple(
            CheckItem.from_parent(self, name=name, check=check, candidate=candidate)
            for name, (check, candidate) in zip(names, judged, strict=True)
        )
        self.verdict = VerdictItem.from_parent(self, name=VERDICT)
        return [*self.checks, self.verdict]

    def _twin(self) -> GateFile | None:
        """Return a policy that was collected, and whose tests pytest or a reader of JUnit could take for those of this.

        pytest leaves the folders out of the names of files outside of its root folder, and JUnit has dots for slashes.
        """
        others = (one for one in self.all if one.verdict is not None and one.path != self.path)
        return next((one for one in others if _case_of(one) == _case_of(self)), None)

    def gated(self) -> Gated:
        """Return what the process that began the session has to know of this policy."""
        if self.verdict is None:
            file = self.source.policy if self._twin() else self.nodeid
            return Gated(self.source, f"{file}::{VERDICT}", refused=self.refused)
        checks = tuple(check.nodeid for check in self.checks)
        return Gated(self.source, self.verdict.nodeid, checks, self.verdict.left_out)


class _GateItem(pytest.Item):
    """What both kinds of item share."""

    @property
    def gate(self) -> GateFile:
        """Return the policy's file."""
        if not isinstance(self.parent, GateFile):
            raise TypeError("an item of the gate belongs to a policy")
        return self.parent

    def reported(self) -> Report:
        """Return the report, or fail with the one line that says why there is none."""
        stopped: GateError
        try:
            return judging_of(self.config).report(self.gate.source)
        except GateError as error:
            stopped = error
        # Out here, or pytest would show the error twice.
        return fail(f"{self.name}: {stopped}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        """Return the one line of a warning that the session turns into an error."""
        if isinstance(excinfo.value, FidelityGateWarning):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def carry(self, properties: list[tuple[str, str]]) -> None:
        """Hand properties to whoever writes JUnit, once, however often the item is run."""
        known = {name for name, _ in self.user_properties}
        self.user_properties.extend((name, value) for name, value in properties if name not in known)


class CheckItem(_GateItem):
    """One check for one candidate."""

    def __init__(self, *, check: Check, candidate: str, **rest: Any) -> None:  # noqa: ANN401  (pytest's own)
        super().__init__(**rest)
        self.check = check
        self.candidate = candidate

    def setup(self) -> None:
        """Measure, if nobody has; a check that could not be judged is an error, not a failure."""
        report, result = self.reported(), self._result()
        self.carry(check_properties(report, result))
        if result.outcome is Outcome.WAIVED:
            pytest.skip(one_line(first_line(result)))
        if result.outcome not in (Outcome.PASS, Outcome.WARN, Outcome.FAIL):
            fail(first_line(result))

    def runtest(self) -> None:
        """Show what the judge found."""
        result = self._result()
        if result.outcome is Outcome.WARN:
            self.warn(FidelityGateWarning(one_line(first_line(result))))
        elif result.outcome is not Outcome.PASS:
            fail("\n".join(failure_lines(self.reported(), result)))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the check stands in its policy; the line counts from 0."""
        return self.path, max(0, self.check.place.line - 1), title(self.nodeid)

    def _result(self) -> CheckResult:
        wanted = (self.check.id, self.check.target, self.candidate)
        results = self.reported().verdict.results
        found = [one for one in results if (one.check.id, one.check.target, one.candidate) == wanted]
        return found[0] if found else fail(f"{self.name}: nothing was judged")


class Placing:
    """Says of a check that is skipped where it stands in its policy, and not where in our code pytest was told to."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the policy's line into the report, for `-rs` and JUnit."""
        report = yield
        if isinstance(item, CheckItem) and report.skipped and isinstance(report.longrepr, tuple):
            report.longrepr = (str(item.path), item.check.place.line, report.longrepr[2])
        return report


class VerdictItem(_GateItem):
    """The verdict of the whole policy; it fails too when a check was deselected, because then it was not shown."""

    left_out: tuple[str, ...] = ()

    def runtest(self) -> None:
        """Fail unless the policy passed and all of it was run."""
        from fidelity_gate.wording import blocks, simulated_note

        report = self.reported()
        self.carry(verdict_properties(report))
        if blocks(report):
            fail("\n".join(verdict_lines(report)))
        if self.left_out:
            names = ", ".join(self.left_out)
            fail(f"{VERDICT}: {len(self.left_out)} of {len(self.gate.checks)} checks were deselected: {names}")
        if note := simulated_note(report):
            self.warn(FidelityGateWarning(one_line(f"{VERDICT}: {note.lstrip('; ')}")))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the policy; a line too, because pytest wants one of whatever a mark skips."""
        return self.path, 0, title(self.nodeid)


def _case_of(gate: GateFile) -> str:
    return str(gate.nodeid).replace("/", ".")


def fail(text: str) -> NoReturn:
    """End the test with this text and no traceback: there is nothing in our code to look at."""
    pytest.fail("\n".join(one_line(line) for line in text.splitlines()), pytrace=False)
