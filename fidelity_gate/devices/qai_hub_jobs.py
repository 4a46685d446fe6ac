"""Jobs of Qualcomm AI Hub: found by their names before they are submitted, and submitted once.

A submission whose reply got lost is looked for, and not made again: two jobs are paid for, one is wanted. A name only
says where to look; a job that is found is taken where its message says that it does what is asked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from fidelity_gate.devices import qai_hub_waiting as waiting
from fidelity_gate.devices.qai_hub_errors import NotThere, Unanswered
from fidelity_gate.devices.qai_hub_models import PAGE, PAGES
from fidelity_gate.devices.qai_hub_waiting import ModelAtFault
from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fidelity_gate.devices.qai_hub_client import Hub

AFTER_SILENCE = (0.0, 1.0, 4.0)  # seconds before each look for a job whose submission was not answered
UNENDED = 86_400.0  # seconds within which a job that has not ended is looked for; the service gives up after 8 hours
_SKEW = 300.0  # seconds that the service's clock may be behind
_OURS: set[str] = set()  # jobs that this process submitted: what it asks twice is asked once, however young it must be


class Fits(Protocol):
    """Whether a job does what is asked; it says why not."""

    def __call__(self, told: Any) -> str:  # noqa: ANN401  (public_api_pb2: CompileJob, InferenceJob)
        """Return what is another than asked; "" where nothing is."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A job that is wanted.

    Attributes:
        kind: "compile", "profile" or "inference", for people.
        type: the client's `JobType`, by its name.
        name: of the job.
        max_age: seconds within which a finished one answers; 0: none but what this process submitted itself.
        fits: whether a job does what is asked.
        submit: makes one, and returns the client's job.
    """

    kind: str
    type: str
    name: str
    max_age: float
    fits: Fits
    submit: Callable[[], Any]


def done(hub: Hub, order: Order, *, before: Callable[[], object]) -> Any:  # noqa: ANN401  (public_api_pb2.Job)
    """Return the message of a job that does what is asked, and has ended with success.

    Args:
        hub: the client.
        order: what is wanted.
        before: uploads what a submission needs; called only where one is made.

    Raises:
        NotMeasured: it failed, does something else, or nobody knows whether it was taken.
        OutOfTime: it has not ended.
    """
    there = _named(hub, order)
    for summary in (one for one in there if _may_answer(order, one)):
        found = _earlier(hub, order, summary)
        if found is not None:
            return found
    before()
    hub.say(f"submitting the {order.kind} job")
    job_id = _submitted(hub, order, frozenset(summary.job_id for summary in there))
    _OURS.add(job_id)
    job = waiting.finished(hub, job_id, order.kind)
    strange = order.fits(waiting.message(job))
    if strange:
        raise NotMeasured(f"{order.kind} job {job_id} is not what was asked: {strange}", hint=hub.job_url(job_id))
    return job


def _earlier(hub: Hub, order: Order, summary: Any) -> Any:  # noqa: ANN401  (qai_hub: JobSummary)
    """Return an earlier job of this name once it has ended; None where it is of no use.

    Raises:
        ModelAtFault: it failed, and would again.
        NotMeasured: it was still running, and failed while it was waited for.
    """
    job_id = str(summary.job_id)
    try:
        job = hub.ask(f"looking at {order.kind} job {job_id}", lambda: hub.rest.get_job(hub.client.config, job_id))
    except NotThere:
        return None
    told = waiting.message(job)
    if told is None or order.fits(told):
        return None
    if not waiting.has_failed(hub, job):
        return waiting.finished(hub, job_id, order.kind)
    failure = waiting.failure(hub, job, job_id, order.kind)
    if isinstance(failure, ModelAtFault):
        raise failure
    return None


def _submitted(hub: Hub, order: Order, known: frozenset[str]) -> str:
    """Return the id of a new job.

    Args:
        hub: the client.
        order: what is wanted.
        known: ids of jobs of this name that were there before.
    """
    try:
        return str(hub.once(f"submitting the {order.kind} job", order.submit).job_id)
    except NotMeasured as error:
        for pause in AFTER_SILENCE if isinstance(error, Unanswered) else AFTER_SILENCE[:1]:
            time.sleep(min(pause, hub.deadline.left))
            found = _new(hub, order, known)
            if found:
                return found
        raise


def _new(hub: Hub, order: Order, known: frozenset[str]) -> str:
    """Return the id of a job of this name that was not there before; "" for none, or where nobody answers."""
    try:
        return next((str(one.job_id) for one in _named(hub, order) if one.job_id not in known), "")
    except NotMeasured:
        return ""


def _named(hub: Hub, order: Order) -> list[Any]:
    """Return the summaries of all jobs of this name that may be of use, the latest first."""
    oldest = time.time() - max(order.max_age, UNENDED) - _SKEW
    return [one for one in _summaries(hub, order, oldest) if one.name == order.name]


def _may_answer(order: Order, summary: Any) -> bool:  # noqa: ANN401  (qai_hub: JobSummary)
    """Return whether a job is still running, or ours, or young enough."""
    ended = summary.status.success or summary.status.failure
    if not ended or summary.job_id in _OURS:
        return True
    return order.max_age > 0 and summary.date.timestamp() >= time.time() - order.max_age - _SKEW


def _summaries(hub: Hub, order: Order, oldest: float) -> Iterator[Any]:
    kind = getattr(hub.module("client").JobType, order.type)
    for page in range(PAGES):
        found = hub.ask(
            "listing jobs",
            partial(hub.client.get_job_summaries, offset=page * PAGE, limit=PAGE, type=kind, project=hub.project),
        )
        young = [one for one in found if one.date.timestamp() >= oldest]
        yield from young
        if len(young) < PAGE:
            return
