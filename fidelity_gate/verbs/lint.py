"""`fidelity-gate lint`: known mistakes in compressed models, from their files alone; nothing runs."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from fidelity_gate import __version__
from fidelity_gate.errors import ExitCode, PolicyError, UsageError
from fidelity_gate.records import LintReport, LintSettings, Severity
from fidelity_gate.verbs.orders import ReportDesk, deliver, now, parse_orders
from fidelity_gate.verbs.reporting import ReportingCommand, report_option
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from fidelity_gate.analysis.linting import ChosenRule
    from fidelity_gate.errors import GateError
    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import LintedModel, Options, Policy, Scalar, Target
    from fidelity_gate.verbs.lint_models import Given

EPILOG = """\b
Examples:
  fidelity-gate lint candidate.onnx
  fidelity-gate lint build/ --reference ref.safetensors --target mcu-4mb
  fidelity-gate lint --policy release.yaml --report terminal --report sarif:lint.sarif
  fidelity-gate lint candidate.onnx --select FG2 --ignore FG204 --severity FG2=error
  fidelity-gate lint --explain FG201

Folders are searched for .onnx, .safetensors, .pt, .pth and .ckpt files, for .bin files that are models, and for step_N.
A rule that lacks something (a reference, a target, a graph) is skipped and named.

Exit codes: 0 nothing as severe as --fail-on, 1 something is, 2 a model or the command line was refused, 3 no rule
could look at a model, 4 a bug of this tool. The worst of all models wins: 4, 2, 1, 3.
"""
ROOM = "reports.lint"
LEVELS = tuple(severity.value for severity in Severity)
POLICYS_OWN = ("select", "ignore", "severities", "options", "targets")


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, but for what only says where reports go."""

    models: tuple[str, ...]
    policy: str | None
    reference: str | None
    pairs: tuple[str, ...]
    targets: tuple[str, ...]
    select: tuple[str, ...]
    ignore: tuple[str, ...]
    severities: tuple[str, ...]
    options: tuple[str, ...]
    fail_on: Severity


@click.command(cls=ReportingCommand, room=ROOM, epilog=EPILOG)
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option("--policy", metavar="FILE", help="Take rules, targets, depths and reference from it, and its candidates.")
@click.option("--reference", metavar="PATH", help="What the models are held against, for drift.")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="A device class that ships; repeatable.")
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules: FG201, or FG2 for all scales.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these; the longer prefix wins.")
@click.option("--severity", "severities", multiple=True, metavar="CODE=LEVEL", help="error, warn or off; repeatable.")
@click.option("--option", "options", multiple=True, metavar="CODE.NAME=VALUE", help="A threshold; repeatable.")
@click.option("--model", "pairs", multiple=True, metavar="KEY=VALUE", help="A fact that the files lack; repeatable.")
@click.option(
    "--fail-on", type=click.Choice(LEVELS[1:]), default="error", show_default=True, help="What makes the exit code 1."
)
@report_option(ROOM)
@click.option("--list", "as_list", is_flag=True, help="List the rules, and look at nothing.")
@click.option("--explain", metavar="CODE", help="Say everything about one rule, and look at nothing.")
def lint(
    *,
    reports: tuple[str, ...],
    as_list: bool,
    explain: str | None,
    fail_on: str,
    **given: tuple[str, ...] | str | None,
) -> int:
    """Find known mistakes in compressed models: the files MODEL, and every model in folders."""
    from fidelity_gate.analysis.linting import chosen_rules

    asked = Asked(fail_on=Severity(fail_on), **given)  # type: ignore[arg-type]  # the same names, from click
    if explain is not None or as_list:
        from fidelity_gate.verbs.lint_rules import explained, listed

        rules = () if explain else chosen_rules(settings_of(asked), kind=UsageError)
        write_stdout((explained(explain) if explain is not None else listed(rules)) + "\n")
        return int(ExitCode.PASSED)
    orders = parse_orders(reports, keep=(*asked.models, asked.policy or "", asked.reference or ""), room=ROOM)
    with LintDesk(orders, fail_on=asked.fail_on) as desk:
        with contextlib.redirect_stdout(sys.stderr):  # whatever libraries print does not belong in a report
            models = _looked_at(asked, desk)
        return desk.close(models)


@dataclass(slots=True)
class LintDesk(ReportDesk):
    """Where lint leaves its reports.

    Attributes:
        fail_on: the least severe finding that makes the exit code 1.
        policy: set as soon as it is known, so that reports of a refusal can name it.
        rules: set as soon as they are known.
    """

    fail_on: Severity = Severity.ERROR
    policy: Policy | None = None
    rules: tuple[ChosenRule, ...] = ()

    def stopped(self, failure: GateError) -> LintReport:
        """Return the report of linting that came to nothing."""
        return self._report((), int(failure.exit_code), str(failure), error=str(failure))

    def close(self, models: tuple[LintedModel, ...]) -> int:
        """Deliver the report of everything that was looked at, and return its exit code."""
        from fidelity_gate.analysis.concluding import sentence, worst

        report = self._report(models, int(worst(model.exit_code for model in models)), sentence(models, self.fail_on))
        deliver(self.orders, report)
        if all(order.to_file for order in self.orders):
            for model in models:
                if model.error:
                    click.echo(f"fidelity-gate: error: {model.error}", err=True)
        return report.exit_code

    def _report(self, models: tuple[LintedModel, ...], code: int, reason: str, error: str = "") -> LintReport:
        from fidelity_gate.analysis.explaining import facts_of

        return LintReport(
            models=models,
            rules=tuple(facts_of(chosen.rule, chosen.severity) for chosen in self.rules),
            fail_on=self.fail_on,
            exit_code=code,
            reason=reason,
            tool_version=__version__,
            policy_name=self.policy.name if self.policy else "",
            policy_path=self.policy.path if self.policy else "",
            created=now(),
            error=error,
        )


def _looked_at(asked: Asked, desk: LintDesk) -> tuple[LintedModel, ...]:
    """Return what was found in every model, to the last; raises what concerns all of them."""
    from fidelity_gate.analysis.linting import chosen_rules
    from fidelity_gate.verbs.lint_models import Bench, looked_at

    if asked.policy is None:
        desk.rules = chosen_rules(settings_of(asked), kind=UsageError)
    else:
        desk.policy = _policy(asked)
        desk.rules = chosen_rules(desk.policy.lint, kind=PolicyError)
    if not desk.rules:
        raise UsageError("these settings leave no rule to look with", hint="--list shows the rules")
    given = _given(asked, desk.policy)
    bench = Bench(desk.rules, asked.fail_on, _reference(asked, desk.policy))
    return tuple(looked_at(one, bench) for one in given)


def settings_of(asked: Asked) -> LintSettings:
    """Return the command line's own choice of rules.

    Raises:
        UsageError: a severity or an option that is not written as they are.
    """
    return LintSettings(
        select=_codes(asked.select),
        ignore=_codes(asked.ignore),
        severity=tuple(sorted(_severity(text) for text in asked.severities)),
        options=_options(asked.options),
    )


def _codes(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(code.strip() for text in texts for code in text.split(","))


def _severity(text: str) -> tuple[str, Severity]:
    code, equals, level = text.partition("=")
    if not equals or level not in LEVELS:
        raise UsageError(f"'{text}' is not CODE=LEVEL", field="--severity", hint=f"FG201={' or '.join(LEVELS)}")
    return code, Severity(level)


def _options(texts: tuple[str, ...]) -> tuple[tuple[str, Options], ...]:
    """Return `CODE.NAME=VALUE` by code."""
    from fidelity_gate.verbs.given_model import scalar

    found: dict[str, dict[str, Scalar]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        code, dot, name = key.partition(".")
        if not equals or not dot:
            raise UsageError(f"'{text}' is not CODE.NAME=VALUE", field="--option", hint="--option FG201.bits=4")
        if name in found.setdefault(code, {}):
            raise UsageError("given twice", field=f"--option {key}")
        found[code][name] = scalar(value)
    return tuple((code, tuple(sorted(options.items()))) for code, options in sorted(found.items()))


# ---------------------------------------------------------------- models, targets, reference


def _policy(asked: Asked) -> Policy:
    """Return the policy; it may lack a reference and inputs, and candidates where models are given."""
    from fidelity_gate.files import read_file
    from fidelity_gate.policy.loading import Overrides, examine
    from fidelity_gate.policy.yaml_reader import LIMIT_BYTES
    from fidelity_gate.zoo.paths import resolve

    path = str(asked.policy)
    for name in POLICYS_OWN:
        if getattr(asked, name):
            option = "--severity" if name == "severities" else f"--{name.removesuffix('s')}"
            raise UsageError(
                "is for the policy to say", field=option, hint="change its lint: block, or leave out --policy"
            )
    data = read_file(path, limit_bytes=LIMIT_BYTES, kind=PolicyError).data
    examined = examine(data, path, Overrides(asked.reference))
    if examined.policy is None:
        raise next(iter(examined.problems), PolicyError("cannot be used", where=path))
    if not asked.models and not examined.policy.candidates:
        raise PolicyError("names no candidates", where=path, field="candidates", hint="name the models to look at")
    return resolve(examined.policy)


def _given(asked: Asked, policy: Policy | None) -> tuple[Given, ...]:
    """Return the models to look at: those of the command line, else the policy's candidates."""
    from fidelity_gate.verbs.lint_models import from_paths, from_policy

    if asked.models:
        targets = _targets(asked.targets) if policy is None else policy.targets
        depth = policy.recursion if policy else None
        return tuple(replace(one, targets=targets, depth=depth) for one in from_paths(asked.models, asked.pairs))
    if policy is None:
        raise UsageError("no model was given", field="MODEL", hint="name files or folders, or --policy")
    return tuple(from_policy(policy))


def _targets(names: tuple[str, ...]) -> tuple[Target, ...]:
    from fidelity_gate.policy.targets import SHIPPED
    from fidelity_gate.registry import unknown

    for name in names:
        if name not in SHIPPED:
            raise unknown(name, SHIPPED, what="no target ships that is named", field="--target", kind=UsageError)
    return tuple(SHIPPED[name] for name in dict.fromkeys(names))


def _reference(asked: Asked, policy: Policy | None) -> Subject | None:
    """Return the reference, where the command line or the policy names one."""
    from fidelity_gate.verbs.given_model import given_model
    from fidelity_gate.verbs.lint_models import reference_of

    if policy is not None:
        return reference_of(policy.reference, policy.recursion) if policy.reference.path else None
    return reference_of(given_model(asked.reference, ())) if asked.reference else None
