"""What an exported step graph says of itself in `metadata_props`: unit, depth, origin, and the carry it starts from.

The initial carry is here and not among the initializers, because no node reads it: onnxruntime, its quantizers and
onnxscript's optimizer all drop initializers without a reader, and all of them keep the metadata.
"""

from __future__ import annotations

import base64
import binascii
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused
from fidelity_gate.lazy import Postponed
from fidelity_gate.records import Depth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = Postponed("numpy")

PREFIX = "fidelity_gate."
INITIAL = f"{PREFIX}initial."  # + name of the state input
EMBEDDING_DIGEST = f"{PREFIX}embedding_digest"
_LITTLE_FLOAT = "<f4"
_MOST_CHARACTERS = 2**26  # of one initial state


class Unit(StrEnum):
    """What one run of a step graph is."""

    H_CYCLE = "h-cycle"  # L-updates, then one H-update
    ACT_STEP = "act-step"  # all H-cycles


@dataclass(frozen=True, slots=True, eq=False)
class StepMetadata:
    """What a step graph says of itself: a claim, as all metadata.

    Attributes:
        family: of the model it was made from.
        unit: what one run is.
        depth: how deep the model runs.
        reference_digest: sha256 of the model file it was made from.
        initial: state input -> what it starts from; broadcasts against the state's shape.
        embedding_digest: sha256 of the graph that makes `x` of tokens; "" where the step graph takes tokens itself.
    """

    family: str
    unit: Unit
    depth: Depth
    reference_digest: str
    initial: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    embedding_digest: str = ""

    @property
    def runs(self) -> int:
        """Return how often the host runs the graph for one probe at full depth."""
        return self.depth.steps * (self.depth.h_cycles if self.unit is Unit.H_CYCLE else 1)

    def properties(self) -> dict[str, str]:
        """Return the keys and values of `metadata_props`, sorted."""
        told = {
            "family": self.family,
            "unit": self.unit.value,
            "h_cycles": str(self.depth.h_cycles),
            "l_cycles": str(self.depth.l_cycles),
            "steps": str(self.depth.steps),
            "reference_digest": self.reference_digest,
        }
        found = {PREFIX + key: value for key, value in told.items()}
        found |= {INITIAL + name: _encoded(array) for name, array in self.initial.items()}
        if self.embedding_digest:
            found[EMBEDDING_DIGEST] = self.embedding_digest
        return dict(sorted(found.items()))


def step_metadata(metadata: Mapping[str, str], where: str = "") -> StepMetadata | None:
    """Return what a graph's metadata says; None where it is not of an export of ours.

    Raises:
        ModelRefused: the keys are there, and a value is none that an export writes.
    """
    if f"{PREFIX}unit" not in metadata:
        return None
    unit = metadata[f"{PREFIX}unit"]
    if unit not in tuple(Unit):
        raise ModelRefused(f"'{unit}' is no unit", where=where, field=f"{PREFIX}unit", hint=", ".join(Unit))
    counts = [_count(metadata, f"{PREFIX}{name}", where) for name in ("h_cycles", "l_cycles", "steps")]
    initial = {
        key.removeprefix(INITIAL): _decoded(text, where, key)
        for key, text in sorted(metadata.items())
        if key.startswith(INITIAL)
    }
    return StepMetadata(
        family=metadata.get(f"{PREFIX}family", ""),
        unit=Unit(unit),
        depth=Depth(*counts),
        reference_digest=metadata.get(f"{PREFIX}reference_digest", ""),
        initial=initial,
        embedding_digest=metadata.get(EMBEDDING_DIGEST, ""),
    )


def _count(metadata: Mapping[str, str], key: str, where: str) -> int:
    text = metadata.get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 8 and int(text) >= 1):
        raise ModelRefused(f"'{text}' is no number of cycles or steps", where=where, field=key, hint="at least 1")
    return int(text)


def _encoded(array: NDArray[np.float32]) -> str:
    data = base64.b64encode(np.ascontiguousarray(array, _LITTLE_FLOAT).tobytes()).decode("ascii")
    return json.dumps({"dtype": "float32", "shape": list(array.shape), "base64": data}, separators=(",", ":"))


def _decoded(text: str, where: str, key: str) -> NDArray[np.float32]:
    hint = '{"dtype":"float32","shape":[64],"base64":"..."}, little-endian'
    if len(text) > _MOST_CHARACTERS:
        raise ModelRefused("is too large for an initial state", where=where, field=key)
    try:
        told = json.loads(text)
        if told["dtype"] != "float32":
            raise ModelRefused("must be of dtype float32", where=where, field=key)
        data = base64.b64decode(told["base64"], validate=True)
        sizes = [operator.index(size) for size in told["shape"]]
        if min(sizes, default=0) < 0:
            raise ModelRefused("has a size below 0", where=where, field=key, hint=hint)
        values = np.frombuffer(data, _LITTLE_FLOAT).reshape(sizes)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as error:
        raise ModelRefused("is no initial state", where=where, field=key, hint=hint) from error
    if not np.isfinite(values).all():
        raise ModelRefused("holds values that are not finite", where=where, field=key)
    return values.astype(np.float32)
