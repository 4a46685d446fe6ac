"""Makes the user's module: calls the factory, fills in the weights, and tells what its tensors are for."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.files import read_file
from fidelity_gate.heavy import torch_module
from fidelity_gate.models.hook_run import submodule
from fidelity_gate.models.layouts import stripped
from fidelity_gate.records import Role, TensorFact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.models.hook_options import HookPlan
    from fidelity_gate.models.hook_weights import Weights
    from fidelity_gate.records import StoredTensor

SOURCE_LIMIT = 16 << 20
FACTORY_SEED = 0


def made(plan: HookPlan, weights: Weights | None, where: str) -> Any:  # noqa: ANN401  (torch is imported lazily)
    """Return a fresh module on the CPU, in eval mode, with its weights.

    Raises:
        ModelRefused: there is no such factory, it fails, it returns no module, or the weights are not the module's.
    """
    torch = torch_module()
    factory = _factory(plan.factory)
    outside = torch.get_rng_state()
    torch.manual_seed(FACTORY_SEED)  # whatever the factory draws, it draws alike every time
    try:
        module = factory(**dict(plan.settings))
    except GateError:
        raise
    except Exception as error:
        what = f"its factory failed: {type(error).__name__}: {error}"
        raise ModelRefused(what, where=where, field=plan.factory, hint="--debug shows where") from error
    finally:
        torch.set_rng_state(outside)
    if not isinstance(module, torch.nn.Module):
        what = f"its factory returned a {type(module).__name__}, not a torch module"
        raise ModelRefused(what, where=where, field=plan.factory)
    module = module.cpu().eval()
    if weights is not None:
        _fill(module, weights.arrays, where)
    return module


def named_tensors(module: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return every tensor of the module's state, sorted; a wrapper prefix that all names share is removed."""
    return stripped(_state(module))


def own_facts(module: Any) -> tuple[TensorFact, ...]:  # noqa: ANN401
    """Return what the module's tensors take in memory; roles are not known yet."""
    facts = []
    for name, tensor in named_tensors(module).items():
        dtype, size = str(tensor.dtype).removeprefix("torch."), tensor.element_size()
        facts.append(TensorFact(name, Role.OTHER, tuple(tensor.shape), dtype, 8.0 * size, tensor.numel() * size))
    return tuple(facts)


def roles(module: Any, plan: HookPlan) -> dict[str, Role]:  # noqa: ANN401
    """Return what each tensor is for: matrices below a tapped module are applied at every step.

    Raises:
        ModelRefused: the plan names a module that is not there.
    """
    torch = torch_module()
    for tap in plan.taps:
        submodule(module, tap.module)
    embeddings = {name for name, part in module.named_modules() if isinstance(part, torch.nn.Embedding)}
    state = _state(module)
    found = {}
    for short, raw in zip(stripped(state), sorted(state), strict=True):
        below = any(not tap.module or raw.startswith(f"{tap.module}.") for tap in plan.taps)
        matrix = Role.BLOCK if below else Role.HEAD
        matrix = Role.EMBEDDING if raw.rpartition(".")[0] in embeddings else matrix
        found[short] = matrix if state[raw].dim() >= 2 else Role.OTHER
    return found


def own_digest(module: Any) -> str:  # noqa: ANN401
    """Return a digest of every tensor in the module."""
    torch = torch_module()
    digest = hashlib.sha256()
    for name, tensor in named_tensors(module).items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def code_digest(entry: str) -> str:
    """Return the digest of the file that the factory is written in, or "": other code is another model."""
    factory = inspect.unwrap(_factory(entry))
    try:
        source = inspect.getsourcefile(factory)
    except TypeError:  # written in C, or a callable object
        return ""
    if source is None or not Path(source).is_file():
        return ""
    return read_file(source, limit_bytes=SOURCE_LIMIT, kind=ModelRefused).digest


def replace_products(module: Any, products: Mapping[str, StoredTensor], where: str) -> None:  # noqa: ANN401
    """Let linear layers whose weights are stored for LLM.int8 multiply as LLM.int8 does.

    Raises:
        ModelRefused: such a weight is not a linear layer's.
    """
    if not products:
        return
    from fidelity_gate.models.llm_int8 import matrix_of

    raw_of = dict(zip(named_tensors(module), sorted(_state(module)), strict=True))
    for name, stored in sorted(products.items()):
        owner = module.get_submodule(raw_of[name].rpartition(".")[0])
        if not isinstance(owner, torch_module().nn.Linear):
            what = f"is the weight of a {type(owner).__name__}, which LLM.int8 cannot compute"
            raise ModelRefused(what, where=where, field=name, hint="compress with the recipe int8")
        owner.forward = _Product(matrix_of(stored, where), owner.bias)


class _Product:
    """The forward pass of a linear layer whose matrix is a callable."""

    def __init__(self, matrix: Any, bias: Any) -> None:  # noqa: ANN401
        self.matrix = matrix
        self.bias = bias

    def __call__(self, x: Any) -> Any:  # noqa: ANN401
        """Return `matrix(x) + bias`."""
        product = self.matrix(x)
        return product if self.bias is None else product + self.bias


def _factory(entry: str) -> Any:  # noqa: ANN401  (user code)
    module_name, _, path = entry.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
    except GateError:
        raise
    except Exception as error:  # user code runs on import, and may fail in any way
        hint = "it must be importable: install it, or set PYTHONPATH"
        raise ModelRefused(f"cannot be imported: {type(error).__name__}: {error}", field=entry, hint=hint) from error
    for part in path.split("."):
        if not hasattr(value, part):
            raise ModelRefused(f"has no '{part}'", field=entry)
        value = getattr(value, part)
    return value


def _state(module: Any) -> dict[str, Any]:  # noqa: ANN401
    torch = torch_module()
    return {name: value for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}


def _fill(module: Any, arrays: Mapping[str, NDArray[Any]], where: str) -> None:  # noqa: ANN401
    """Put the weights into the module; every tensor of either must be in both, in one shape."""
    torch = torch_module()
    state = _state(module)
    raw_of = dict(zip(stripped(state), sorted(state), strict=True))
    for fault, names in (("is missing", set(raw_of) - set(arrays)), ("is no tensor of it", set(arrays) - set(raw_of))):
        if names:
            raise ModelRefused(fault, where=where, field=min(names), hint=f"{len(names)} in all")
    filled = {}
    for name, array in arrays.items():
        like = state[raw_of[name]]
        if tuple(like.shape) != array.shape:
            what = f"has shape {array.shape}, and the module's is {tuple(like.shape)}"
            raise ModelRefused(what, where=where, field=name)
        plain = array.astype("float32") if array.dtype.name == "bfloat16" else array.copy()
        filled[raw_of[name]] = torch.from_numpy(plain).to(like.dtype)
    module.load_state_dict(filled, strict=False)  # strict by the lines above, with better words
