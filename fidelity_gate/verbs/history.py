"""`fidelity-gate history`: how the numbers of devices went, run by run."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import Refused, UsageError
from fidelity_gate.text import printable, quiet_json
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.past.trends import Trend

BARS = "▁▂▃▄▅▆▇█"

EPILOG = """\b
Examples:
  fidelity-gate history show history.jsonl
  fidelity-gate history show history.jsonl --candidate int8 --last 50 --json
"""


@click.group(epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def history(context: click.Context) -> None:
    """Show how the numbers of devices went, run by run."""
    if context.invoked_subcommand is None:
        raise UsageError("history needs a verb of its own", hint="show; see history --help")


@history.command(epilog=EPILOG)
@click.argument("path", metavar="FILE")
@click.option("--candidate", metavar="NAME", help="Only this candidate.")
@click.option("--device", metavar="NAME", help="Only this device.")
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="So many runs of each.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(*, path: str, candidate: str | None, device: str | None, last: int, as_json: bool) -> None:
    """Show a trend for every number: a bar a run, how it stands, and the last one."""
    from pathlib import Path

    from fidelity_gate.past import history_file
    from fidelity_gate.past.trends import trends

    if not Path(path).exists():
        raise Refused("there is no such history", where=path, hint="`fidelity-gate run --history FILE` starts one")
    runs, notes = history_file.read(path)
    for note in notes:
        click.echo(f"history: {printable(note, 400)}", err=True)
    wanted = [run for run in runs if candidate in (None, run.candidate) and device in (None, run.device)]
    if not wanted:
        raise Refused(
            "holds no such run", where=path, hint=_names(sorted({(run.candidate, run.device) for run in runs}))
        )
    found = trends(wanted)
    write_stdout(_as_json(found, last) if as_json else "".join(_lines(found, last)))


def _names(known: list[tuple[str, str]]) -> str:
    return (
        f"it has {', '.join(f'{candidate} on {device}' for candidate, device in known[:5])}" if known else "it is empty"
    )


def _lines(found: tuple[Trend, ...], last: int) -> Iterator[str]:
    heading = ""
    for trend in found:
        place = ", ".join(f"{name} {value}" for name, value in trend.place.where)
        above = f"{trend.candidate} on {trend.place.device}, {trend.depth} ({trend.place.use}: {place})"
        if above != heading:
            yield f"{printable(above, 400)}\n"
            heading = above
        yield f"  {printable(_line(trend, last), 400)}\n"


def _line(trend: Trend, last: int) -> str:
    from fidelity_gate.units import format_value
    from fidelity_gate.wording import counted

    points = trend.points[-last:]
    first, now = (format_value(point.value, trend.unit) for point in (points[0], points[-1]))
    options = " ".join(f"{name}={value}" for name, value in trend.options if name != "device")
    name = " ".join(part for part in (trend.metric, options, trend.aggregate or "") if part)
    median = format_value(trend.median(last), trend.unit)
    regressions = sum(bool(point.regressed) for point in points)
    told = [counted(len(points), "run"), f"median {median}"]
    told += [counted(regressions, "regression")] if regressions else []
    told += [trend.standing.value] if trend.standing else []
    bars = _bars([point.value for point in points])
    return f"{name}: {first} {bars} {now} ({', '.join(told)})"


def _bars(values: list[float]) -> str:
    """Return a bar a run, from the lowest to the highest; dots where the output, or the distance, has no bars."""
    low, high = min(values), max(values)
    step = (high - low) / (len(BARS) - 1) or 1.0
    if not (sys.stdout.encoding or "").lower().startswith("utf") or not math.isfinite(step):
        return "..."
    return "".join(BARS[round((value - low) / step)] for value in values)


def _as_json(found: tuple[Trend, ...], last: int) -> str:
    plain = [
        {
            "candidate": trend.candidate,
            "depth": str(trend.depth),
            "device": trend.place.device,
            "use": trend.place.use,
            "where": dict(trend.place.where),
            "metric": trend.metric,
            "options": dict(trend.options),
            "aggregate": trend.aggregate,
            "unit": trend.unit,
            "median": trend.median(last),
            "standing": trend.standing,
            "runs": [
                {"date": one.date, "value": one.value, "revision": one.revision, "regressed": one.regressed}
                for one in trend.points[-last:]
            ],
        }
        for trend in found
    ]
    return quiet_json(json.dumps({"trends": plain}, indent=2, allow_nan=False)) + "\n"
