"""Any torch module of the user's own: a factory makes it, hooks find its carry. Runs code, so only on request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import sha256_hex
from fidelity_gate.heavy import torch_module
from fidelity_gate.models import hook_module
from fidelity_gate.models.hook_options import plan_of
from fidelity_gate.models.hook_run import HookedRecursion
from fidelity_gate.models.hook_weights import read_weights
from fidelity_gate.records import ModelFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.models.hook_options import HookPlan
    from fidelity_gate.models.hook_weights import Weights
    from fidelity_gate.protocols import OpenedModel, Recursion
    from fidelity_gate.records import ModelSpec, Role, RunSpec, TensorFact


@dataclass(frozen=True, slots=True)
class Hooked:
    """A torch module from `factory`, its carry tapped at `carry`; `path` names its weights, where it has a file."""

    runs_code: ClassVar[bool] = True

    def recognises(self, path: str, head: bytes) -> bool:
        """Return False: what runs code is asked for by name, never told from a file."""
        return False

    def open(self, spec: ModelSpec) -> OpenedModel:
        """Make the module once, load its weights, and say what they are."""
        plan = plan_of(spec.options, spec.path)
        weights = read_weights(spec.path, plan.weights) if spec.path else None
        module = hook_module.made(plan, weights, spec.path)
        own = hook_module.own_digest(module)
        tensors = weights.facts if weights else hook_module.own_facts(module)
        facts = ModelFacts(
            path=spec.path,
            digest=sha256_hex(
                f"{weights.digest if weights else own}\n{hook_module.code_digest(plan.factory)}".encode()
            ),
            size_bytes=weights.size if weights else sum(fact.payload_bytes for fact in tensors),
            file_format="hooked",
            family="",
            architecture=spec.options,
            depth=None,
            geometry=None,
            tensors=_with_roles(tensors, hook_module.roles(module, plan)),
            recipe=weights.recipe if weights else "",
            calibration_rows=weights.rows if weights else (),
            notes=weights.notes if weights else ("its factory brings the weights; sizes are those in memory",),
        )
        return OpenedHooked(facts, plan, weights, own)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedHooked:
    """A hooked model, understood. Every `load` makes a module of its own."""

    facts: ModelFacts
    plan: HookPlan
    weights: Weights | None
    made_digest: str  # of the tensors that the first module had

    def load(self, run: RunSpec) -> Recursion:
        """Return the model ready to step, in eval mode.

        Raises:
            ModelRefused: the factory makes another model every time it is called.
        """
        module = hook_module.made(self.plan, self.weights, self.facts.path)
        if hook_module.own_digest(module) != self.made_digest:
            what = "its factory makes other weights every time"
            raise ModelRefused(
                what, where=self.facts.path, field=self.plan.factory, hint="save them, and name the file"
            )
        if self.weights is not None:
            hook_module.replace_products(module, self.weights.products, self.facts.path)
        return HookedRecursion(module.to(getattr(torch_module(), run.dtype)), self.plan, run)

    def dense(self) -> Mapping[str, NDArray[np.float32]]:
        """Return every tensor of the module as float32, under the names of `facts`."""
        tensors = hook_module.named_tensors(hook_module.made(self.plan, self.weights, self.facts.path))
        return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}

    def stored_weights(self) -> None:
        """A module of the owner's own is not looked into."""
        return

    def step_graph(self, sizes: Mapping[str, int] | None = None) -> None:
        """A module is no graph."""
        return


def _with_roles(facts: tuple[TensorFact, ...], roles: Mapping[str, Role]) -> tuple[TensorFact, ...]:
    return tuple(replace(fact, role=roles[fact.name]) for fact in facts)
