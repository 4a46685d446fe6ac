"""Steps a model of the user's own: its forward pass runs in a thread that pauses wherever a step is complete."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.heavy import torch_module
from fidelity_gate.models.feeding import refuse_frames
from fidelity_gate.models.handoff import Handoff, Returned, Unwound
from fidelity_gate.models.hook_options import FORWARD_OUTPUT
from fidelity_gate.models.hook_pass import Noise, Pass

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from fidelity_gate.models.hook_options import HookPlan, Tap
    from fidelity_gate.records import Carry, Depth, Probes, RunSpec, StepState


class HookedRecursion:
    """A hooked module, ready to step (the `Recursion` protocol).

    Several runs of one module may be interleaved; each is known by its thread. So the module must keep what belongs to
    one forward pass in local variables, as torch modules usually do.
    """

    def __init__(self, module: Any, plan: HookPlan, run: RunSpec) -> None:  # noqa: ANN401  (torch is imported lazily)
        """Hook into `module`, which must be in eval mode, of the right type, and nobody else's.

        Raises:
            ModelRefused: a place that the plan names is not in the module.
        """
        self.streams: tuple[str, ...] = tuple(tap.stream for tap in plan.taps)
        self._watcher: Callable[[], AbstractContextManager[None]] = nullcontext
        self._module = module
        self._plan = plan
        self._seed = run.seed
        self._passes: dict[int, Pass] = {}
        for tap in plan.taps:
            self._install(tap)
        self._readers = _readers(module, plan)

    def watch(self, watcher: Callable[[], AbstractContextManager[None]]) -> None:
        """Have every forward pass run inside `watcher()`, and nothing run beside it: no answers are read any more.

        torch's modes belong to a thread, so the watcher is entered in the thread of the pass.
        """
        self._watcher = watcher
        self._readers = ()

    def run(
        self, batch: Probes, depth: Depth, *, perturbation: float = 0.0, seed: int = 0
    ) -> Generator[StepState, Carry | None, None]:
        """Yield the state after every step; a carry that is sent in replaces what the module returned there.

        The noise of `perturbation` is added to the first carry that is seen: the true initial one is the module's own.

        Raises:
            InputsRefused: the probes are frames.
            ModelRefused: the forward pass fails, makes another number of steps than `depth` says, or is asked for
                H-cycles that it is not told of.
        """
        refuse_frames(batch)
        _refuse_cycles(self._plan, depth)
        this = Pass(self._plan, self._readers, batch, depth, Noise(perturbation, seed))
        threads = torch_module().get_num_threads()
        handoff = Handoff(lambda baton: self._forward(this, baton, threads), self._seed)
        try:
            sent: Carry | None = None
            while not isinstance(event := handoff.resume(sent), Returned):
                sent = yield event.value
            yield this.last_state(event.value)
        finally:
            handoff.close()

    def _forward(self, this: Pass, baton: Handoff, threads: int) -> Any:  # noqa: ANN401
        """Run the whole forward pass. In the thread."""
        torch = torch_module()
        torch.set_num_threads(threads)  # a new thread may start with all cores
        this.baton = baton
        me = threading.get_ident()
        self._passes[me] = this
        try:
            with torch.inference_mode(), self._watcher():
                tokens = torch.from_numpy(this.batch.inputs.astype(np.int64))  # (B, S)
                return self._module(tokens, **this.arguments())
        except (GateError, Unwound):
            raise
        except Exception as error:
            what = f"its forward pass failed: {type(error).__name__}: {error}"
            raise ModelRefused(what, hint="--debug shows where") from error
        finally:
            del self._passes[me]

    def _install(self, tap: Tap) -> None:
        owner = submodule(self._module, tap.module)
        if not tap.method:
            owner.register_forward_hook(lambda _module, _args, output: self._came_by(tap, output))
            return
        method: Callable[..., Any] | None = getattr(owner, tap.method, None)
        if not callable(method):
            what = f"a {type(owner).__name__} has no method '{tap.method}'"
            raise ModelRefused(what, field=f"carry of {tap.stream}")
        setattr(owner, tap.method, lambda *args, **named: self._came_by(tap, method(*args, **named)))

    def _came_by(self, tap: Tap, output: Any) -> Any:  # noqa: ANN401
        """Pass an output on, to whichever run this thread is of."""
        this = self._passes.get(threading.get_ident())
        return output if this is None else this.observe(tap, output)


def _refuse_cycles(plan: HookPlan, depth: Depth) -> None:
    """Refuse H-cycles that nothing passes on to the module: a hook sees steps, so no run would show their number.

    Raises:
        ModelRefused: neither an argument stands for them nor a setting named h_cycles has the same number.
    """
    told = {name.lower(): value for name, value in plan.settings}
    passed_on = any(value == "depth.h_cycles" for _, value in plan.arguments)
    if depth.h_cycles == 1 or passed_on or told.get("h_cycles") == depth.h_cycles:
        return
    what = f"a hook counts steps, and nothing tells the model to make {depth.h_cycles} H-cycles in each"
    hint = "h_cycles: 1; or model: {arguments: {NAME: depth.h_cycles}}, or settings: {h_cycles: N}"
    raise ModelRefused(what, field="recursion", hint=hint)


def submodule(module: Any, path: str) -> Any:  # noqa: ANN401
    """Return the module at a dotted path.

    Raises:
        ModelRefused: there is none; the message names what is there.
    """
    try:
        return module.get_submodule(path)
    except AttributeError as error:
        known = ", ".join(name for name, _ in module.named_modules() if name)
        raise ModelRefused(f"has no module '{path}'", field="carry", hint=f"it has: {known}") from error


def _readers(module: Any, plan: HookPlan) -> tuple[Any, ...]:  # noqa: ANN401
    if not plan.answers or plan.answers.partition(".")[0] == FORWARD_OUTPUT:
        return ()
    return tuple(submodule(module, path.strip()) for path in plan.answers.split("|"))
