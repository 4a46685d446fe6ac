"""What `run`, `measure` and `judge` are made of: prepare a policy, measure, judge; each stage one call."""

from __future__ import annotations

import contextlib
import gc
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate.errors import PolicyError, UsageError
from fidelity_gate.files import read_file
from fidelity_gate.records import ModelSpec, Report
from fidelity_gate.verbs.orders import now
from fidelity_gate.waiving import refuse_stale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import MeasurementSet, Policy


@contextlib.contextmanager
def briefly() -> Iterator[None]:
    """Collect no garbage for a moment: it takes a tenth of a process that lives for half a second."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def prepare(path: str, *, reference: str | None, candidates: tuple[str, ...], inputs: str | None) -> Policy:
    """Return the policy with the command line's paths, and with paths into the zoo resolved.

    Raises:
        UsageError: a `--candidate` that is not NAME=PATH.
        PolicyError: the policy is wrong.
    """
    from fidelity_gate.policy.loading import Overrides, load_policy
    from fidelity_gate.zoo.paths import asked_rows, resolve

    given = asked_rows(inputs) if inputs else inputs
    policy = resolve(load_policy(path, Overrides(reference, tuple(_named(text) for text in candidates), given)))
    refuse_stale(policy, now()[:10])  # the judge does it again; nobody has to wait for that
    return policy


def prepare_for(path: str, measured: MeasurementSet) -> Policy:
    """Return the policy to judge saved measurements by; what it leaves to the command line is what was measured.

    Raises:
        PolicyError: the policy is wrong.
        UsageError: it names a model of the zoo that there is not.
    """
    from fidelity_gate.zoo.paths import resolve

    policy = resolve(read_policy(path))
    if not policy.reference.path:
        policy = replace(policy, reference=replace(policy.reference, path=measured.reference.facts.path))
    if not policy.candidates:
        found = tuple(ModelSpec(record.name, record.facts.path) for record in measured.candidates)
        policy = replace(policy, candidates=found)
    return policy


def read_policy(path: str) -> Policy:
    """Return the policy in a file, which may leave models and inputs to the command line; raises PolicyError."""
    from fidelity_gate.policy.loading import examine
    from fidelity_gate.policy.yaml_reader import LIMIT_BYTES

    examined = examine(read_file(path, limit_bytes=LIMIT_BYTES, kind=PolicyError).data, path)
    if examined.policy is None:
        raise next(iter(examined.problems), PolicyError("cannot be used", where=path))
    return examined.policy


def measure(policy: Policy, *, allow_code: bool, keep_going: bool = True) -> MeasurementSet:
    """Return what the gate measures; anything that libraries print meanwhile goes to stderr, not into a report.

    Args:
        policy: what is asked for.
        allow_code: run Python that the policy names.
        keep_going: run the models even where the files alone fail a check already.
    """
    from fidelity_gate import gate
    from fidelity_gate.verbs.progress import Bar

    with Bar() as bar, contextlib.redirect_stdout(sys.stderr):
        return gate.measure(policy, gate.MeasureOptions(allow_code=allow_code, keep_going=keep_going), bar)


def judged(policy: Policy, measured: MeasurementSet, day: str = "") -> Report:
    """Return the report of what was measured, held against what the policy names of the past.

    Args:
        policy: what is required.
        measured: what was measured.
        day: on which waivers have to hold (ISO 8601, UTC), for tests of a policy; today where left out.

    Raises:
        Refused: the measurements do not belong to this policy; there is no baseline; a file of the past was edited.
    """
    from fidelity_gate.judge import judge

    past = None
    if policy.baseline is not None or policy.history is not None:
        from fidelity_gate.past.reading import past_of

        past = past_of(policy, measured)
    created = now()
    return Report(judge(policy, measured, past, day or created[:10]), policy, measured, created=created, past=past)


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise UsageError(
            f"'{text}' is not NAME=PATH", field="--candidate", hint="--candidate int8=build/int8.safetensors"
        )
    return name, path
