"""A model and one probe, packed so that another process can open the very same file and run it alone."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate import record_json
from fidelity_gate.errors import ModelRefused
from fidelity_gate.records import Depth, ModelSpec, Probes, RunSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.protocols import Recursion
    from fidelity_gate.records import ModelRecord
    from fidelity_gate.sandbox import Job

SCHEMA = "fidelity-gate/parcel/v1"
PARCEL, INPUTS, IDENTIFIERS = "parcel.json", "inputs.npy", "identifiers.npy"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What another process has to know of a model."""

    spec: ModelSpec
    depth: Depth
    run: RunSpec
    digest: str  # of the file as it was judged
    allow_code: bool
    frames: bool  # whether the probe is a row of frames


def packed(
    spec: ModelSpec, record: ModelRecord, probes: Probes, run: RunSpec, *, allow_code: bool
) -> Mapping[str, bytes]:
    """Return the files that `opened` wants: what the model is, and the first probe.

    Args:
        spec: the model as the policy names it; a relative path is against the working folder.
        record: what was hashed, and how deep it runs.
        probes: at least one.
        run: how to run; the threads are the device's to say.
        allow_code: whether its file may run Python of its owner.
    """
    there = replace(spec, path=os.path.abspath(spec.path)) if spec.path else spec  # noqa: PTH100  ("" stays "")
    parcel = Parcel(there, record.depth, run, record.facts.digest, allow_code, probes.frames)
    arrays = {INPUTS: probes.inputs[:1], IDENTIFIERS: probes.identifiers[:1]}
    return {PARCEL: record_json.dump(parcel, SCHEMA), **{name: _saved(array) for name, array in arrays.items()}}


def opened(job: Job, threads: int) -> tuple[Recursion, Probes, Depth]:
    """Return the model ready to step on so many threads, one probe, and the depth. Runs in the other process.

    Raises:
        ModelRefused: the file is not the one that was judged.
        Refused: it cannot be opened any more.
    """
    from fidelity_gate.models.opening import open_model

    parcel = record_json.load((job.inputs / PARCEL).read_bytes(), Parcel, SCHEMA, where=PARCEL)
    model = open_model(parcel.spec, allow_code=parcel.allow_code)
    if model.facts.digest != parcel.digest:
        what = "is not the file that was judged any more"
        raise ModelRefused(what, where=parcel.spec.path, hint="wait for whoever writes it, then run again")
    probe = Probes(
        inputs=np.load(job.inputs / INPUTS, allow_pickle=False),
        labels=None,
        identifiers=np.load(job.inputs / IDENTIFIERS, allow_pickle=False),
        digest="",
        source="the first probe",
        frames=parcel.frames,
    )
    return model.load(replace(parcel.run, threads=threads, batch=1)), probe, parcel.depth


def _saved(array: NDArray[np.generic]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()
