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

    from fidelity_gate.errors import GateError
    from fidelity_gate.records import Depth, Policy, Report, Scalar

__all__ = ["assert_fidelity"]

NAME = "assert_fidelity"  # what errors call the policy that is made of the arguments
WIDTH = 110
DEPTH_HINT = "recursion=Depth(h_cycles, l_cycles, steps), from fidelity_gate.records"
CHECKS = {"min": "carry-fidelity", "worst": "carry-fidelity-worst"}  # by argument
AGGREGATES = {"min": "mean", "worst": "worst"}
# Fields of the policy, or options of the command line, and the argument that each of them is here.
_ARGUMENTS = (
    (re.compile(rf"checks\.{CHECKS['min']}\.require\..*"), "min"),
    (re.compile(rf"checks\.{CHECKS['worst']}\.require\..*"), "worst"),
    (re.compile(r"checks\.[^.]+\.options\.(.*)"), r"\1"),
    (re.compile(r"candidates\..*|--candidate"), "candidate"),
    (re.compile(r"--(inputs|reference)"), r"\1"),
)
_NO_ID = re.compile(r"[^A-Za-z0-9_-]+")


def assert_fidelity(  # noqa: PLR0913  (one argument a thing that a test may require)
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    inputs: str | os.PathLike[str],
    *,
    min: float | None = 0.97,
    worst: float | None = None,
    recursion: Depth | None = None,
    minimum_probes: int = 100,
    **options: Scalar,
) -> Report:
    """Raise AssertionError unless a compressed model's carry stays as close to its reference's as required.

    Both are stepped side by side over the inputs, with every guard and the noise floor of a policy: a candidate that is
    the reference itself, that was not compressed, or whose reference does not even stay near itself, never passes.

    Args:
        reference: a model file, or `zoo:NAME`.
        candidate: the compressed model's file.
        inputs: a file of probes, `zoo:NAME/evaluation`, or a source with options (`sudoku:count=100,seed=1`).
        min: the least mean carry fidelity over the probes, inclusive; None where `worst` alone is required.
        worst: the least carry fidelity of the worst probe, inclusive; a mean over a hundred probes hides one that
            collapsed.
        recursion: how deep both run; by default as deep as the reference's file declares.
        minimum_probes: with fewer nothing is decided, because a figure of few probes says little about others.
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

    try:
        with plain_warnings():
            given = {"reference": reference, "candidate": candidate, "inputs": inputs}
            paths = {name: path_given(path, name, where=NAME) for name, path in given.items()}
            depth = _depth(recursion) or _declared_depth(paths["reference"])
            policy = _policy(paths, {"min": min, "worst": worst}, depth, minimum_probes, options)
            report = stages.judged(policy, stages.measure(policy, allow_code=False))
    except GateError as error:
        raise _in_words_of_the_call(error) from None  # where in the gate it was found says nothing to a test
    if blocks(report):
        raise AssertionError(_text(report))
    return report


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Let warnings of the libraries that measure be warnings, also where a session turns those into errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def path_given(path: object, name: str, *, where: str = "") -> str:
    """Return a path that a test gives as the argument `name`.

    Raises:
        UsageError: it is no path.
    """
    __tracebackhide__ = True
    from fidelity_gate.errors import UsageError

    if not isinstance(path, (str, os.PathLike)):
        hint = "numpy.savez writes arrays of probes" if name == "inputs" else "text, or a pathlib.Path"
        raise UsageError(f"is of type {type(path).__name__}, and no path", where=where, field=name, hint=hint)
    return str(os.fspath(path))


def _depth(recursion: object) -> Depth | None:
    from fidelity_gate.errors import UsageError
    from fidelity_gate.records import Depth

    if recursion is None or isinstance(recursion, Depth):
        return recursion
    what = f"is of type {type(recursion).__name__}, and no Depth"
    raise UsageError(what, where=NAME, field="recursion", hint=DEPTH_HINT)


def _declared_depth(reference: str) -> Depth:
    from fidelity_gate.errors import UsageError
    from fidelity_gate.models.opening import open_model
    from fidelity_gate.records import ModelSpec
    from fidelity_gate.zoo.paths import located

    depth = open_model(ModelSpec("reference", located(reference))).facts.depth
    if depth is None:
        what = "the file does not say how deep the model runs"
        raise UsageError(what, where=reference, field="recursion", hint=DEPTH_HINT)
    return depth


def _policy(
    paths: dict[str, str],
    least: dict[str, float | None],
    depth: Depth,
    minimum_probes: int,
    options: dict[str, Scalar],
) -> Policy:
    """Return the policy that the arguments are, read as strictly as one in a file."""
    from fidelity_gate.errors import UsageError
    from fidelity_gate.policy.loading import Overrides, load_policy_text
    from fidelity_gate.zoo.paths import asked_rows, resolve

    reference, candidate, inputs = paths["reference"], paths["candidate"], paths["inputs"]
    checks = {
        CHECKS[name]: {
            "metric": "carry_fidelity",
            "aggregate": AGGREGATES[name],
            "options": options,
            "require": {"min": bound},
        }
        for name, bound in least.items()
        if bound is not None
    }
    if not checks:
        raise UsageError(
            "nothing is required", where=NAME, field="min", hint="a number for min, for worst, or for both"
        )
    written = {
        "apiVersion": "fidelity-gate/v1",
        "name": NAME,
        "recursion": {"h_cycles": depth.h_cycles, "l_cycles": depth.l_cycles, "steps": depth.steps},
        "minimum_probes": minimum_probes,
        "checks": checks,
    }
    given = asked_rows(inputs)
    overrides = Overrides(reference, ((_name(candidate), candidate),), given)
    return resolve(load_policy_text(json.dumps(written, default=float), NAME, overrides))


def _in_words_of_the_call(error: GateError) -> GateError:
    """Return the error with the argument that is wrong, in place of a line of a policy that nobody wrote."""
    told = copy.copy(error)
    told.where = re.sub(rf"^{NAME}:.*", NAME, told.where)
    for field, argument in _ARGUMENTS:
        if match := field.fullmatch(told.field):
            told.field, told.where = match.expand(argument), told.where or NAME
    return told


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
