"""`zoo:NAME` and `zoo:NAME/evaluation` as paths, wherever a policy or a command line names a file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate.errors import UsageError
from fidelity_gate.zoo.catalog import entry

if TYPE_CHECKING:
    from fidelity_gate.records import InputsSpec, ModelSpec, Policy, Scalar

ZOO = "zoo"
PREFIX = f"{ZOO}:"
ROWS = ("evaluation", "calibration")
SUDOKU = "sudoku"


def is_zoo(path: object) -> bool:
    """Return whether a path is one into the zoo."""
    return isinstance(path, str) and path.startswith(PREFIX)


def located(path: str) -> str:
    """Return the file that `zoo:NAME[/evaluation|/calibration]` stands for, and every other path as it is.

    Raises:
        UsageError: no model has this name, or it has no such rows.
    """
    if not is_zoo(path):
        return path
    name, slash, rows = path.removeprefix(PREFIX).partition("/")
    found = entry(name)
    if not slash:
        return str(found.weights)
    if rows not in ROWS:
        raise UsageError(f"a zoo model has no rows '{rows}'", where=path, hint=f"zoo:{name}/{' or '.join(ROWS)}")
    return str(getattr(found, rows))


def spelled(text: str, part: str) -> str:
    """Return `zoo:NAME[/PART][,key=value,...]` of a command line as the source that reads those rows.

    Args:
        text: anything else is returned as it is.
        part: "evaluation" or "calibration", where the text does not say.
    """
    if not is_zoo(text):
        return text
    name, comma, options = text.partition(",")
    return f"npz:path={name if '/' in name else f'{name}/{part}'}{comma}{options}"


def asked_rows(text: str) -> InputsSpec | str:
    """Return inputs that are named beside a policy, as they take the place of its own.

    Args:
        text: a file, `SOURCE:key=value,...`, or rows of the zoo; a whole set of the zoo stays text, which policies know

    Raises:
        UsageError: an unknown suffix, source or option, or a value of the wrong type.
    """
    from fidelity_gate.inputs.opening import from_path

    return text if is_zoo(text) and "," not in text else from_path(spelled(text, "evaluation"))


def resolve(policy: Policy) -> Policy:
    """Return the policy with every path into the zoo replaced by the file's own.

    Raises:
        UsageError: no model has one of the names.
    """
    return replace(
        policy,
        reference=_model(policy.reference),
        candidates=tuple(map(_model, policy.candidates)),
        inputs=located_rows(policy.inputs, "evaluation"),
        calibration=located_rows(policy.calibration, "calibration") if policy.calibration else None,
    )


def _model(spec: ModelSpec) -> ModelSpec:
    return replace(spec, path=located(spec.path))


def located_rows(spec: InputsSpec, part: str) -> InputsSpec:
    """Return the rows with their files; `use: zoo` names a model and means the rows that belong in this place.

    Args:
        spec: with paths into the zoo, or none.
        part: "evaluation" or "calibration", where `use: zoo` does not say.

    Raises:
        UsageError: no model has one of the names, or it has no such rows.
    """
    if spec.use == ZOO:
        path = str(dict(spec.options)["path"])
        told = (("symbols", shown),) if (shown := _symbols(path)) else ()
        return replace(spec, use="npz", options=(("path", located(path if "/" in path else f"{path}/{part}")), *told))
    options: tuple[tuple[str, Scalar], ...] = tuple(
        (key, located(value) if isinstance(value, str) else value) for key, value in spec.options
    )
    return replace(spec, options=options)


def _symbols(path: str) -> str:
    """Return how reports show the tokens of a model's rows; "" where numbers are what they are."""
    from fidelity_gate.inputs.sudoku import symbols

    recipe = entry(path.removeprefix(PREFIX).partition("/")[0]).card.recipe
    return "".join(symbols(int(recipe["size"]))) if recipe["task"] == SUDOKU else ""
