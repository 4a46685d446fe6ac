"""`MODEL [--model KEY=VALUE ...]` of a command line -> the same specification that a policy would give."""

from __future__ import annotations

from fidelity_gate.errors import UsageError
from fidelity_gate.options import converted
from fidelity_gate.records import ModelSpec, Scalar

OPTION = "--model"


def given_model(path: str, pairs: tuple[str, ...], *, name: str = "reference") -> ModelSpec:
    """Return the specification of one model.

    Args:
        path: of the file, or `zoo:NAME`.
        pairs: `KEY=VALUE` as a policy's `model:` block has them; numbers, true, false and none are read as such.
        name: what the model is called in messages.

    Raises:
        UsageError: not KEY=VALUE, or a key twice.
    """
    options: dict[str, Scalar] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"'{pair}' is not KEY=VALUE", field=OPTION, hint="--model h_cycles=3")
        if key in options:
            raise UsageError("given twice", field=f"{OPTION} {key}")
        options[key] = scalar(text)
    return ModelSpec(name, _file(path), tuple(sorted(options.items())))


def _file(path: str) -> str:
    """Return the file of a path, which may be `zoo:NAME`; the zoo is read only when it is named."""
    if not path.startswith("zoo:"):
        return path
    from fidelity_gate.zoo.paths import located

    return located(path)


def scalar(text: str) -> Scalar:
    """Return what a text says: a number, true, false or none where it is one, else the text."""
    value: Scalar = converted(text, int | float | bool | None | str, from_text=True)  # type: ignore[assignment]
    return value
