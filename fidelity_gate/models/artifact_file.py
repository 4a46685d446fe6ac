"""Our own format: what `compress` writes, every claim of its header held against the tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import read_file
from fidelity_gate.heavy import torch_module
from fidelity_gate.model_files import own_file
from fidelity_gate.models.choosing import ROOM, refuse_misfits
from fidelity_gate.models.looking import StoredWeights
from fidelity_gate.models.state import LARGEST_FILE
from fidelity_gate.records import ModelFacts, Role
from fidelity_gate.storage.artifact import decode, is_artifact
from fidelity_gate.storage.quantized import dense_of, fact_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.files import FileBytes
    from fidelity_gate.protocols import Family, OpenedModel, Recursion, Weights
    from fidelity_gate.records import Artifact, Depth, ModelSpec, RunSpec, StepGraph, StoredTensor, Tensor

_APPLIED = (Role.BLOCK, Role.HEAD)  # matrices that activations are multiplied with; the others are looked up


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """A fidelity-gate artifact: safetensors with packed integers, their scales, and the architecture in the header."""

    def recognises(self, path: str, head: bytes) -> bool:
        """Return whether the first bytes carry our mark."""
        return is_artifact(head)

    def open(self, spec: ModelSpec) -> OpenedModel:
        """Read and hash the file, and hold its header against its tensors and against the policy."""
        file = read_file(spec.path, limit_bytes=LARGEST_FILE, kind=ModelRefused)
        artifact = decode(file.data, spec.path)
        if not artifact.family:
            hint = "use: hooked, with the factory and the carry of its reference"
            raise ModelRefused("was made of a model of your own", where=spec.path, hint=hint)
        family: Family = registry.build(
            ROOM, artifact.family, artifact.architecture, where=spec.path, kind=ModelRefused
        )
        refuse_misfits({tensor.name: tensor.shape for tensor in artifact.tensors}, family, spec.path)
        _refuse_false_roles(artifact, family, spec.path)
        _refuse_other_architecture(family, spec)
        facts = ModelFacts(
            path=spec.path,
            digest=file.digest,
            size_bytes=file.size,
            file_format="artifact",
            family=family.name,
            architecture=family.architecture(),
            depth=_depth(artifact, family, spec.path),
            geometry=family.geometry(),
            tensors=tuple(fact_of(tensor) for tensor in artifact.tensors),
            recipe=artifact.recipe,
            calibration_rows=artifact.calibration_rows,
            notes=_notes(file, artifact),
            files=(own_file(file),),
        )
        return OpenedArtifact(facts, family, artifact)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedArtifact:
    """An artifact, understood."""

    facts: ModelFacts
    family: Family
    artifact: Artifact

    def load(self, run: RunSpec) -> Recursion:
        """Return the model ready to step: weights as float32, LLM.int8 matrices as bitsandbytes computes them."""
        weights = {tensor.name: _weight(tensor, self.facts.path) for tensor in self.artifact.tensors}
        return self.family.build(weights, run)

    def dense(self) -> Mapping[str, NDArray[np.float32]]:
        """Return every tensor dequantized to float32."""
        return {tensor.name: dense_of(tensor) for tensor in self.artifact.tensors}

    def stored_weights(self) -> Weights | None:
        """Return the tensors one by one."""
        return StoredWeights({tensor.name: tensor for tensor in self.artifact.tensors})

    def step_graph(self, sizes: Mapping[str, int] | None = None) -> StepGraph | None:
        """An artifact holds tensors only."""
        return None


def _weight(stored: StoredTensor, where: str) -> Tensor:
    if stored.encoding == "int8-bnb" and stored.role in _APPLIED:
        from fidelity_gate.models.llm_int8 import matrix_of

        return matrix_of(stored, where)
    dense: Any = dense_of(stored)
    return torch_module().from_numpy(dense)


def _notes(file: FileBytes, artifact: Artifact) -> tuple[str, ...]:
    notes = [f"is a link to {file.resolved}"] if file.linked else []
    if any("threshold" in tensor.parts and tensor.parts["threshold"].any() for tensor in artifact.tensors):
        notes.append("LLM.int8 tells outliers over a whole batch, so its figures depend on the batch size")
    return tuple(notes)


def _refuse_false_roles(artifact: Artifact, family: Family, where: str) -> None:
    """Refuse a header that calls a tensor something else: shares and footprints are counted by role."""
    roles = {name: role for name, (_, role) in family.tensors().items()}
    for tensor in artifact.tensors:
        if tensor.role is not roles[tensor.name]:
            what = f"is said to be of role {tensor.role.value}, and is of role {roles[tensor.name].value}"
            raise ModelRefused(what, where=where, field=tensor.name)


def _refuse_other_architecture(family: Family, spec: ModelSpec) -> None:
    """Refuse a policy that describes another model than the file holds."""
    held = {**dict(family.architecture()), "family": family.name}
    for key, value in spec.options:
        if key not in held:
            raise registry.unknown(
                key, held, what=f"{family.name} has no setting", where=str(spec.place) or spec.path, kind=ModelRefused
            )
        if held[key] != value:
            raise ModelRefused(f"is {held[key]} in the file, and {value} in the policy", where=spec.path, field=key)


def _depth(artifact: Artifact, family: Family, where: str) -> Depth | None:
    declared = family.declared_depth()
    if artifact.depth and declared and artifact.depth != declared:
        what = f"declares a depth of {artifact.depth}, and its architecture says {declared}"
        raise ModelRefused(what, where=where, field="depth")
    return artifact.depth or declared
