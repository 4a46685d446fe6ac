"""Bytes of `.npy` and `.npz` files -> arrays of plain numbers, strictly: no pickles, no bombs, no second meaning."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import GateError, InputsRefused, UnsafeContent
from fidelity_gate.lazy import Postponed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
else:
    np = Postponed("numpy")

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
_MEMBERS = 64
_HEADER_READERS = {(1, 0): "read_array_header_1_0", (2, 0): "read_array_header_2_0"}  # of numpy.lib.format

# What numpy's parser of Python literals lets out on bytes that nobody wrote in good faith; KeyError: version 3, which
# numpy writes for structured arrays alone.
_BROKEN_HEADER = (
    ArithmeticError,
    EOFError,
    KeyError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npy(data: bytes, *, where: str, field: str = "", kind: type[GateError] = InputsRefused) -> NDArray[Any]:
    """Return the one array of a `.npy` file, read-only, a view of `data`.

    Raises:
        kind: not a `.npy` file; cut off; more bytes than the array takes.
        UnsafeContent: Python objects, which only a pickle could read.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = getattr(np.lib.format, _HEADER_READERS[version])(stream)
    except _BROKEN_HEADER as error:
        raise kind("is not a readable .npy file: its header is broken", where=where, field=field) from error
    if dtype.hasobject:
        hint = "save plain numbers: array.astype(np.int32), or np.float32"
        raise UnsafeContent(
            "holds Python objects, which only running code could read", where=where, field=field, hint=hint
        )
    if dtype.names is not None or dtype.subdtype is not None:
        raise kind("holds records, not plain numbers", where=where, field=field)
    needed, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if needed != there or min(shape, default=0) < 0:
        fault = "is cut off" if needed > there else "has bytes behind its array"
        raise kind(f"{fault}: {needed:,} bytes declared, {there:,} there", where=where, field=field)
    if needed == 0:
        return np.empty(shape, dtype)
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def read_npz(
    data: bytes, *, where: str, limit_bytes: int, kind: type[GateError] = InputsRefused
) -> Mapping[str, bytes]:
    """Return the members of a `.npz` file, name -> bytes of a `.npy` file.

    Raises:
        kind: not a readable archive; a member that is no `.npy` file; two members with one name.
        UnsafeContent: more members, or more bytes once unpacked, than are allowed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _refuse_bomb(members, where, limit_bytes)
            return {name: _unpacked(archive, member) for name, member in _named(members, where, kind).items()}
    except (NotImplementedError, RuntimeError) as error:  # needs a password, or a newer zip than numpy writes
        raise kind("is packed in a way numpy never writes", where=where, hint="np.savez") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error) as error:
        raise kind("is not a readable .npz file: damaged or cut off", where=where) from error


def _refuse_bomb(members: list[zipfile.ZipInfo], where: str, limit_bytes: int) -> None:
    if len(members) > _MEMBERS:
        raise UnsafeContent(f"holds {len(members)} arrays", where=where, hint=f"at most {_MEMBERS}")
    unpacked = sum(member.file_size for member in members)
    if unpacked > limit_bytes:
        raise UnsafeContent(f"unpacks to {unpacked:,} bytes", where=where, hint=f"at most {limit_bytes:,}")


def _named(members: list[zipfile.ZipInfo], where: str, kind: type[GateError]) -> dict[str, zipfile.ZipInfo]:
    named: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        if member.compress_type not in _PACKINGS:
            raise NotImplementedError
        if not member.filename.endswith(".npy"):
            raise kind(f"holds '{member.filename}', which is no array", where=where, hint="np.savez writes .npy")
        name = member.filename.removesuffix(".npy")
        if name in named:
            raise kind("holds two arrays of this name", where=where, field=name)
        named[name] = member
    return named


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member's bytes; one that unpacks to more than it declares is damaged (its checksum was not reached)."""
    with archive.open(member) as stream:
        data = stream.read(member.file_size + 1)
    if len(data) != member.file_size:
        raise zipfile.BadZipFile
    return data
