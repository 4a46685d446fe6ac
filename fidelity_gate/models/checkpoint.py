"""Reference formats: PyTorch checkpoints as training programs leave them, and safetensors state dicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.heavy import torch_module
from fidelity_gate.model_files import digest_of, own_file
from fidelity_gate.models.choosing import choose_family
from fidelity_gate.models.layouts import stripped
from fidelity_gate.models.looking import PlainWeights
from fidelity_gate.models.sidecars import sources_of
from fidelity_gate.models.state import State, is_safetensors, is_torch, read_state, refuse_not_finite
from fidelity_gate.records import ModelFacts, Role, TensorFact
from fidelity_gate.storage.artifact import is_artifact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.protocols import Family, OpenedModel, Recursion, Weights
    from fidelity_gate.records import ModelSpec, RunSpec, StepGraph


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state dict: bare, wrapped or averaged, from torch.save or in safetensors, under official tensor names."""

    def recognises(self, path: str, head: bytes) -> bool:
        """Return whether the first bytes are PyTorch's, or those of safetensors that are not our own format."""
        return is_torch(head) or (is_safetensors(head) and not is_artifact(head))

    def open(self, spec: ModelSpec) -> OpenedModel:
        """Read and hash the file and what stands beside it, find the weights, and find their family."""
        state = read_state(spec.path, str(dict(spec.options).get("weights", "")))
        arrays = stripped(state.arrays)
        sources = sources_of(spec)
        family, overruled = choose_family({name: array.shape for name, array in arrays.items()}, sources, spec.path)
        ties = official_ties(state)
        tensors = tuple(
            tied(fact_of(name, arrays[name], role, spec.path), ties.get(name, ""))
            for name, (_, role) in roles_of(family)
        )
        notes = (*_link_note(state), *state.notes, *overruled)
        beside = [source.file for source in sources if source.file]
        files = (own_file(state.file), *beside)
        facts = ModelFacts(
            path=spec.path,
            digest=digest_of(files),
            size_bytes=sum(file.size_bytes for file in files),
            file_format="safetensors" if is_safetensors(state.file.data[:64]) else "pytorch",
            family=family.name,
            architecture=family.architecture(),
            depth=family.declared_depth(),
            geometry=family.geometry(),
            tensors=tensors,
            notes=notes + tuple(f"read {file.name} beside it" for file in beside),
            files=files,
        )
        return OpenedCheckpoint(facts, family, arrays)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedCheckpoint:
    """A checkpoint, understood; the arrays are as stored."""

    facts: ModelFacts
    family: Family
    arrays: Mapping[str, NDArray[Any]]

    def load(self, run: RunSpec) -> Recursion:
        """Return the model ready to step, its weights widened to float32."""
        torch = torch_module()
        weights = {name: torch.from_numpy(array) for name, array in self.dense().items()}
        return self.family.build(weights, run)

    def dense(self) -> Mapping[str, NDArray[np.float32]]:
        """Return every tensor as a fresh float32 array."""
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused by name
            dense = {name: array.astype(np.float32) for name, array in self.arrays.items()}
        refuse_not_finite(dense)
        return dense

    def stored_weights(self) -> Weights | None:
        """Return the tensors one by one."""
        return PlainWeights(self.arrays)

    def step_graph(self, sizes: Mapping[str, int] | None = None) -> StepGraph | None:
        """A checkpoint holds tensors only."""
        return None


def roles_of(family: Family) -> tuple[tuple[str, tuple[tuple[int, ...], Role]], ...]:
    """Return the family's tensors, sorted by name."""
    return tuple(sorted(family.tensors().items()))


def fact_of(name: str, array: NDArray[Any], role: Role, where: str) -> TensorFact:
    """Return what a tensor takes in a plain file.

    Raises:
        ModelRefused: a matrix of integers, whose scales nobody here would know of.
    """
    if array.dtype.kind in "iub" and role is not Role.OTHER:
        what = f"holds {array.dtype.name} values without scales"
        raise ModelRefused(
            what, where=where, field=name, hint="fidelity-gate compress writes integers that can be read"
        )
    return TensorFact(name, role, array.shape, array.dtype.name, 8.0 * array.dtype.itemsize, array.nbytes)


def official_ties(state: State) -> Mapping[str, str]:
    """Return official key -> the official key of the tensor whose bytes it shares."""
    official = {raw: name for name, raw in stripped({raw: raw for raw in state.arrays}).items()}
    return {official[name]: official[first] for name, first in state.ties.items()}


def tied(fact: TensorFact, first: str) -> TensorFact:
    """Return the fact of a tensor whose bytes are counted elsewhere, or the same fact where `first` is ""."""
    return replace(fact, payload_bytes=0, tied_to=first) if first else fact


def _link_note(state: State) -> tuple[str, ...]:
    return (f"is a link to {state.file.resolved}",) if state.file.linked else ()
