"""JUnit XML that every reader shows as the verdict is: flat, unique, escaped, read back before it is believed.

Readers hide failures in different ways (nested suites, two outcomes in a case, equal names, errors without failures),
so blocking outcomes are always one `<failure>` with a message and a body, and every report has a `gate.verdict` case.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import ExitCode, Internal
from fidelity_gate.records import Outcome
from fidelity_gate.text import printable
from fidelity_gate.wording import (
    blocks,
    detail_of,
    device_of,
    finding_lines,
    findings_behind,
    headline,
    told_of,
    verdict_line,
    worst_probe_of,
)

if TYPE_CHECKING:
    from junit_xml import TestCase

    from fidelity_gate.records import CheckResult, Report

FAILURE_TYPES = {
    Outcome.FAIL: "check",
    Outcome.REFUSED: "refused",
    Outcome.NOT_MEASURED: "not-measured",
    Outcome.INCONCLUSIVE: "not-measured",
    Outcome.INTERNAL: "internal",
}
VERDICT_TYPES = {
    ExitCode.FAILED: "check",
    ExitCode.REFUSED: "refused",
    ExitCode.UNDECIDED: "not-measured",
    ExitCode.INTERNAL: "internal",
}
VERDICT_CASE = "gate.verdict"
ID_LIMIT = 120
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class JUnit:
    """One case a check, and `gate.verdict`. `strict` leaves out what Jenkins' schema has no word for (file, line)."""

    strict: bool = False
    suffix: ClassVar[str] = ".xml"

    def render(self, report: Report) -> str:
        """Return the XML document; raises Internal where reading it back does not give the verdict."""
        from junit_xml import TestSuite

        verdict = report.verdict
        name = _id(verdict.policy_name or "fidelity-gate")
        cases = [_check_case(name, result, report) for result in verdict.results if result.outcome is not Outcome.OFF]
        cases = _unique([*cases, _verdict_case(name, report)])
        if self.strict:
            for case in cases:
                case.file = case.line = None
        suite = TestSuite(name, cases, timestamp=_timestamp(report.created))
        text = _document(suite.build_xml_doc())
        _read_back(text, report)
        return text


def _check_case(suite: str, result: CheckResult, report: Report) -> TestCase:
    from junit_xml import TestCase

    parts = [suite, *(_id(part) for part in (result.candidate, result.check.target) if part)]
    place = result.check.place
    case = TestCase(_id(result.check.id), ".".join(parts), file=_path(place.file), line=place.line or None)
    said = printable(headline(result), 1000)
    if result.outcome in FAILURE_TYPES:
        case.add_failure_info(said, _body(result, said, report), FAILURE_TYPES[result.outcome])
    elif result.outcome is Outcome.WAIVED:
        case.add_skipped_info(said)
    else:
        told = printable(told_of(report, result), 2000) if device_of(result) else said
        case.stdout = f"WARN {told}" if result.outcome is Outcome.WARN else told
    return case


def _body(result: CheckResult, said: str, report: Report) -> str:
    check, detail = result.check, detail_of(report, result)
    facts = [f"metric {check.metric}", *(f"{name} {value}" for name, value in check.options)]
    facts += [f"aggregate {check.aggregate.value}"] if check.aggregate else []
    worst = worst_probe_of(report, result)
    facts += [f"worst probe {worst}"] if worst is not None else []
    facts += [f"measured {detail}"] if detail else []
    facts += [f"required {check.bound.text}"] if check.bound.text else []
    facts += [f"policy {check.place}"] if check.place.file else []
    facts += finding_lines(findings_behind(report, result))
    return "\n".join([said, *(printable(fact, 1000) for fact in facts)])


def _verdict_case(suite: str, report: Report) -> TestCase:
    from junit_xml import TestCase

    case = TestCase(VERDICT_CASE, suite, file=_path(report.policy.path) if report.policy else None)
    said = printable(verdict_line(report), 1000)
    if blocks(report):
        kind = FAILURE_TYPES.get(report.error_kind, "internal") if report.error_kind else _verdict_type(report)
        case.add_failure_info(said, said, kind)
    else:
        case.stdout = said
    return case


def _verdict_type(report: Report) -> str:
    code = report.verdict.exit_code
    return VERDICT_TYPES.get(ExitCode(code), "internal") if code in set(ExitCode) else "internal"


def _unique(cases: list[TestCase]) -> list[TestCase]:
    """Number every second case of one name: readers keep only one of two equal cases, and not the failing one."""
    seen: set[tuple[str, str]] = set()
    for case in cases:
        name, count = case.name, 1
        while (case.classname, case.name) in seen:
            count += 1
            case.name = f"{name}.{count}"
        seen.add((case.classname, case.name))
    return cases


def _id(text: str) -> str:
    """Return a name that every reader takes: ASCII, without `::` and spaces, never empty."""
    return _NOT_IN_IDS.sub("_", text)[:ID_LIMIT] or "_"


def _path(path: str) -> str | None:
    return printable(path, 1000) if path else None


def _timestamp(created: str) -> str | None:
    return printable(created[:19]) if created else None


def _document(suite: ElementTree.Element) -> str:
    """Serialise strictly: junit-xml's own writer adds an attribute no schema knows, and passes bad characters on."""
    suite.attrib.pop("disabled", None)
    suite.set("time", "0.000")
    root = ElementTree.Element(
        "testsuites", {key: suite.get(key, "0") for key in ("tests", "failures", "errors")} | {"time": "0.000"}
    )
    root.append(suite)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    if _NOT_IN_XML.search(text):
        raise Internal("a character that XML cannot hold was not escaped", field="junit")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _read_back(text: str, report: Report) -> None:
    """Raise unless a reader of `text` sees exactly the failures of the verdict, under names it can tell apart."""
    root = ElementTree.fromstring(text)  # noqa: S314  (our own text, from a line above)
    cases = list(root.iter("testcase"))
    blocking = sum(result.outcome in FAILURE_TYPES for result in report.verdict.results) + blocks(report)
    shown = [failure for case in cases for failure in case.findall("failure")]
    names = {(case.get("classname"), case.get("name")) for case in cases}
    told = all((failure.get("message") or "").strip() and (failure.text or "").strip() for failure in shown)
    if len(shown) != blocking or root.get("failures") != str(blocking) or len(names) != len(cases) or not told:
        raise Internal("the JUnit report does not say what the verdict says", field="junit")
