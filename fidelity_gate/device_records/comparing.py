"""Saved profiles beside one another: which is whose float twin, and what findings that makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate import device_findings
from fidelity_gate.device_findings import DeviceFinding, Ran, is_float, is_quantized
from fidelity_gate.device_records.saved import Origin, SavedProfile, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fidelity_gate.bounds import Values
    from fidelity_gate.records import Target


def findings(
    records: Iterable[SavedProfile], known: Sequence[SavedProfile], targets: tuple[Target, ...] = ()
) -> Iterator[DeviceFinding]:
    """Yield what profiles say beside their figures, in their order.

    Args:
        records: those to tell of.
        known: all that they may be compared with.
        targets: what their devices are known to want.
    """
    for record in records:
        twin = float_twin(record, known)
        slower = None if twin is None else device_findings.slowdown(ran(record), ran(twin), targets)
        # Of a published row the unit is the one that ran most layers, not the one that was asked for.
        asked = "" if record.origin is Origin.PUBLISHED else record.compute_unit
        beside = [(one.runtime, ran(one)) for one in known if _other_runtime(one, record)]
        yield from (one for one in (slower, device_findings.off_unit(ran(record), asked, beside)) if one is not None)


def float_twin(record: SavedProfile, known: Iterable[SavedProfile]) -> SavedProfile | None:
    """Return the newest record of the same model in floats, as deep, on the same device and runtime; None without."""
    if not is_quantized(record.precision):
        return None
    key = _key(record)
    twins = [
        (made, one) for one in known if is_float(one.precision) and _key(one) == key and (made := moment(one.measured))
    ]
    return max(twins, key=lambda pair: pair[0])[1] if twins else None


def ran(record: SavedProfile) -> Ran:
    """Return what findings look at: of timed runs their median, else the one figure that was told."""
    return Ran(
        name=", ".join(part for part in (f"{record.name} on {record.device}", record.runtime) if part),
        precision=record.precision,
        seconds=middle(record.run_seconds) if record.run_seconds else record.profile.estimated_seconds,
        shares=record.profile.shares,
        tokens=record.tokens,
        smallest_side=record.smallest_side,
    )


def middle(seconds: Values) -> float:
    """Return the median of times, the slower of two: one that was observed."""
    return sorted(seconds)[len(seconds) // 2]


def _key(record: SavedProfile) -> tuple[object, ...]:
    """Return what has to be equal before two times say anything of the precision."""
    return record.model, record.device, record.os, record.runtime, record.depth, record.simulated


def _other_runtime(one: SavedProfile, record: SavedProfile) -> bool:
    same = (one.model, one.precision, one.device, one.simulated) == (
        record.model,
        record.precision,
        record.device,
        record.simulated,
    )
    return same and one.runtime != record.runtime
