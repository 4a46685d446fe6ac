"""Which saved profile answers for a model on a device: the one that is bound to both, or none, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from fidelity_gate.device_records.saved import CLOCKS_APART, UNSTATED, Origin, SavedProfile, fault, moment
from fidelity_gate.errors import NotMeasured
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from fidelity_gate.records import Depth

_SHOWN = 60
_MOST_NAMED = 3
_MOST_BELIEVED = (Origin.RUN, Origin.JOB, Origin.BY_HAND, Origin.PUBLISHED)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a policy asks of a record, besides the model.

    Attributes:
        device: its name, as the service writes it.
        os: "" for whichever.
        runtime: `unstated` for a source that does not say.
        compute_unit: `unstated` for a source that does not say.
        max_age: in days.
        row: model and precision of a published row; None for records of the very file.
        by_hand: whether profiles count that were bound by hand.
        allow_simulated: whether profiles count that no device made.
    """

    device: str
    os: str
    runtime: str
    compute_unit: str
    max_age: float
    row: tuple[str, str] | None = None
    by_hand: bool = False
    allow_simulated: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that a record is wanted for.

    Attributes:
        digests: of its files as the gate hashes them, and of the step graph alone.
        depth: how deep it runs.
    """

    digests: frozenset[str]
    depth: Depth


def bound(records: Iterable[SavedProfile], asked: Asked, subject: Subject, now: datetime) -> SavedProfile:
    """Return the newest record that is bound to the model, the device and everything else that was asked.

    Args:
        records: of one file.
        asked: what the policy says.
        subject: the model.
        now: with a zone; the records' ages are against it.

    Raises:
        NotMeasured: none is; or the newest is too old, from the future, or holds figures that cannot be; or two that
            are equally new differ. An older record never stands in for a newer one that is wrong.
    """
    left = _of_model(tuple(records), asked, subject)
    for what, wanted, of in (
        ("device", asked.device, _device),
        ("runtime", asked.runtime, _runtime),
        ("compute unit", asked.compute_unit, _unit),
        ("OS", asked.os, _os),
    ):
        left = _same(left, what, wanted, of)
    newest = _newest(_allowed(left, asked))
    _refuse_faulty(newest)
    _refuse_other_depth(newest, subject.depth)
    _refuse_age(newest, asked.max_age, now)
    return newest


def _device(record: SavedProfile) -> str:
    return record.device


def _runtime(record: SavedProfile) -> str:
    return record.runtime or UNSTATED


def _unit(record: SavedProfile) -> str:
    return record.compute_unit or UNSTATED


def _os(record: SavedProfile) -> str:
    return record.os or UNSTATED


def _of_model(records: tuple[SavedProfile, ...], asked: Asked, subject: Subject) -> tuple[SavedProfile, ...]:
    """Return the records of the model: of its very file, or the published row that the policy names for it."""
    if asked.row is not None:
        found = [one for one in records if one.origin is Origin.PUBLISHED and (one.model, one.precision) == asked.row]
        if not found:
            model, precision = (printable(text, _SHOWN) for text in asked.row)
            raise NotMeasured(f"no row of '{model}' in {precision} was published there", hint=_rows_there(records))
        return tuple(found)
    if not any(record.model_digest for record in records):
        raise NotMeasured(
            "every row there was published, not of this file", hint="published: true and model: NAME, to use one"
        )
    found = [one for one in records if subject.digests & {one.model_digest, one.graph_digest} - {""}]
    if not found:
        hint = "record this file: its digest is another"
        raise NotMeasured(f"none of {len(records)} records is of this very file", hint=hint)
    return tuple(found)


def _rows_there(records: tuple[SavedProfile, ...]) -> str:
    named = sorted({f"{one.model} {one.precision}" for one in records if one.origin is Origin.PUBLISHED})
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"there: {', '.join(named[:_MOST_NAMED]) or 'no published row'}{more}"


def _same(
    records: tuple[SavedProfile, ...], what: str, wanted: str, of: Callable[[SavedProfile], str]
) -> tuple[SavedProfile, ...]:
    """Return the records in which something is as it was asked; raises NotMeasured where that leaves none."""
    if not wanted:
        return records
    found = tuple(record for record in records if of(record) == wanted)
    if not found:
        there = " or ".join(sorted({printable(of(record), _SHOWN) for record in records})[:_MOST_NAMED])
        raise NotMeasured(f"recorded with {what} {there}, and the policy asks for {printable(wanted, _SHOWN)}")
    return found


def _allowed(records: tuple[SavedProfile, ...], asked: Asked) -> tuple[SavedProfile, ...]:
    """Return the records whose origin the policy accepts."""
    real = tuple(record for record in records if asked.allow_simulated or not record.simulated)
    if not real:
        raise NotMeasured("simulated: no device ran it", hint="allow_simulated: true accepts that, for trials")
    found = tuple(record for record in real if asked.by_hand or record.origin is not Origin.BY_HAND)
    if not found:
        what = "recorded by hand: only whoever recorded it says which file ran where"
        raise NotMeasured(what, hint="by_hand: true accepts that")
    return found


def _newest(records: tuple[SavedProfile, ...]) -> SavedProfile:
    """Return the newest; one without a date may be that, so that it is the one to be complained of."""
    dated = [(made, record) for record in records if (made := moment(record.measured)) is not None]
    if len(dated) < len(records):
        return next(record for record in records if moment(record.measured) is None)
    last = max(made for made, _ in dated)
    newest = [record for made, record in dated if made == last]
    differing = len({_told(record) for record in newest})
    if differing > 1:
        what = f"{differing} records of {last:%Y-%m-%d} match, and they differ"
        raise NotMeasured(what, hint="name the os too, or keep one of them")
    return min(newest, key=lambda record: _MOST_BELIEVED.index(record.origin))


def _told(record: SavedProfile) -> tuple[object, ...]:
    """Return what a record says of the device: equal where one job was recorded of its run, and then by its id."""
    depth = record.depth if record.origin is Origin.PUBLISHED else None
    figures = (record.run_seconds, record.host_seconds, record.peak_bytes, record.profile)
    return record.job_id, record.simulated, record.runs_per_step, depth, figures


def _refuse_faulty(record: SavedProfile) -> None:
    wrong = fault(record)
    if wrong:
        raise NotMeasured(f"the record of {printable(record.name, _SHOWN)} {wrong}", hint="measure again")


def _refuse_other_depth(record: SavedProfile, depth: Depth) -> None:
    """Raise where a published row is of another depth; a record of the very file counts runs, and is of any depth."""
    if record.origin is not Origin.PUBLISHED:
        return
    said, ours = record.depth, depth
    pairs = ((said.h_cycles, ours.h_cycles), (said.l_cycles, ours.l_cycles), (said.steps, ours.steps))
    if any(theirs is not None and theirs != own for theirs, own in pairs):
        raise NotMeasured(f"published at {said}, and the model runs at {ours}")


def _refuse_age(record: SavedProfile, max_age: float, now: datetime) -> None:
    made = moment(record.measured)
    if made is None:
        raise NotMeasured("the record does not say when it was measured")
    if made - now > CLOCKS_APART:
        raise NotMeasured(f"recorded in the future: {printable(record.measured, _SHOWN)}", hint="whose clock is wrong?")
    age = (now - made) / timedelta(days=1)
    if age > max_age:
        near = round(age, 1)
        shown = near if near > max_age else math.ceil(10 * age) / 10  # never so rounded that it looks allowed
        what = f"recorded {shown:.1f} days ago ({made:%Y-%m-%d}), and the policy allows {max_age:g}"
        raise NotMeasured(what, hint="measure again")
