"""`--inputs`, `--calibration` of a command line -> probes: a file, `SOURCE:key=value,...`, or rows of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fidelity_gate.records import Probes


def given_inputs(text: str, rows: str = "evaluation", *, field: str = "--inputs") -> Probes:
    """Return the probes that a command line names; relative paths are against the working folder.

    Args:
        text: a file; `SOURCE:key=value,...`; or `zoo:NAME[/evaluation|/calibration][,key=value,...]`.
        rows: which rows of a zoo model are meant where none are named.
        field: the option they were given in, for errors.

    Raises:
        UsageError: an unknown suffix, source, option, model or part of it.
        InputsRefused: the file, or the probes in it, cannot be used.
    """
    from fidelity_gate.inputs.opening import from_path, open_inputs
    from fidelity_gate.zoo.paths import located_rows, spelled

    return open_inputs(located_rows(from_path(spelled(text, rows), field=field), rows), ".", field=field)
