"""For tests of model repositories: a marker that guards a test by a policy, and a fixture that gives the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fidelity_gate.errors import GateError, UsageError
from fidelity_gate.pytest_parts.asking import source_from_test
from fidelity_gate.pytest_parts.common import FIXTURE, MARKER, NEED_OPTION, OPTION
from fidelity_gate.pytest_parts.judging import judging_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from fidelity_gate.records import Report

KEYS = ("policy", "reference", "candidates", "inputs")


class Reporter:
    """Measures and judges a policy, once in a session however many tests ask."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __call__(
        self,
        policy: str | os.PathLike[str],
        *,
        reference: str | os.PathLike[str] | None = None,
        candidates: Mapping[str, str | os.PathLike[str]] | None = None,
        inputs: str | os.PathLike[str] | None = None,
    ) -> Report:
        """Return the report of a policy; nothing is asserted about it.

        Args:
            policy: its file, against the root of the tests; the other paths too.
            reference: a model, instead of the policy's.
            candidates: names of candidates and their files.
            inputs: probes, instead of the policy's.

        Raises:
            GateError: the policy cannot be used, or nothing could be measured.
        """
        __tracebackhide__ = True
        paths = {"reference": reference, "candidates": candidates, "inputs": inputs}
        source = source_from_test(self._config, policy, **paths)  # type: ignore[arg-type]
        return judging_of(self._config).report(source)


def guard(item: pytest.Item) -> None:
    """Fail the setup of a test unless every policy that it is marked with passes."""
    from fidelity_gate.pytest_parts.nodes import fail
    from fidelity_gate.pytest_parts.telling import verdict_lines
    from fidelity_gate.wording import blocks

    for mark in item.iter_markers(MARKER):
        told: list[str] = []
        try:
            report = _report(item.config, mark)
            told = verdict_lines(report) if blocks(report) else []
        except GateError as error:
            told = [f"{MARKER}: {error}"]
        if told:
            fail("\n".join(told))


def refuse_unheard(session: pytest.Session, given: list[str]) -> None:
    """Raise where options of the gate were given, and nothing in the session listens to them.

    Raises:
        pytest.UsageError: with the first of them; a session without a gate would look like one that passed.
    """
    alone = [option for option in given if option in NEED_OPTION]
    if alone:
        raise pytest.UsageError(f"{alone[0]} is for the end of a session that gates: add {OPTION}")
    if not session.testsfailed and not any(map(_asks, session.items)):
        raise pytest.UsageError(f"{given[0]} was given, and nothing asks for the gate: add {OPTION}")


def _asks(item: pytest.Item) -> bool:
    """Return whether a test asks for the gate by itself, with the marker or the fixture."""
    fixtures: tuple[str, ...] = tuple(getattr(item, "fixturenames", ()))
    return item.get_closest_marker(MARKER) is not None or FIXTURE in fixtures


def _report(config: pytest.Config, mark: pytest.Mark) -> Report:
    given = {**dict(zip(KEYS[:1], mark.args, strict=False)), **mark.kwargs}
    unknown = sorted(set(given) - set(KEYS))
    if unknown or len(mark.args) > 1 or "policy" not in given or ("policy" in mark.kwargs and mark.args):
        said = f"it takes a policy and {', '.join(KEYS[1:])}"
        raise UsageError(said + (f", not {unknown[0]}" if unknown else ""))
    return Reporter(config)(given.pop("policy"), **given)
