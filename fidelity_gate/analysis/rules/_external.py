"""Where the tensors lie that a model file keeps in other files; read as names and sizes, never as weights."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections import defaultdict
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from fidelity_gate.graphs.element_types import element_types, stored_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphConstant


def by_location(subject: Subject) -> Mapping[str, list[GraphConstant]]:
    """Return location as written -> the constants that are said to lie there, both sorted by name."""
    found: dict[str, list[GraphConstant]] = defaultdict(list)
    for constant in subject.graph.constants.values() if subject.graph else ():
        if constant.external is not None:
            found[constant.external.location].append(constant)
    return dict(sorted(found.items()))


def place_problem(folder: Path, location: str) -> str:
    """Return why a place may not be read: it is not a regular file of its own within the folder; "" where it may be."""
    parts = PurePosixPath(location).parts
    if not parts or "\0" in location:
        return "no possible file name"
    if PurePosixPath(location).is_absolute() or PureWindowsPath(location).drive or location.startswith("\\"):
        return "an absolute path"
    if ".." in parts or ".." in PureWindowsPath(location).parts:
        return "a path that leaves the folder"
    return _walk(folder, parts)


def range_problem(folder: Path, constant: GraphConstant) -> str:
    """Return why a constant cannot be what its file holds there: the range is not its size, or not in the file."""
    external = constant.external
    element = next((kind for kind in element_types().values() if kind.name == constant.dtype), None)
    if external is None or element is None:
        return ""
    expected = stored_size(element, math.prod(constant.shape))
    length = expected if external.length is None else external.length
    if external.offset < 0 or length != expected:
        return f"says {length:,} bytes from {external.offset:,}, and the tensor takes {expected:,}"
    size = (folder / external.location).stat().st_size
    if external.offset + length > size:
        return f"ends at byte {external.offset + length:,} of a file of {size:,}"
    return ""


def checksum_problem(folder: Path, constant: GraphConstant) -> str:
    """Return why a file is not the one that was pinned (SHA-1, as ONNX has it)."""
    external = constant.external
    if external is None or not external.checksum:
        return ""
    with (folder / external.location).open("rb") as handle:
        found = hashlib.file_digest(handle, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    return "" if found == external.checksum.lower() else f"has the SHA-1 {found}, and {external.checksum} is pinned"


def _walk(folder: Path, parts: tuple[str, ...]) -> str:
    try:
        at, mode = folder, folder.lstat()  # the folder itself may be a link: the user named it
        for part in parts:
            at /= part
            mode = at.lstat()
            if stat.S_ISLNK(mode.st_mode):
                return f"a link ('{part}')"
        if not stat.S_ISREG(mode.st_mode):
            return "not a regular file"
        if mode.st_nlink > 1:  # the other name may be anywhere
            return f"a file with {mode.st_nlink} names (hard links)"
        return "" if os.access(at, os.R_OK) else "a file that may not be read"
    except FileNotFoundError:
        return "not there"
    except (OSError, ValueError):
        return "no possible file name"
