"""Opens whatever model a policy names: the one door into this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.errors import GateError, ModelRefused, UsageError
from fidelity_gate.files import head
from fidelity_gate.models.state import located, refuse_predictions

if TYPE_CHECKING:
    from fidelity_gate.protocols import ModelFormat, OpenedModel
    from fidelity_gate.records import ModelSpec

ROOM = "models"


def open_model(spec: ModelSpec, *, allow_code: bool = False) -> OpenedModel:
    """Read, hash and understand a model file.

    Args:
        spec: the model as the policy names it; without `use`, the format is told from the first bytes of the file.
        allow_code: let a format run the user's own Python code. Only ever the word of whoever started the gate (a
            command-line option), never of a policy, which may come with a pull request.

    Raises:
        ModelRefused: the file, or what stands beside it, is not a model that can be judged.
        UnsafeContent: it holds code, or is too large.
        UsageError: it needs code to run, and that was not allowed.
        Undecided: it could not be read within the limits of time and memory.
    """
    name = spec.use or _told_from_file(spec)
    plug = registry.find(ROOM, name, where=str(spec.place), field="use")
    if getattr(plug, "runs_code", False) and not allow_code:
        what = f"a '{name}' model runs Python code of its owner, and that was not allowed"
        raise UsageError(what, where=str(spec.place) or spec.path, hint="if you trust it: --allow-code")
    model_format: ModelFormat = plug()
    try:
        return model_format.open(spec)
    except GateError as error:
        if error.where:
            raise
        raise located(error, spec.path) from error


def _told_from_file(spec: ModelSpec) -> str:
    """Return the name of the format that recognises the file."""
    refuse_predictions(spec.path)
    start = head(spec.path, kind=ModelRefused)
    names = [name for name in registry.table_of(ROOM) if registry.find(ROOM, name)().recognises(spec.path, start)]
    if len(names) == 1:
        return names[0]
    if names:
        raise ModelRefused(f"could be {' or '.join(names)}", where=spec.path, hint="say which in the policy: use")
    raise ModelRefused(
        "is in no model format that is known here",
        where=spec.path,
        hint="a PyTorch state dict, safetensors, an ONNX graph, or an artifact of fidelity-gate compress",
    )
