"""Runs a step graph once an entry on the gate's own processor, in a process of its own, and brings the outputs home.

Both sides of it. The session in the child is that of the gate's own runs: one provider, threads as the device says, the
optimization level that the policy names. So on the machine that the gate runs on, equal feeds give equal bits.
"""

from __future__ import annotations

import importlib
import io
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.arrays import quiet
from fidelity_gate.errors import NotMeasured
from fidelity_gate.protocols import GraphRecursion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fidelity_gate.sandbox import Job, Json

_FEED, _OUTPUT = "feed-{}.npy", "output-{}.npy"


def packed_feeds(feeds: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, bytes]:
    """Return the files that `inferred` finds in its inputs: one an input of the graph, all entries in it."""
    return {_FEED.format(place): _saved(np.stack(feeds[name])) for place, name in enumerate(sorted(feeds))}


def unpacked_outputs(outputs: Sequence[str], files: Mapping[str, bytes]) -> dict[str, list[NDArray[Any]]]:
    """Return what `inferred` wrote: output -> an array an entry."""
    arrays = (np.load(io.BytesIO(files[_OUTPUT.format(place)]), allow_pickle=False) for place in range(len(outputs)))
    return {name: list(array) for name, array in zip(outputs, arrays, strict=True)}


def inferred(job: Job) -> dict[str, Json]:
    """Run the graph on every entry. Runs in the child.

    Args:
        job: `request` holds `opener`, `threads`, `inputs` and `outputs` (names, in the order of the files), and what
            the opener wants.

    Returns:
        `{"runtime": "onnxruntime 1.31.1"}`; the outputs are files.

    Raises:
        NotMeasured: the model is no step graph.
    """
    threads = int(str(job.request["threads"]))
    module, _, attribute = str(job.request["opener"]).partition(":")
    model, _, _ = getattr(importlib.import_module(module), attribute)(job, threads)
    if not isinstance(model, GraphRecursion):
        raise NotMeasured("is no step graph, so it gives no outputs run by run")
    inputs, outputs = _names(job.request["inputs"]), _names(job.request["outputs"])
    stacked = [np.load(job.inputs / _FEED.format(place), allow_pickle=False) for place in range(len(inputs))]
    with quiet(threads):
        found = [
            model.session.run(outputs, dict(zip(inputs, entry, strict=True))) for entry in zip(*stacked, strict=True)
        ]
    for place in range(len(outputs)):
        (job.outputs / _OUTPUT.format(place)).write_bytes(_saved(np.stack([entry[place] for entry in found])))
    return {"runtime": f"onnxruntime {version('onnxruntime')}"}


def _names(value: Json) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _saved(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()
