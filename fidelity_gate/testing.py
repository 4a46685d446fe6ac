"""For tests of your own: `assert_fidelity` compares two models as the gate does, and fails with the figures."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import Depth, Policy, Report, Scalar

__all__ = ["assert_fidelity"]

NAME = "assert_fidelity"  # what errors call the policy that is made of the arguments
WIDTH = 110
_NO_ID = re.compile(r"[^A-Za-z0-9_-]+")


def assert_fidelity(  # noqa: PLR0913  (one argument a thing that a test may require)
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    inputs: str | os.PathLike[str],
    *,
    min: float = 0.97,
    worst: float | None = None,
    recursion: Depth | None = None,
    **options: Scalar,
) -> Report:
    """Raise AssertionError unless a compressed model's carry stays as close to its reference's as required.

    Both are stepped side by side over the inputs, with every guard and the noise floor of a policy: a candidate that is
    the reference itself, that was not compressed, or whose reference does not even stay near itself, never passes.

    Args:
        reference: a model file, or `zoo:NAME`.
        candidate: the compressed model's file.
        inputs: a file of probes, `zoo:NAME/evaluation`, or a source with options (`sudoku:count=100,seed=1`).
        min: the least mean carry fidelity over the probes, inclusive.
        worst: the least carry fidelity of the worst probe, inclusive; a mean over a hundred probes hides one that
            collapsed.
        recursion: how deep both run; by default as deep as the reference's file declares.
        **options: of the metric `carry_fidelity`: stream, at, tokens.

    Returns:
        The report, for tests that want to look further.

    Raises:
        AssertionError: a bound is missed, or nothing could be decided; the text has the figures.
        Refused: a file cannot be used, the two cannot be compared, or an argument is wrong.
        Undecided: a limit of time or memory was hit, or two runs differ.
    """
    __tracebackhide__ = True
    from fidelity_gate.errors import GateError
    from fidelity_gate.verbs import stages
    from fidelity_gate.wording import blocks

    paths = (os.fspath(reference), os.fspath(candidate), os.fspath(inputs))
    try:
        with plain_warnings():
            depth = recursion or _declared_depth(paths[0])
            policy = _policy(paths, {"mean": min, "worst": worst}, depth, options)
            report = stages.judged(policy, stages.measure(policy, allow_code=False))
    except GateError as error:
        raise copy.copy(error) from None  # one line says it; where in the gate it was found says nothing to a test
    if blocks(report):
        raise AssertionError(_text(report))
    return report


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Let warnings of the libraries that measure be warnings, also where a session turns those into errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def _declared_depth(reference: str) -> Depth:
    from fidelity_gate.errors import UsageError
    from fidelity_gate.models.opening import open_model
    from fidelity_gate.records import ModelSpec
    from fidelity_gate.zoo.paths import located

    depth = open_model(ModelSpec("reference", located(reference))).facts.depth
    if depth is None:
        hint = "recursion=Depth(h_cycles, l_cycles, steps), from fidelity_gate.records"
        raise UsageError("the file does not say how deep the model runs", where=reference, field="recursion", hint=hint)
    return depth


def _policy(
    paths: tuple[str, str, str], least: dict[str, float | None], depth: Depth, options: dict[str, Scalar]
) -> Policy:
    """Return the policy that the arguments are, read as strictly as one in a file."""
    from fidelity_gate.inputs.opening import from_path
    from fidelity_gate.policy.loading import Overrides, load_policy_text
    from fidelity_gate.zoo.paths import is_zoo, resolve

    reference, candidate, inputs = paths
    checks = {
        "carry-fidelity" if aggregate == "mean" else f"carry-fidelity-{aggregate}": {
            "metric": "carry_fidelity",
            "aggregate": aggregate,
            "options": options,
            "require": {"min": bound},
        }
        for aggregate, bound in least.items()
        if bound is not None
    }
    written = {
        "apiVersion": "fidelity-gate/v1",
        "name": NAME,
        "recursion": {"h_cycles": depth.h_cycles, "l_cycles": depth.l_cycles, "steps": depth.steps},
        "checks": checks,
    }
    given = inputs if is_zoo(inputs) else from_path(inputs)
    overrides = Overrides(reference, ((_name(candidate), candidate),), given)
    return resolve(load_policy_text(json.dumps(written, default=float), NAME, overrides))


def _name(candidate: str) -> str:
    """Return what the text calls the candidate: its file's name, as far as it can be one."""
    from fidelity_gate.policy.schema_values import RESERVED_NAMES

    name = _NO_ID.sub("-", Path(candidate).stem).strip("-_")[:64]
    return name if name and name.lower() not in RESERVED_NAMES else "candidate"


def _text(report: Report) -> str:
    """Return what is missed, one line a check, and the table."""
    from fidelity_gate.records import Outcome
    from fidelity_gate.reports.terminal import Terminal
    from fidelity_gate.wording import headline

    missed = [headline(result) for result in report.verdict.results if result.outcome is not Outcome.PASS]
    return "\n".join([*missed, "", Terminal(width=WIDTH).render(report).rstrip()])
