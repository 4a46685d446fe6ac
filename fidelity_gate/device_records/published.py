"""Tables of figures that somebody published: rows as ai-hub-models lists them, with more facts where a source has them.

    {"source": "arXiv ..., Table 11", "published": "2026-06-25", "rows": [{"model": "resnet18", "precision": "w8a8",
     "device": "Samsung Galaxy S24", "runtime": "onnx", "inference_time_ms": 0.582, ...}]}

A row's time is one figure, and nobody says of which runs: it is kept as the service's own estimate, never as a timed
run. Memory that ai-hub-models publishes is the range that inference reached, in MiB and rounded, under the name of MB
(`round(x / (1 << 20))` in its perf_yaml.py); 0 there stands for less than half of one as well as for nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from fidelity_gate.device_records.saved import Origin, SaidDepth, SavedProfile, moment
from fidelity_gate.errors import Refused
from fidelity_gate.json_fields import Fields
from fidelity_gate.records import DeviceProfile, UnitShare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fidelity_gate.records import Options

MIB = 2**20
MOST_ROWS = 20_000
UNITS = ("npu", "gpu", "cpu")
_MILLI = 1_000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LONGEST_TEXT = 500
_MOST = 2**53


@dataclass(frozen=True, slots=True)
class Table:
    """What rows are of.

    Attributes:
        where: the file, for errors.
        source: where it is from, for people.
        published: the day, ISO 8601.
    """

    where: str
    source: str
    published: str


def is_published(content: object) -> bool:
    """Return whether a JSON document is a table of published rows."""
    return isinstance(content, dict) and "rows" in content and "source" in content


def rows(content: object, where: str) -> tuple[SavedProfile, ...]:
    """Return the profiles of a table, in its order.

    Args:
        content: the parsed file.
        where: the file, for errors.

    Raises:
        Refused: a field is missing, unknown, of the wrong type or beyond its limits; or nothing says when it was
            published.
    """
    whole = Fields(content, where, "", Refused)
    source = _text(whole, "source")
    published = _published(whole, source)
    for key in ("notes", "license"):
        if key in whole.names():
            whole.value(key)
    items = whole.items("rows")
    whole.done()
    return of_rows(((f"rows[{at}]", item) for at, item in enumerate(items)), Table(where, source, published))


def of_rows(items: Iterable[tuple[str, object]], table: Table) -> tuple[SavedProfile, ...]:
    """Return the profiles of rows, in their order.

    Args:
        items: where in the file each stands, and its content.
        table: what they are of.

    Raises:
        Refused: as for `rows`.
    """
    found: list[tuple[SavedProfile, str]] = []
    for path, item in items:
        if len(found) == MOST_ROWS:
            raise Refused(
                f"holds more than {MOST_ROWS:,} rows", where=table.where, hint=f"at most {MOST_ROWS:,} a file"
            )
        found.append(_row(Fields(item, table.where, path, Refused), table.source, table.published))
    return tuple(_parts_apart(found))


def _parts_apart(found: list[tuple[SavedProfile, str]]) -> Iterator[SavedProfile]:
    """Yield the profiles; a model published in parts is several: `zipformer/Encoder`."""
    parts: dict[str, set[str]] = {}
    for record, component in found:
        parts.setdefault(record.model, set()).add(component)
    for record, component in found:
        several = component and len(parts[record.model]) > 1
        yield replace(record, model=f"{record.model}/{component}") if several else record


def _published(whole: Fields, source: str) -> str:
    """Return the day: of the field, or the one day that the source's own text names."""
    if "published" in whole.names():
        day = whole.text("published")
    else:
        found = set(_DAY.findall(source))
        day = found.pop() if len(found) == 1 else ""
    if not _DAY.fullmatch(day) or moment(day) is None:
        whole.fail("published", "must be the day it was published, like 2026-06-25")
    return day


def _row(row: Fields, source: str, published: str) -> tuple[SavedProfile, str]:
    """Return the profile of a row, and which part of its model it is."""
    names = row.names()
    precision = _text(row, "precision")
    component = _text(row, "component") if "component" in names else ""
    unit = _text(row, "unit").lower() if "unit" in names else ""
    if unit not in ("", *UNITS):
        row.fail("unit", f"must be one of {', '.join(UNITS)}")
    found = SavedProfile(
        origin=Origin.PUBLISHED,
        source=source,
        model=_text(row, "model"),
        variant=precision,
        precision=precision,
        device=_text(row, "device"),
        runtime=_text(row, "runtime") if "runtime" in names else "",
        measured=published,
        os=_text(row, "os") if "os" in names else "",
        compute_unit=unit,
        file_bytes=_mebibytes(row, "file_mib"),
        depth=_depth(row),
        runs_per_step=_whole(row, "runs_per_step"),
        tokens=_whole(row, "tokens"),
        smallest_side=_whole(row, "smallest_side"),
        tools=_tools(row),
        peak_bytes=_mebibytes(row, "peak_mib"),
        profile=_profile(row),
    )
    row.done()
    return found, component


def _profile(row: Fields) -> DeviceProfile:
    names = row.names()
    shares = _shares(row.inner("layers")) if "layers" in names else ()
    # In decimals: 25.69 / 1000 is not quite 0.02569, and a budget of 25.69 ms is.
    milliseconds = _number(row, "inference_time_ms", row.value("inference_time_ms"))
    seconds = float(Decimal(repr(milliseconds)) / _MILLI)
    if seconds <= 0:
        row.fail("inference_time_ms", "must be above 0: a service writes 0 where nothing was measured")
    peak = _range(row) if "peak_mb" in names else None
    return DeviceProfile(shares=shares, estimated_seconds=seconds, inference_peak_bytes=peak)


def _range(row: Fields) -> tuple[int, int] | None:
    """Return the published range in bytes; None where its upper end is 0, which says nothing."""
    ends = row.items("peak_mb")
    if len(ends) != 2 or any(type(end) is not int or not 0 <= end < MIB for end in ends):
        row.fail("peak_mb", "must be two whole numbers of MiB, like [0, 387]")
    low, high = (int(str(end)) * MIB for end in ends)
    if low > high:
        row.fail("peak_mb", "ends below its beginning")
    return (low, high) if high else None


def _shares(layers: Fields) -> tuple[UnitShare, ...]:
    """Return the layers by unit; what the total holds beyond them ran on a unit that is not named."""
    total = layers.whole("total", minimum=0, maximum=_MOST)
    counts = {name: layers.whole(name, minimum=0, maximum=_MOST) for name in UNITS if name in layers.names()}
    layers.done()
    rest = total - sum(counts.values())
    if rest < 0:
        layers.fail("total", "is less than its parts together")
    found = [UnitShare(name, count) for name, count in counts.items() if count]
    return tuple([*found, UnitShare("unknown", rest)] if rest else found)


def _depth(row: Fields) -> SaidDepth:
    if "depth" not in row.names():
        return SaidDepth()
    depth = row.inner("depth")
    found = SaidDepth(*(_whole(depth, name) for name in ("h_cycles", "l_cycles", "steps")))
    depth.done()
    return found


def _tools(row: Fields) -> Options:
    if "tools" not in row.names():
        return ()
    tools = row.inner("tools")
    return tuple((name, _text(tools, name)) for name in sorted(tools.names()))


def _text(fields: Fields, key: str) -> str:
    text = fields.text(key)
    if not 0 < len(text) <= _LONGEST_TEXT:
        fields.fail(key, f"must be text of 1 to {_LONGEST_TEXT} characters")
    return text


def _whole(fields: Fields, key: str) -> int | None:
    return fields.whole(key, minimum=1, maximum=10**6) if key in fields.names() else None


def _mebibytes(row: Fields, key: str) -> int | None:
    """Return bytes, rounded up."""
    if key not in row.names():
        return None
    size = _number(row, key, row.value(key))
    if not 0 < size < MIB:
        row.fail(key, "must be above 0, in MiB")
    return math.ceil(size * MIB)


def _number(row: Fields, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        row.fail(key, "must be a number")
    return float(value)
