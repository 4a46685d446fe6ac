"""What `lint` looks at: the models of the command line, of its folders, and of a policy, one after the other."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.analysis.concluding import code_of
from fidelity_gate.analysis.linting import lint_with
from fidelity_gate.analysis.subject import subject_of
from fidelity_gate.errors import NotMeasured, UsageError
from fidelity_gate.records import LintedModel, Place
from fidelity_gate.verbs.failures import as_gate_error
from fidelity_gate.verbs.given_model import given_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.analysis.linting import ChosenRule
    from fidelity_gate.protocols import OpenedModel, Subject
    from fidelity_gate.records import Depth, ModelSpec, Policy, Severity, Target

SUFFIXES = (".ckpt", ".onnx", ".pt", ".pth", ".safetensors")
PERHAPS = (".bin",)  # a model only where its first bytes say so: external data of ONNX files has this name too
STEP = re.compile(r"step_\d+")


@dataclass(frozen=True, slots=True)
class Given:
    """One model to look at, with all that is said of it."""

    spec: ModelSpec
    shown: str  # its path as whoever reads the findings knows it
    policy: Policy | None = None  # that names it as a candidate
    candidate: str = ""
    depth: Depth | None = None
    claims: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What every model is held against."""

    rules: tuple[ChosenRule, ...]
    fail_on: Severity
    reference: Subject | None


def from_paths(paths: tuple[str, ...], pairs: tuple[str, ...]) -> Iterator[Given]:
    """Yield the models of files, of `zoo:NAME`s and of folders, each once, in the order they were named.

    Raises:
        UsageError: a folder without any model, or `--model` that is not KEY=VALUE.
    """
    seen: set[str] = set()
    for path in paths:
        for file in _files_in(path):
            key = file if file.startswith("zoo:") else str(Path(file).absolute())
            if key not in seen:
                seen.add(key)
                yield Given(given_model(file, pairs, name=Path(file).name), file, claims=(Path(file).name,))


def from_policy(policy: Policy) -> Iterator[Given]:
    """Yield the candidates of a policy, each to be looked at as the gate would."""
    for spec in policy.candidates:
        yield Given(spec, spec.path, policy=policy, candidate=spec.name, place=spec.place)


def reference_of(spec: ModelSpec, depth: Depth | None = None) -> Subject:
    """Return the reference as rules see it; raises ModelRefused."""
    from fidelity_gate.models.opening import open_model

    return subject_of("reference", open_model(spec), depth=depth)


def looked_at(given: Given, bench: Bench) -> LintedModel:
    """Return what was found in one model, or why nothing could be: the next model is looked at all the same."""
    unread = LintedModel(given.shown, given.candidate, place=given.place)
    try:
        return _linted(given, bench, unread)
    except Exception as error:  # noqa: BLE001  (told in every report, and the exit code says it)
        failure = as_gate_error(error)
        named = (
            failure
            if failure.where
            else type(failure)(failure.what, where=given.shown, field=failure.field, hint=failure.hint)
        )
        return replace(unread, error=str(named), exit_code=int(failure.exit_code))


def _linted(given: Given, bench: Bench, unread: LintedModel) -> LintedModel:
    from fidelity_gate.models.opening import open_model

    opened = open_model(given.spec)
    subject = _subject(given, opened, bench.reference)
    linted = lint_with(bench.rules, subject, model=given.shown, candidate=given.candidate)
    if not linted.checked:
        code, lacked = linted.skipped[0]
        what = f"none of {len(linted.skipped)} lint rules could look at it ({code}: {lacked})"
        raise NotMeasured(what, where=given.shown)
    return replace(
        unread,
        digest=opened.facts.digest,
        size_bytes=opened.facts.size_bytes,
        file_format=opened.facts.file_format,
        linted=linted,
        exit_code=int(code_of(linted, bench.fail_on)),
    )


def _subject(given: Given, opened: OpenedModel, reference: Subject | None) -> Subject:
    if given.policy is not None:
        from fidelity_gate.measuring.static import candidate_subject

        return candidate_subject(given.spec, opened, reference, given.policy)
    return subject_of(
        given.spec.name,
        opened,
        depth=given.depth,
        claims=given.claims,
        targets=given.targets,
        reference=reference,
    )


def _files_in(path: str) -> list[str]:
    """Return the models in a folder, sorted, or the one file; a folder without any is a mistake, not a success."""
    if path.startswith("zoo:") or not Path(path).is_dir():
        return [path]
    found = sorted(
        str(Path(folder) / name)
        for folder, below, names in os.walk(path)
        if _keep_visible(below)
        for name in names
        if _is_model(Path(folder) / name)
    )
    if not found:
        raise UsageError("holds no models", where=path, hint=f"files that end in {', '.join(SUFFIXES)}, or step_N")
    return found


def _keep_visible(below: list[str]) -> bool:
    """Take hidden folders out of a walk."""
    below[:] = sorted(name for name in below if not name.startswith("."))
    return True


def _is_model(path: Path) -> bool:
    """Return whether a file of a folder is a model by its name, or by its first bytes where the name leaves it open."""
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    return (path.suffix.lower() in PERHAPS or bool(STEP.fullmatch(path.name))) and _looks_like_one(path)


def _looks_like_one(path: Path) -> bool:
    from fidelity_gate import registry
    from fidelity_gate.errors import GateError
    from fidelity_gate.files import head
    from fidelity_gate.models.opening import ROOM

    try:
        start = head(path)
    except GateError:
        return True  # it has the name of one, and whoever opens it says what is wrong with it
    return any(registry.find(ROOM, name)().recognises(str(path), start) for name in registry.table_of(ROOM))
