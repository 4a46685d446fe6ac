"""FLOPs as torch itself counts them: `FlopCounterMode` over a real recursion, for models without a closed form.

Two traps, both measured with torch 2.13. Its counter has no formula for the attention kernel that the CPU chooses
(`_scaled_dot_product_flash_attention_for_cpu`), so attention would count nothing: here attention is always taken apart
into the products that it is made of. And it is silent about any other operator without a formula (fused encoder layers,
fused recurrent layers, LLM.int8, quantized kernels): here those are named, and then the count is known to be too low.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fidelity_gate.errors import NotMeasured
from fidelity_gate.heavy import torch_module
from fidelity_gate.records import Compute, Depth, Probes, RunSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fidelity_gate.protocols import Family, Recursion

COUNTED_BY = "torch FlopCounterMode"

# Words in the names of torch operators that multiply matrices, convolve or attend; one that torch's counter has no
# formula for is named. Interpolation and the elementwise half of a recurrent cell bear such words and do neither.
_PRODUCTS = re.compile(
    r"(^|_)((add|b|badd|int|mixed|scaled)*(mm|mv)|addr|baddbmm|cdist|conv\w*|dot|einsum|fft\w*|gru|linear|lstm|matmul"
    r"|rnn|vdot|attention|\w*pack|transformer)(_|$)"
)
_HARMLESS = re.compile(r"^(upsample_|_thnn_fused_)")
_OWN = frozenset({"aten", "prim", "prims"})


@runtime_checkable
class _InThread(Protocol):
    """A recursion whose forward pass runs in a thread of its own, and all of it at once."""

    def watch(self, watcher: Callable[[], AbstractContextManager[None]]) -> None:
        """Have every forward pass run inside `watcher()`, and nothing beside it."""


def family_flops(family: Family, depth: Depth) -> Compute:
    """Return what one puzzle computes, counted on tensors that have shapes and no memory; nothing is multiplied.

    Args:
        family: any architecture.
        depth: how deep it runs.

    Raises:
        NotMeasured: the number of tokens is not known, or the recursion looks at values, of which there are none.
    """
    torch = torch_module()
    geometry, fields = family.geometry(), dict(family.architecture())
    if geometry is None:
        raise NotMeasured("the number of tokens is not known", hint="say seq_len")
    told = fields.get("seq_len")
    probe = _blank(told if isinstance(told, int) and told else geometry.tokens)
    try:
        with torch.device("meta"):
            weights = {name: torch.empty(shape) for name, (shape, _) in family.tensors().items()}
            return recursion_flops(family.build(weights, RunSpec()), probe, depth)
    except (RuntimeError, NotImplementedError) as error:
        raise NotMeasured(f"the recursion cannot be followed without values: {error}") from error


def recursion_flops(recursion: Recursion, probes: Probes, depth: Depth) -> Compute:
    """Return what one puzzle computes, counted over one ACT step of a recursion that runs.

    A model of the user's own runs its whole forward pass at once: then all of it is counted, and a step is an equal
    share of it.

    Args:
        recursion: ready to step.
        probes: of which the first is taken.
        depth: how deep it runs.
    """
    count = _Count()
    with _attention_in_products():
        if isinstance(recursion, _InThread):
            steps = depth.steps
            recursion.watch(count.watching)
            _run_through(recursion, probes, depth)
        else:
            steps = 1
            with count.watching():
                _run_through(recursion, probes, Depth(depth.h_cycles, depth.l_cycles, steps))
    costs = {name: cost / steps for name, cost in count.by_operator().items()}
    step = sum(costs.values())
    return Compute(
        block_call=None,
        step=step,
        puzzle=step * depth.steps,
        depth=depth,
        counted_by=COUNTED_BY,
        by_operator=tuple(sorted(costs.items())),
        not_counted=count.missed(),
    )


def _run_through(recursion: Recursion, probes: Probes, depth: Depth) -> None:
    for _ in recursion.run(probes.rows(0, 1), depth):
        pass


def _blank(tokens: int) -> Probes:
    """Return one probe of zeros."""
    import numpy as np

    zeros = np.zeros((1, tokens), np.int32)
    return Probes(zeros, None, np.zeros(1, np.int32), digest="", source="zeros")


@contextlib.contextmanager
def _attention_in_products() -> Iterator[None]:
    """Switch fused attention and fused encoder layers off, for every thread, while something is counted."""
    torch = torch_module()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Count:
    """What torch counted, and the names of the operators that it has no formula for."""

    def __init__(self) -> None:
        from torch.utils.flop_counter import FlopCounterMode, flop_registry

        self._counter = FlopCounterMode(display=False)
        self._known = {str(operator) for operator in flop_registry}
        self._seen: set[str] = set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count what runs in this thread."""
        with _watcher(self._seen), self._counter:  # the counter takes operators apart before the watcher sees them
            yield

    def by_operator(self) -> dict[str, int]:
        """Return operator -> FLOPs."""
        counts: dict[Any, int] = self._counter.get_flop_counts().get("Global", {})
        return {str(operator): cost for operator, cost in counts.items()}

    def missed(self) -> tuple[str, ...]:
        """Return the operators that may multiply matrices, and were not counted."""
        return tuple(sorted(name for name in self._seen - self._known if _may_multiply(name)))


def _may_multiply(name: str) -> bool:
    namespace, _, operator = name.partition(".")
    return namespace not in _OWN or bool(_PRODUCTS.search(operator) and not _HARMLESS.search(operator))


def _watcher(seen: set[str]) -> Any:  # noqa: ANN401  (a torch mode; torch is imported lazily)
    """Return a mode that notes the name of every operator that really runs."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
            seen.add(str(getattr(func, "overloadpacket", func)))
            return func(*args, **(kwargs or {}))

    return Watcher()  # type: ignore[no-untyped-call]
