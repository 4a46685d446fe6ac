"""Recorded profiles as tables for people, and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from fidelity_gate import record_json
from fidelity_gate.device_records.saved import UNSTATED, SavedProfile, age_text, fault, moment
from fidelity_gate.text import printable, quiet_json
from fidelity_gate.units import format_value
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.devices_budgets import figure, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fidelity_gate.device_findings import DeviceFinding
    from fidelity_gate.verbs.devices_budgets import Budget, Standing

NONE = "-"
SCHEMA = "fidelity-gate/device-record/v1"
_CELL = 60
_LINE = 600
_HEAD = (
    "model",
    "precision",
    "device",
    "OS",
    "runtime",
    "unit",
    "p50",
    "p90",
    "min",
    "one figure",
    "runs a step",
    "peak: process",
    "inference",
    "unnamed",
    "layers",
    "age",
)


def table(records: Sequence[SavedProfile], now: datetime) -> str:
    """Return the profiles as a table, times of one run; a column that says nothing of any of them is left out."""
    rows = [_HEAD, *(_row(record, now) for record in records)]
    kept = [at for at, title in enumerate(_HEAD) if title in _HEAD[:3] or any(row[at] != NONE for row in rows[1:])]
    return columns(tuple(row[at] for at in kept) for row in rows)


def evidence(records: Iterable[SavedProfile]) -> list[str]:
    """Return a line for every kind of evidence: what it is, how many profiles are, and from where."""
    counted: dict[tuple[str, str], int] = {}
    for record in records:
        key = record.label, record.source
        counted[key] = counted.get(key, 0) + 1
    return [printable(f"{count} {label}: {source}", _LINE) for (label, source), count in counted.items()]


def faults(records: Iterable[SavedProfile]) -> list[str]:
    """Return a line for every profile that is no evidence."""
    found = ((record, fault(record)) for record in records)
    return [printable(f"{record.name} on {record.device}: {wrong}", _LINE) for record, wrong in found if wrong]


def profile_text(record: SavedProfile) -> str:
    """Return one profile, a line a fact."""
    now = datetime.now().astimezone()
    pairs = [(title, cell) for title, cell in zip(_HEAD, _row(record, now), strict=True) if cell != NONE]
    extra = (
        ("evidence", record.label),
        ("job", record.job_url or record.job_id),
        ("graph", f"sha256 {record.graph_digest}" if record.graph_digest else ""),
        ("options", record.options),
    )
    return columns([*pairs, *((title, printable(text, _LINE)) for title, text in extra if text)])


def budget_text(budget: Budget, standings: Iterable[Standing]) -> str:
    """Return what became of one budget, a line a profile."""
    return "\n".join([budget.text, *(f"  {one.line}" for one in standings)])


def findings_text(findings: Iterable[DeviceFinding]) -> str:
    """Return the findings, a line each; "" where there are none."""
    lines = [f"  {finding.kind}  {printable(str(finding), _LINE)}" for finding in findings]
    return "\n".join(["findings", *lines]) if lines else ""


def as_json(
    records: Sequence[SavedProfile], standings: Sequence[Standing], findings: Iterable[DeviceFinding], now: datetime
) -> str:
    """Return all of it as JSON: seconds and bytes, raw."""
    told = {
        "records": [_plain(record, [one for one in standings if one.record is record], now) for record in records],
        "findings": [asdict(finding) for finding in findings],
    }
    return quiet_json(json.dumps(told, allow_nan=False, sort_keys=True, indent=2))


def _plain(record: SavedProfile, standings: Iterable[Standing], now: datetime) -> dict[str, object]:
    content: dict[str, object] = json.loads(record_json.dump(record, SCHEMA))
    budgets = [
        {"what": one.budget.what, "max": one.budget.limit, "observed": one.observed, "met": one.met, "told": one.told}
        for one in standings
    ]
    days = _days(record, now)
    return content | {"age_days": days, "label": record.label, "fault": fault(record), "budgets": budgets}


def _row(record: SavedProfile, now: datetime) -> tuple[str, ...]:
    profile, runs = record.profile, bool(record.run_seconds)
    days = _days(record, now)
    spread = profile.inference_peak_bytes
    cells = (
        record.model,
        f"{record.variant} ({record.precision})" if record.variant not in ("", record.precision) else record.precision,
        record.device,
        record.os,
        record.runtime or UNSTATED,
        record.compute_unit or UNSTATED,
        *(_seconds(figure(record, name)[0]) if runs else NONE for name in ("p50", "p90", "min")),
        _seconds(profile.estimated_seconds),
        str(record.runs_per_step or ""),
        _bytes(profile.process_peak_bytes),
        f"{_bytes(spread[0])} to {_bytes(spread[1])}" if spread else "",
        _bytes(record.peak_bytes),
        ", ".join(f"{share.unit} {share.layers:,}" for share in profile.shares),
        age_text(days),
    )
    return tuple(printable(cell, _CELL) or NONE for cell in cells)


def _days(record: SavedProfile, now: datetime) -> float | None:
    made = moment(record.measured)
    return None if made is None else (now - made).total_seconds() / 86_400


def _seconds(seconds: float | None) -> str:
    return NONE if seconds is None else format_value(seconds, "seconds")


def _bytes(size: int | None) -> str:
    return NONE if size is None else short(format_value(size, "bytes"))
