"""`fidelity-gate policy explain`: what one check of a policy means."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from fidelity_gate.text import printable
from fidelity_gate.verbs.policy_files import sound
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.differing import Side

WIDTH = 100
LABEL = 13  # columns

EPILOG = """\b
Examples:
  fidelity-gate policy explain release.gate.yaml
  fidelity-gate policy explain release.gate.yaml carry-fidelity
  fidelity-gate policy explain release.gate.yaml same-answers --probes 1000
"""


@click.command(epilog=EPILOG)
@click.argument("path", metavar="FILE")
@click.argument("names", nargs=-1, metavar="[CHECK]...")
@click.option("--probes", type=click.IntRange(1, 10_000_000), help="For so many probes, instead of minimum_probes.")
def explain(*, path: str, names: tuple[str, ...], probes: int | None) -> None:
    """Say what a check measures, on what, how finely, and what would fail it; every check where none is named."""
    from fidelity_gate.errors import UsageError
    from fidelity_gate.policy.comparing_checks import by_id
    from fidelity_gate.registry import unknown

    side, _ = sound(path)
    checks = by_id(side.checks)
    for name in names:
        if name not in checks:
            raise unknown(name, checks, what="no check is named", where=path, field="CHECK", kind=UsageError)
    chosen = names or tuple(checks)
    write_stdout("\n".join(_explained(side, checks[name], probes) for name in chosen))


def _explained(side: Side, resolved: Sequence[Resolved], probes: int | None) -> str:
    from fidelity_gate.policy.explaining import Subject, facts

    check = resolved[0].check
    subject = Subject(side, resolved, probes or side.policy.minimum_probes)
    lines = [f"{check.id}  ({printable(str(check.place))})"]
    before = ""
    for label, text in [*_metric(resolved[0]), *facts(subject), ("page", _page(resolved[0]))]:
        head = "" if label == before else label
        lines += _wrapped(head, text)
        before = label
    return "".join(f"{line}\n" for line in lines)


def _metric(resolved: Resolved) -> Iterator[tuple[str, str]]:
    """Yield what the metric says of itself."""
    from fidelity_gate.analysis.explaining import attributes_of, documented

    check, kind = resolved.check, type(resolved.plug)
    summary, _ = documented(kind)
    yield "measures", f"{check.metric}: {summary}"
    told = attributes_of(kind)
    for name, value in check.options:
        if value not in ("", None):
            yield "options", f"{name}={value}: {told.get(name, '')}".rstrip(": ")


def _page(resolved: Resolved) -> str:
    """Return where a metric is documented; metrics of other packages have their own places."""
    module = type(resolved.plug).__module__
    return f"docs/metrics/{resolved.check.metric}.md" if module.startswith("fidelity_gate.") else f"of {module}"


def _wrapped(label: str, text: str) -> list[str]:
    indent = " " * (LABEL + 2)
    return textwrap.wrap(
        printable(text, 1000),
        WIDTH,
        initial_indent=f"  {label.ljust(LABEL)}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
