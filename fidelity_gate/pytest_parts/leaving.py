"""Reports that a session leaves, `--fg-report TYPE[,OPTION=VALUE...][:DEST]`: the same as the command line's."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import UsageError

if TYPE_CHECKING:
    from fidelity_gate.pytest_parts.asking import Source
    from fidelity_gate.records import Report
    from fidelity_gate.verbs.orders import Order

OPTION = "--fg-report"
STEM = "fidelity-gate"
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Leaving:
    """Where a session leaves its reports.

    Attributes:
        orders: what was asked for.
        folders: those of the orders that name a folder, which holds a report for each policy.
    """

    orders: tuple[Order, ...] = ()
    folders: frozenset[str] = frozenset()

    def shown(self, report: Report) -> list[str]:
        """Return the reports without a destination, which are shown at the end of the session."""
        shown: list[Any] = [order.reporter for order in self.orders if not order.to_file]
        return [reporter.render(report) for reporter in shown]

    def refuse_sharing(self, policies: int) -> None:
        """Raise UsageError where the reports of several policies would go into one file."""
        single = [one.destination for one in self.orders if one.to_file and one.destination not in self.folders]
        if policies > 1 and single:
            what = f"one file cannot hold the reports of {policies} policies"
            raise UsageError(what, where=single[0], field=OPTION, hint="name a folder that exists")

    def clear(self) -> None:
        """Delete the reports of earlier sessions; raises ReportNotWritten where one cannot be."""
        from fidelity_gate.files import delete_stale

        for order in self.orders:
            if order.to_file:
                delete_stale(order.destination)
            if order.destination in self.folders:
                for stale in sorted(_glob(Path(order.destination))):
                    delete_stale(stale)

    def write(self, reports: dict[Source, Report]) -> None:
        """Write the reports of every policy.

        Raises:
            ReportNotWritten: one could not be written whole.
            UsageError: several policies, and a file for one.
        """
        from fidelity_gate.verbs.orders import deliver

        self.refuse_sharing(len(reports))
        for source, name in _names(list(reports)).items():
            orders = tuple(self._order_of(order, name) for order in self.orders if order.to_file)
            deliver(orders, reports[source])

    def _order_of(self, order: Order, name: str) -> Order:
        """Return an order for one policy: `fidelity-gate.xml` alone, `fidelity-gate.NAME.xml` among others."""
        if order.destination not in self.folders or not name:
            return order
        path = Path(order.destination)
        return replace(order, destination=str(path.with_name(f"{STEM}.{name}{path.suffix}")))


def leaving_of(texts: tuple[str, ...], keep: tuple[str, ...]) -> Leaving:
    """Return the reports that were asked for.

    Args:
        texts: as `--report` of the command line.
        keep: files that the session reads and no report may replace.

    Raises:
        UsageError: an unknown type or option, or two reports for one file.
    """
    if not texts:
        return Leaving()
    from fidelity_gate.verbs.orders import parse_orders

    orders = parse_orders(texts, keep=keep)
    named = [text.partition(":")[2] for text in texts]
    folders = {one.destination for one, name in zip(orders, named, strict=True) if name != one.destination}
    return Leaving(orders, frozenset(folders - {"-"}))


def _glob(path: Path) -> list[Path]:
    return [one for one in path.parent.glob(f"{STEM}.*{path.suffix}") if one.name != path.name]


def _names(sources: list[Source]) -> dict[Source, str]:
    """Return what tells the policies apart: "" for the only one, `gates-release` for gates/release.gate.yaml."""
    if len(sources) == 1:
        return {sources[0]: ""}
    found: dict[Source, str] = {}
    for source in sources:
        text = re.sub(r"(\.gate)?\.ya?ml$", "", source.policy)
        name, count = _NO_NAME.sub("-", text).strip("-")[-80:], 1
        unique = name
        while unique in found.values():
            count += 1
            unique = f"{name}.{count}"
        found[source] = unique
    return found
