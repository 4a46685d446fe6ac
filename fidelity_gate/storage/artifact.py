"""Our own model format: safetensors whose header says what every tensor is, read as if a stranger had written it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import ModelRefused
from fidelity_gate.json_fields import Fields, parse
from fidelity_gate.records import Artifact, Depth, Role, StoredTensor
from fidelity_gate.storage.encodings import ENCODINGS
from fidelity_gate.storage.quantized import check
from fidelity_gate.storage.tensorfile import LENGTH_BYTES, header_bytes, read_tensors
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fidelity_gate.records import Options, Scalar

MARK = "fidelity_gate"
VERSION = 1
_TEXT_LIMIT = 200
_DEPTH_LIMIT = 2**20
_SIZE_LIMIT = 2**40
_ROW = re.compile(r"[0-9a-f]{16,64}")


def encode(artifact: Artifact) -> bytes:
    """Return the file's bytes; equal artifacts give equal bytes.

    A dense tensor lies in the file under its own name, so that any safetensors reader finds it; the parts of another
    one lie under `NAME/PART`.

    Raises:
        ModelRefused: a tensor is not what its encoding says, two have one name, or a text is not printable.
    """
    from safetensors.numpy import save

    tensors = sorted(artifact.tensors, key=lambda tensor: tensor.name)
    for tensor in tensors:
        check(tensor)
    header = json.dumps(_header(artifact, tensors), sort_keys=True, separators=(",", ":"), allow_nan=False)
    data = save(dict(_parts(tensors)), metadata={MARK: header})
    decode(data, "the artifact to be written")  # what cannot be read back is never written
    return data


def decode(data: bytes, where: str | Path) -> Artifact:
    """Read a whole artifact; its arrays are read-only views of `data`.

    Args:
        data: every byte of the file.
        where: the file, for errors.

    Raises:
        ModelRefused: anything but exactly what `encode` writes, told by field or tensor.
    """
    file = read_tensors(data, where=where, kind=ModelRefused)
    if set(file.metadata) != {MARK}:
        raise ModelRefused(f"its header must hold '{MARK}' and nothing else as metadata", where=where)
    content = parse(file.metadata[MARK], where=where, what=MARK, kind=ModelRefused)
    header = Fields(content, str(where), MARK, ModelRefused)
    _refuse_version(header)
    tensors = _tensors(header.inner("tensors"), file.tensors)
    artifact = Artifact(
        family=_line(header, "family"),
        architecture=_architecture(header.inner("architecture")),
        depth=_depth(header),
        tensors=tensors,
        recipe=_line(header, "recipe"),
        reference_digest=_line(header, "reference_digest"),
        calibration_digest=_line(header, "calibration_digest"),
        calibration_rows=_rows(header),
    )
    header.done()
    return artifact


def is_artifact(head: bytes) -> bool:
    """Return whether a file that starts with these bytes (64 are enough) claims to be in our format."""
    size = header_bytes(head)
    return size is not None and f'"{MARK}"'.encode() in head[LENGTH_BYTES : LENGTH_BYTES + size]


def _header(artifact: Artifact, tensors: Iterable[StoredTensor]) -> dict[str, object]:
    depth = artifact.depth
    return {
        "version": VERSION,
        "family": artifact.family,
        "architecture": dict(artifact.architecture),
        "depth": depth and {"h_cycles": depth.h_cycles, "l_cycles": depth.l_cycles, "steps": depth.steps},
        "recipe": artifact.recipe,
        "reference_digest": artifact.reference_digest,
        "calibration_digest": artifact.calibration_digest,
        "calibration_rows": list(artifact.calibration_rows),
        "tensors": {
            tensor.name: {
                "role": tensor.role.value,
                "shape": list(tensor.shape),
                "encoding": tensor.encoding,
                "axis": tensor.axis,
                "symmetric": tensor.symmetric,
            }
            for tensor in tensors
        },
    }


def _parts(tensors: Iterable[StoredTensor]) -> Iterable[tuple[str, NDArray[Any]]]:
    """Yield every array under its key in the file, refusing two of one key."""
    taken: set[str] = set()
    for tensor in tensors:
        for part in sorted(tensor.parts):
            key = _key(tensor.name, tensor.encoding, part)
            if key in taken:
                raise ModelRefused("two tensors would be stored under one name", field=key)
            taken.add(key)
            yield key, tensor.parts[part]


def _key(name: str, encoding: str, part: str) -> str:
    return name if encoding == "dense" else f"{name}/{part}"


def _refuse_version(header: Fields) -> None:
    version = header.whole("version", minimum=1, maximum=2**31)
    if version > VERSION:
        what = f"was written in format version {version}; this fidelity-gate reads up to {VERSION}"
        raise ModelRefused(what, where=header.where, hint="upgrade fidelity-gate")


def _line(header: Fields, key: str) -> str:
    """Return a text of one printable line."""
    text = header.text(key)
    return text if printable(text, _TEXT_LIMIT) == text else header.fail(key, "must be one short printable line")


def _depth(header: Fields) -> Depth | None:
    if header.value("depth") is None:
        return None
    inner = header.inner("depth")
    h_cycles, l_cycles, steps = (
        inner.whole(key, minimum=1, maximum=_DEPTH_LIMIT) for key in ("h_cycles", "l_cycles", "steps")
    )
    inner.done()
    return Depth(h_cycles, l_cycles, steps)


def _rows(header: Fields) -> tuple[str, ...]:
    rows = header.items("calibration_rows")
    for row in rows:
        if not isinstance(row, str) or not _ROW.fullmatch(row):
            header.fail("calibration_rows", "must hold digests of 16 to 64 hexadecimal digits")
    return tuple(str(row) for row in rows)


def _architecture(inner: Fields) -> Options:
    return tuple((key, _scalar(inner, key)) for key in sorted(inner.names()))


def _scalar(inner: Fields, key: str) -> Scalar:
    value = inner.value(key)
    if printable(key, _TEXT_LIMIT) != key:
        inner.fail("", "has a key that is not one short printable line")
    if value is None or isinstance(value, bool | int | float):
        return value
    return _line(inner, key)


def _tensors(inner: Fields, arrays: Mapping[str, NDArray[Any]]) -> tuple[StoredTensor, ...]:
    """Put together every tensor the header names, and refuse arrays that belong to none or to two."""
    left = dict(arrays)
    tensors = []
    for name in sorted(inner.names()):
        if not name or printable(name, _TEXT_LIMIT) != name:
            inner.fail("", "names a tensor by what is not one short printable line")
        tensors.append(_tensor(inner, name, left))
    if left:
        raise ModelRefused("an array in the file belongs to no tensor", where=inner.where, field=min(left))
    return tuple(tensors)


def _tensor(inner: Fields, name: str, left: dict[str, NDArray[Any]]) -> StoredTensor:
    entry = inner.inner(name)
    role, encoding, symmetric = entry.text("role"), entry.text("encoding"), entry.flag("symmetric")
    axis = None if entry.value("axis") is None else entry.whole("axis", minimum=0, maximum=0)
    shape = _shape(entry)
    entry.done()
    if role not in set(Role):
        entry.fail("role", f"must be one of {', '.join(Role)}")
    if encoding not in ENCODINGS:
        entry.fail("encoding", f"must be one of {', '.join(ENCODINGS)}")
    stored = StoredTensor(name, Role(role), shape, encoding, axis, symmetric, {})
    keys = {part: _key(name, encoding, part) for part in ENCODINGS[encoding].layout(stored)}
    stored = replace(stored, parts={part: left.pop(key) for part, key in keys.items() if key in left})
    check(stored, inner.where)
    return stored


def _shape(entry: Fields) -> tuple[int, ...]:
    sizes = entry.items("shape")
    for size in sizes:
        if type(size) is not int or not 0 <= size <= _SIZE_LIMIT:
            entry.fail("shape", "must hold whole numbers that are not negative")
    return tuple(sizes)  # type: ignore[arg-type]  # each was just looked at
