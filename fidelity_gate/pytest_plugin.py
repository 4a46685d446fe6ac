"""Door 2, pytest: `pytest --fidelity-gate` collects `*.gate.yaml`, one test a check and candidate, and `gate.verdict`.

Inert until it is asked for, and then nothing is imported before a policy is collected. A policy is measured once, when
the first of its tests is set up; every test only shows its part of the one verdict, so that no rerun of a test measures
again. The verdict cannot be deselected: whatever `-k` or `-m` leave out, it is run, and fails for what is missing.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any, NoReturn

    from fidelity_gate.errors import GateError
    from fidelity_gate.records import Check, CheckResult, Policy, Report

OPTION = "--fidelity-gate"
FILES_INI = "fg_files"
DEFAULT_FILES = "*.gate.yaml"
VERDICT = "gate.verdict"
_GATES = pytest.StashKey["list[GateFile]"]()


class FidelityGateWarning(pytest.PytestWarning):
    """A check of severity "warn" was missed."""


# ---------------------------------------------------------------- hooks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options; none of them changes a threshold."""
    group = parser.getgroup("fidelity-gate", "fidelity-gate: release gates for compressed recursive models")
    group.addoption(OPTION, action="store_true", help=f"collect release policies ({DEFAULT_FILES}) as tests")
    group.addoption("--fg-reference", metavar="PATH", help="the reference model, instead of the policy's")
    group.addoption(
        "--fg-candidate", action="append", default=[], metavar="NAME=PATH", help="a candidate's file; repeatable"
    )
    group.addoption("--fg-inputs", metavar="PATH", help="the file of probes, instead of the policy's")
    group.addoption("--fg-measurements", metavar="FILE", help="judge what was measured earlier; nothing is run")
    group.addoption(
        "--fg-keep-going", action="store_true", help="run the models even where the files alone fail a check already"
    )
    group.addoption("--fg-allow-code", action="store_true", help="run Python that the policy names (hooked models)")
    parser.addini(FILES_INI, "names of policy files to collect", type="args", default=[DEFAULT_FILES])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a policy where the gate was asked for."""
    if not parent.config.getoption(OPTION):
        return None
    if not any(fnmatch.fnmatch(file_path.name, pattern) for pattern in parent.config.getini(FILES_INI)):
        return None
    gate = GateFile.from_parent(parent, path=file_path)
    parent.config.stash.setdefault(_GATES, []).append(gate)
    return gate


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep every verdict, and tell it which checks of its policy will not be run; refuse to gate nothing."""
    if not session.config.getoption(OPTION) or session.testsfailed:
        return
    # pytest makes nodes for the neighbours of a file that was asked for too, and collects nothing from them.
    gates = [gate for gate in session.config.stash.get(_GATES, []) if gate.verdict is not None]
    if not gates:
        patterns = " or ".join(session.config.getini(FILES_INI))
        raise pytest.UsageError(f"{OPTION}: no policy named {patterns} was collected")
    for gate in gates:
        gate.keep_verdict(session.items)


# ---------------------------------------------------------------- nodes


class GateFile(pytest.File):
    """One policy: loaded when it is collected, measured and judged once."""

    policy: Policy
    checks: tuple[CheckItem, ...] = ()
    verdict: VerdictItem | None = None
    _report: Report | None = None
    _stopped: GateError | None = None

    def collect(self) -> Iterable[pytest.Item]:
        """Return one item for every check and candidate, and the verdict."""
        from fidelity_gate.errors import GateError
        from fidelity_gate.matching import pairs
        from fidelity_gate.records import Severity

        try:
            self.policy = self._load()
        except GateError as error:
            raise self.CollectError(f"fidelity-gate: error: {error}") from None
        judged = [(check, candidate) for check, candidate in pairs(self.policy) if check.severity is not Severity.OFF]
        names = _distinct([_name(check, candidate) for check, candidate in judged])
        self.checks = tuple(
            CheckItem.from_parent(self, name=name, check=check, candidate=candidate)
            for name, (check, candidate) in zip(names, judged, strict=True)
        )
        self.verdict = VerdictItem.from_parent(self, name=VERDICT)
        return [*self.checks, self.verdict]

    def keep_verdict(self, items: list[pytest.Item]) -> None:
        """Put the verdict back where it was deselected, and tell it which checks were."""
        if self.verdict is None:
            return
        self.verdict.deselected = tuple(check.name for check in self.checks if check not in items)
        if self.verdict not in items:
            items.append(self.verdict)

    def report(self) -> Report:
        """Return the report, measured and judged at the first call; raises the same GateError at every call."""
        from fidelity_gate.errors import GateError

        if self._stopped is not None:
            raise self._stopped
        if self._report is None:
            try:
                self._report = self._judged()
            except GateError as error:
                self._stopped = error
                raise
        return self._report

    def _load(self) -> Policy:
        from fidelity_gate import measurements_file
        from fidelity_gate.verbs import stages

        option = self.config.getoption
        if option("--fg-measurements"):
            return stages.prepare_for(str(self.path), measurements_file.read(option("--fg-measurements")))
        return stages.prepare(
            str(self.path),
            reference=option("--fg-reference"),
            candidates=tuple(option("--fg-candidate")),
            inputs=option("--fg-inputs"),
        )

    def _judged(self) -> Report:
        from fidelity_gate import measurements_file
        from fidelity_gate.verbs import stages

        option = self.config.getoption
        if option("--fg-measurements"):
            return stages.judged(self.policy, measurements_file.read(option("--fg-measurements")))
        measured = stages.measure(
            self.policy, allow_code=option("--fg-allow-code"), keep_going=option("--fg-keep-going")
        )
        return stages.judged(self.policy, measured)


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
        from fidelity_gate.errors import GateError

        stopped: GateError
        try:
            return self.gate.report()
        except GateError as error:
            stopped = error
        # Out here, or pytest would show the error twice.
        return _fail(f"{self.name}: {stopped}")


class CheckItem(_GateItem):
    """One check for one candidate."""

    def __init__(self, *, check: Check, candidate: str, **rest: Any) -> None:  # noqa: ANN401  (pytest's own)
        super().__init__(**rest)
        self.check = check
        self.candidate = candidate

    def setup(self) -> None:
        """Measure, if nobody has; a check that could not be judged is an error, not a failure."""
        from fidelity_gate.records import Outcome
        from fidelity_gate.wording import headline

        result = self._result()
        if result.outcome is Outcome.WAIVED:
            pytest.skip(_line(headline(result)))
        if result.outcome not in (Outcome.PASS, Outcome.WARN, Outcome.FAIL):
            _fail(headline(result))

    def runtest(self) -> None:
        """Show what the judge found."""
        from fidelity_gate.records import Outcome
        from fidelity_gate.wording import headline

        result = self._result()
        if result.outcome is Outcome.WARN:
            self.warn(FidelityGateWarning(_line(headline(result))))
        elif result.outcome is not Outcome.PASS:
            _fail("\n".join([headline(result), *_details(result), *_findings(self.reported(), result)]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        """Return the one line of a warning that the session turns into an error."""
        if isinstance(excinfo.value, FidelityGateWarning):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the check stands in its policy."""
        return self.path, self.check.place.line - 1 if self.check.place.line else None, self.name

    def _result(self) -> CheckResult:
        wanted = (self.check.id, self.check.target, self.candidate)
        results = self.reported().verdict.results
        found = [one for one in results if (one.check.id, one.check.target, one.candidate) == wanted]
        return found[0] if found else _fail(f"{self.name}: nothing was judged")


class VerdictItem(_GateItem):
    """The verdict of the whole policy; it fails too when a check was deselected, because then it was not shown."""

    deselected: tuple[str, ...] = ()

    def runtest(self) -> None:
        """Fail unless the policy passed and all of it was run."""
        from fidelity_gate.wording import blocks, verdict_line

        report = self.reported()
        if blocks(report):
            _fail(verdict_line(report))
        if self.deselected:
            names = ", ".join(self.deselected)
            _fail(f"{VERDICT}: {len(self.deselected)} of {len(self.gate.checks)} checks were deselected: {names}")

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the policy."""
        return self.path, None, self.name


# ---------------------------------------------------------------- helpers


def _name(check: Check, candidate: str) -> str:
    """Return `carry-fidelity[int4-soc-8mb]`: ids alone, nothing that a shell or a JUnit reader stumbles over."""
    return f"{check.id}[{'-'.join(part for part in (candidate, check.target) if part)}]"


def _distinct(names: list[str]) -> list[str]:
    """Number every second item of one name (`a-b` for `c`, and `a` for `b-c`), so that each can be selected."""
    return [f"{name}.{names[: at + 1].count(name)}" if name in names[:at] else name for at, name in enumerate(names)]


def _details(result: CheckResult) -> list[str]:
    worst = [f"worst probe: {result.worst_probe}"] if result.worst_probe is not None else []
    bound = [f"required: {result.check.bound.text}"] if result.check.bound.text else []
    return [*bound, *worst]


def _findings(report: Report, result: CheckResult) -> list[str]:
    from fidelity_gate.wording import finding_lines, findings_behind

    return finding_lines(findings_behind(report, result))


def _line(text: str) -> str:
    from fidelity_gate.text import printable

    return printable(text, 1000)


def _fail(text: str) -> NoReturn:
    """End the test with this text and no traceback: there is nothing in our code to look at."""
    pytest.fail("\n".join(_line(line) for line in text.splitlines()), pytrace=False)
