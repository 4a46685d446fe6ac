"""`fidelity-gate policy test`: does a policy make of some figures what its authors expect?"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import ExitCode, GateError, PolicyError, UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.policy_files import counted, expectations_in, sound
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.expecting import Expectations
    from fidelity_gate.records import CheckResult, Policy, Verdict

EPILOG = """\b
Examples:
  fidelity-gate policy test
  fidelity-gate policy test policies/tests/release.expect.yaml
  fidelity-gate policy test policies/

\b
A file of expectations (*.expect.yaml) names a policy, gives figures, and says what should become of each check:
  apiVersion: fidelity-gate/expect-v1
  policy: release.gate.yaml
  cases:
    one-lost-puzzle:
      figures: {carry_fidelity: [{value: 0.99, probes: 99}, {value: 0.1, probes: 1}], answer_agreement: 99 %}
      expect: {exit: 0, checks: {same-answers: pass}}

Exit codes: 0 all as expected, 1 something else came out, 2 a file or its policy is wrong.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one case: the lines that say what is not as expected."""

    place: str
    name: str
    differences: tuple[str, ...]


@click.command(name="test", epilog=EPILOG)
@click.argument("paths", nargs=-1, metavar="[FILE_OR_FOLDER]...")
@click.option("-k", "pattern", metavar="TEXT", help="Only cases with this in their name.")
def test(*, paths: tuple[str, ...], pattern: str | None) -> int:
    """Judge the cases of expectation files, one line a case; folders are searched, the working folder by default.

    No model is read and nothing is run: the figures are the file's own, or a saved measurement's.
    """
    files = [file for path in paths or (".",) for file in expectations_in(path)]
    outcomes, errors = [], 0
    for file in files:
        try:
            for outcome in _outcomes(file, pattern or ""):
                outcomes.append(outcome)
                write_stdout(_line(outcome))
        except GateError as error:
            errors += 1
            write_stdout(f"error: {error}\n")
    wrong = sum(bool(outcome.differences) for outcome in outcomes)
    if not outcomes and not errors:
        raise UsageError("no case has that in its name", field="-k", hint="without -k all are judged")
    write_stdout(f"{counted(len(outcomes), 'case')}: {len(outcomes) - wrong} as expected, {wrong} not")
    write_stdout(f"; {counted(errors, 'error')}\n" if errors else "\n")
    return int(ExitCode.REFUSED if errors else ExitCode.FAILED if wrong else ExitCode.PASSED)


def _outcomes(file: str, pattern: str) -> Iterator[Outcome]:
    from fidelity_gate.files import read_file
    from fidelity_gate.policy.expecting import read_expectations
    from fidelity_gate.policy.yaml_reader import LIMIT_BYTES

    expectations = read_expectations(read_file(file, limit_bytes=LIMIT_BYTES, kind=PolicyError).data, file)
    try:
        side, _ = sound(expectations.policy)
    except GateError as error:
        if error.where != expectations.policy:  # a line of the policy, or of its bases
            raise
        place = expectations.places.place(("policy",))
        what = f"{expectations.policy}: {error.what}"
        raise PolicyError(what, where=str(place), field="policy", hint=error.hint) from error
    for name in expectations.block.cases:
        if pattern in name:
            yield Outcome(str(expectations.place(name)), name, tuple(_differences(expectations, name, side)))


def _line(outcome: Outcome) -> str:
    head = "FAIL" if outcome.differences else "ok  "
    lines = [f"{head}  {printable(outcome.place)}: {outcome.name}"]
    lines += [f"        {printable(line, 300)}" for line in outcome.differences]
    return "".join(f"{line}\n" for line in lines)


def _differences(expectations: Expectations, case: str, side: Side) -> Iterator[str]:
    """Yield what is not as the case expects."""
    from fidelity_gate.policy.expecting import expected
    from fidelity_gate.records import Outcome as Became
    from fidelity_gate.wording import headline, subject

    policy, verdict, error = _verdict(expectations, case, side)
    wanted = expected(expectations, case, policy)
    expect = expectations.block.cases[case].expect
    code = verdict.exit_code if verdict else int(error.exit_code) if error else int(ExitCode.INTERNAL)
    if code != expect.exit:
        yield f"exit: expected {expect.exit}, got {code} ({error or (verdict.reason if verdict else '')})"
    found = {(one.check.id, one.check.target, one.candidate): one for one in (verdict.results if verdict else ())}
    for key, (outcome, _) in wanted.items():
        became = found.get(key)
        if became is None or became.outcome != outcome:
            said = f"got {became.outcome} ({headline(became)})" if became else "was not judged"
            yield f"{key[0]} {subject(key[2], key[1])}: expected {outcome}, {said}"
    for key, became in found.items():
        if key not in wanted and expect.others and became.outcome not in (expect.others, Became.OFF):
            yield f"{_of(became)}: expected {expect.others} like all others, got {became.outcome} ({headline(became)})"


def _of(result: CheckResult) -> str:
    from fidelity_gate.wording import subject

    return f"{result.check.id} {subject(result.candidate, result.check.target)}"


def _verdict(expectations: Expectations, case: str, side: Side) -> tuple[Policy, Verdict | None, GateError | None]:
    """Return the policy as it was judged, and the verdict, or what the judge refused."""
    from fidelity_gate.judge import judge
    from fidelity_gate.policy.expected_figures import completed, measurements_of
    from fidelity_gate.policy.expecting import day_of

    block = expectations.block.cases[case]
    if block.measurements is not None:
        return _saved(expectations, case, block.measurements)
    policy = completed(side.policy, expectations)
    measured = measurements_of(expectations, case, side, policy)
    day = day_of(expectations, case, policy)
    try:
        return policy, judge(policy, measured, day=day), None
    except GateError as error:
        return policy, None, error


def _saved(expectations: Expectations, case: str, path: str) -> tuple[Policy, Verdict | None, GateError | None]:
    from fidelity_gate import measurements_file
    from fidelity_gate.policy.expecting import day_of
    from fidelity_gate.verbs.stages import judged, prepare_for

    block = expectations.block.cases[case]
    if block.figures or block.figures_of or block.probes or block.noise_floor is not None or block.digests:
        where = str(expectations.places.place(("cases", case, "measurements"), key=True))
        raise PolicyError("a case has measurements or figures, not both", where=where, hint="remove one of them")
    measured = measurements_file.read(os.path.normpath(os.path.join(expectations.folder, path)))  # noqa: PTH118
    policy = prepare_for(expectations.policy, measured)
    day = day_of(expectations, case, policy)
    try:
        return policy, judged(policy, measured, day).verdict, None
    except GateError as error:
        return policy, None, error
