"""Published or saved profiles, of which a simulated hub answers with the row that fits a job."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.errors import InputsRefused
from fidelity_gate.files import read_file
from fidelity_gate.json_fields import Fields, parse
from fidelity_gate.simulated_hub.profiling import LayerTime, Profile, jittered

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fidelity_gate.simulated_hub.latency import Latency
    from fidelity_gate.simulated_hub.profiling import Setting

LIMIT_BYTES = 64 << 20
_MEBI = 1 << 20  # "MB" of the published rows
_UNITS = ("npu", "gpu", "cpu")
_LONGEST_MS = 1e9
_MOST_MB = 1e9
_MOST_LAYERS = 100_000


@dataclass(frozen=True, slots=True)
class Row:
    """One profile, as quic/ai-hub-models publishes them."""

    place: int  # in the file, from 1
    names: frozenset[str]  # of the model and its component, in lower case, letters and digits alone
    device: str
    runtime: str
    precision: str
    milliseconds: float
    peak_mb: tuple[float, float]
    layers: tuple[tuple[str, int], ...]  # unit -> layers


@dataclass(frozen=True, slots=True)
class Replay:
    """Rows to answer with."""

    rows: tuple[Row, ...]
    source: str

    def find(self, names: Iterable[str], device: str, runtime: str, precision: str) -> Row | None:
        """Return the row that fits a job; None where none does.

        Args:
            names: of the model that was uploaded, and of the job: a row fits where one is its model's or component's,
                with or without the precision behind it ("resnet18", "resnet18-w8a8").
            device: exact.
            runtime: exact.
            precision: of the graph; it decides where a name without precision fits several rows.
        """
        plain = {_plain(name) for name in names} - {""}
        rows = [row for row in self.rows if (row.device, row.runtime) == (device, runtime)]
        exact = [row for row in rows if plain & {name + _plain(row.precision) for name in row.names}]
        fitting = exact or [row for row in rows if plain & row.names]
        return next((row for row in fitting if row.precision == precision), fitting[0] if len(fitting) == 1 else None)

    def profile(self, row: Row, latency: Latency, setting: Setting) -> Profile:
        """Return a row as a profile: its time with the device's jitter, its layers without times of their own."""
        layers = tuple(
            LayerTime(f"{unit}_{index}", "unknown", unit, None) for unit, count in row.layers for index in range(count)
        )
        low, high = (round(end * _MEBI) for end in row.peak_mb)
        return Profile(
            times=jittered(1000 * row.milliseconds, latency, setting),
            layers=layers,
            first_load=round(1000 * latency.first_load_ms) or 1,
            warm_load=round(1000 * latency.warm_load_ms) or 1,
            process_peak=round(latency.process_mb * 1e6) + high,
            inference_peak=(low, high),
            told=f"replayed row {row.place} of {self.source}",
        )


def read_replay(path: str | Path) -> Replay:
    """Return the rows of a file: {"rows": [...]} or a list of rows.

    Raises:
        InputsRefused: it is no such file; the row and field that are wrong are named.
    """
    where = str(path)
    content = parse(read_file(path, limit_bytes=LIMIT_BYTES, kind=InputsRefused).data, where=where, kind=InputsRefused)
    if isinstance(content, dict):
        rows = Fields(content, where, "", InputsRefused).items("rows")
    elif isinstance(content, list):
        rows = content
    else:
        raise InputsRefused("must be a list of rows, or an object with one", where=where)
    if not rows:
        raise InputsRefused("has no rows", where=where)
    found = tuple(_row(Fields(row, where, f"rows[{place}]", InputsRefused), place) for place, row in enumerate(rows, 1))
    return Replay(found, where)


def _row(row: Fields, place: int) -> Row:
    names = {_plain(row.text(key)) for key in ("model", "component") if key in row.names()}
    peak = [_number(row, item, "peak_mb", _MOST_MB) for item in row.items("peak_mb")]
    if len(peak) != 2 or peak[0] > peak[1]:
        row.fail("peak_mb", "must be [lowest, highest]")
    if not names - {""}:
        row.fail("model", "is missing")
    layers = row.inner("layers")
    counts = {unit: layers.whole(unit, minimum=0, maximum=_MOST_LAYERS) for unit in _UNITS if unit in layers.names()}
    milliseconds = _number(row, row.value("inference_time_ms"), "inference_time_ms", _LONGEST_MS)
    if milliseconds <= 0:
        row.fail("inference_time_ms", "must be above 0")
    return Row(
        place,
        frozenset(names - {""}),
        row.text("device"),
        row.text("runtime"),
        row.text("precision"),
        milliseconds,
        (peak[0], peak[1]),
        tuple(sorted(counts.items())),
    )


def _number(row: Fields, value: object, key: str, most: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= most:
        return float(value)
    return row.fail(key, f"must be a number from 0 to {most:g}")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower().removesuffix(".onnx"))
