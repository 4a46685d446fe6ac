"""What models and jobs of the gate are called at Qualcomm AI Hub: names that follow from digests.

A name says where to look, and is proof of nothing: anybody of the organisation can give it to anything. What is found
by its name is compared with what was asked for before it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

PREFIX = "fidelity-gate"
COMPILE, PROFILE, INFER = "compile", "profile", "inference"
_KEY_CHARACTERS = 32
_MODEL = re.compile(rf"{PREFIX} model ([0-9a-f]{{64}})", re.ASCII)


def model_name(digest: str) -> str:
    """Return the name of an uploaded step graph with this SHA-256."""
    return f"{PREFIX} model {digest}"


def digest_in(name: str) -> str:
    """Return the SHA-256 that a model's name claims; "" where it is no name of ours."""
    found = _MODEL.fullmatch(name)
    return found[1] if found else ""


def job_name(kind: str, asked: Mapping[str, str]) -> str:
    """Return the name of a job: equal for equal questions, and different for different ones.

    Args:
        kind: what it does.
        asked: everything that can change its result.
    """
    told = json.dumps({"kind": kind, **asked}, sort_keys=True, separators=(",", ":"))
    return f"{PREFIX} {kind} {hashlib.sha256(told.encode()).hexdigest()[:_KEY_CHARACTERS]}"


def feeds_digest(feeds: Mapping[str, Sequence[NDArray[Any]]]) -> str:
    """Return the SHA-256 of what a job is fed: names in order, and every entry's type, shape and bytes."""
    digest = hashlib.sha256()
    for name, entries in feeds.items():
        digest.update(json.dumps([name, len(entries)]).encode())
        for array in entries:
            digest.update(json.dumps([array.dtype.str, list(array.shape)]).encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
