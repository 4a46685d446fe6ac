"""An inputs specification -> probes: from a policy's `inputs:` block, or from one word of the command line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from fidelity_gate import registry
from fidelity_gate.errors import InputsRefused, UsageError
from fidelity_gate.inputs.checking import check_probes
from fidelity_gate.inputs.making import digest_of
from fidelity_gate.inputs.wav import SUFFIX, recordings
from fidelity_gate.protocols import Inputs
from fidelity_gate.records import InputsSpec, Options, Probes

ROOM = "inputs"
_BY_SUFFIX = {".npz": "npz", ".npy": "npz", ".safetensors": "safetensors", ".wav": "wav"}
_SOURCE = re.compile(r"([A-Za-z][A-Za-z0-9_-]+):(.*)", re.DOTALL)  # two letters at least: C:\ is a drive


def open_inputs(spec: InputsSpec, base: str | None = None, *, field: str = "inputs") -> Probes:
    """Return the probes that a specification names, checked for everything that needs no model.

    Args:
        spec: the plug, its options, and where they are written.
        base: the folder that relative paths are against; by default the specification's own.
        field: the policy key that names them, for errors ("inputs.calibration").

    Raises:
        PolicyError: no such plug or option, or a value of the wrong type.
        InputsRefused: the file, or the probes in it, cannot be used.
    """
    plug = registry.build(ROOM, spec.use, spec.options, where=str(spec.place), field=field)
    if not isinstance(plug, Inputs):
        raise InputsRefused(f"{spec.use} is not a source of probes", where=str(spec.place), field=f"{field}.use")
    probes = plug.probes(spec.base if base is None else base)
    check_probes(probes)
    # Computed here, so that no plug can say that other probes are these.
    digest = digest_of(probes.inputs, probes.labels, probes.identifiers, probes.ignore_label)
    return replace(probes, digest=digest)


def from_path(text: str, *, field: str = "--inputs") -> InputsSpec:
    """Return the specification of `FILE` or `SOURCE:key=value,...`, as the command line writes it in an option.

    A file is read by its suffix (.npz, .npy, .safetensors, .wav), and a folder that has .wav files as those. Beside a
    `..._inputs.npy` the `..._labels.npy` and `..._puzzle_identifiers.npy` of the official data sets are taken too.

    Raises:
        UsageError: an unknown suffix, source or option, or a value of the wrong type.
    """
    match = _SOURCE.fullmatch(text)
    if match and not Path(text).exists():
        return _from_source(match[1], match[2], field)
    suffix = _suffix_of(Path(text))
    if not suffix and text in registry.table_of(ROOM):
        return _from_source(text, "", field)
    if suffix not in _BY_SUFFIX:
        hint = f"{', '.join(sorted(_BY_SUFFIX))}, or a source: sudoku:count=100,seed=1"
        raise UsageError("cannot tell from its suffix what kind of file it is", where=text, field=field, hint=hint)
    beside = _beside(Path(text)) if suffix == ".npy" else ()
    return InputsSpec(_BY_SUFFIX[suffix], tuple(sorted((("path", text), *beside))))


def _suffix_of(path: Path) -> str:
    """Return a file's suffix, and of a folder that of the recordings in it."""
    if path.is_dir():
        return SUFFIX if recordings(str(path)) else ""
    return SUFFIX if path.suffix.lower() == SUFFIX else path.suffix


def _from_source(name: str, text: str, field: str) -> InputsSpec:
    pairs = [_pair(part, field) for part in text.split(",")] if text else []
    # Built here once, so that a mistake is told as one of the command line, and its text is parsed.
    plug = registry.build(ROOM, name, pairs, field=field, kind=UsageError, from_text=True)
    return InputsSpec(name, _typed(plug, pairs))


def _pair(part: str, field: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not equals or not key:
        raise UsageError(f"'{part[:60]}' is not key=value", field=field, hint="sudoku:size=6,givens=12,count=100")
    return key, value


def _typed(plug: object, pairs: list[tuple[str, str]]) -> Options:
    """Return the options with parsed values; a tuple stays text, which options can hold."""
    options = {}
    for key, text in pairs:
        value = getattr(plug, key)
        options[key] = value if value is None or isinstance(value, str | int | float) else text
    return tuple(sorted(options.items()))


def _beside(path: Path) -> tuple[tuple[str, str], ...]:
    """Return the label and identifier files that official data sets keep beside a file of inputs."""
    if not path.stem.endswith("inputs"):
        return ()
    stem = path.stem.removesuffix("inputs")
    named = (("labels", f"{stem}labels.npy"), ("identifiers", f"{stem}puzzle_identifiers.npy"))
    return tuple((key, str(path.with_name(name))) for key, name in named if path.with_name(name).exists())
