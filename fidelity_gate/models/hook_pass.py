"""One forward pass of a hooked module over one batch: counts calls, and pauses wherever a step is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused, NotMeasured
from fidelity_gate.models.hook_arrays import as_before, as_tokens, replaced, selected
from fidelity_gate.models.hook_options import FORWARD_OUTPUT
from fidelity_gate.records import StepState

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.models.handoff import Handoff
    from fidelity_gate.models.hook_options import HookPlan, Tap
    from fidelity_gate.records import Depth, Probes, Scalar, Tensor


class Noise:
    """Gaussian noise on the first carry, relative to each probe's root mean square."""

    def __init__(self, size: float, seed: int) -> None:
        self.size = size
        self.seed = seed
        self._generator: Any = None

    def on(self, tokens: Tensor) -> Tensor:
        """Return (B, L, D) with noise on it; every stream draws on."""
        import torch

        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.seed)
        level = tokens.to(torch.float32).square().mean(dim=(1, 2), keepdim=True).sqrt()
        normal = torch.randn(tokens.shape, generator=self._generator, dtype=torch.float32)
        return (tokens + self.size * level * normal).to(tokens.dtype)


class Pass:
    """One forward pass over one batch: counts calls, collects streams until a step is complete, pauses there."""

    def __init__(
        self, plan: HookPlan, readers: tuple[Callable[[Tensor], Any], ...], batch: Probes, depth: Depth, noise: Noise
    ) -> None:
        self.batch = batch
        self.baton: Handoff | None = None
        self._plan = plan
        self._readers = readers
        self._depth = depth
        self._noise = noise
        self._calls = {tap.stream: 0 for tap in plan.taps}
        self._steps = dict(self._calls)
        self._seen: dict[str, tuple[Tap, Tensor]] = {}  # stream -> the tensor as the module holds it
        self._last: StepState | None = None
        self._reading = False

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the forward pass."""
        return {name: self._argument(value) for name, value in self._plan.arguments}

    def observe(self, tap: Tap, output: Any) -> Any:  # noqa: ANN401  (what user code returns)
        """Take one output that came by; return what takes its place (mostly itself)."""
        if self._reading:
            return output
        call = self._calls[tap.stream]
        self._calls[tap.stream] += 1
        if not tap.is_step(call):
            return output
        self._steps[tap.stream] += 1
        if self._steps[tap.stream] > self._depth.steps:
            return output  # told once the number is known
        if tap.stream in self._seen:
            what = f"makes its step {self._steps[tap.stream]} before every other stream has made one more"
            raise ModelRefused(what, field=f"carry of {tap.stream}", hint="choose its calls: calls: FIRST:END:EVERY")
        if self._noise.size and self._steps[tap.stream] == 1:
            tensor = self._tensor(tap, output)
            noisy = self._before(tap, self._noise.on(self._tokens(tap, tensor)), tensor)
            output = replaced(output, tap.select, noisy, tap.stream)
        self._seen[tap.stream] = (tap, self._tensor(tap, output))
        return self._complete(tap, output) if len(self._seen) == len(self._plan.taps) else output

    def last_state(self, output: Any) -> StepState:  # noqa: ANN401
        """Return the state after the last step, once the forward pass has returned `output`.

        Raises:
            ModelRefused: the pass made more or fewer steps than the depth says.
        """
        for stream, steps in self._steps.items():
            if steps != self._depth.steps:
                what = f"makes {steps} steps in one forward pass, and the policy says {self._depth.steps}"
                hint = f"recursion: steps; or choose among the {self._calls[stream]} calls: calls: FIRST:END:EVERY"
                raise ModelRefused(what, field=f"carry of {stream}", hint=hint)
        state = self._last
        if state is None:
            raise ModelRefused("its forward pass ended before its last step", field="carry")
        head, *select = self._plan.answers.split(".")
        if head != FORWARD_OUTPUT:
            return state
        return StepState(state.carry, self._logits(selected(output, tuple(select), "answers")), state.halt)

    def _complete(self, tap: Tap, output: Any) -> Any:  # noqa: ANN401
        """Show the state that is complete now, and take a forced carry."""
        seen, self._seen = self._seen, {}
        carry = {stream: self._tokens(at, tensor).clone() for stream, (at, tensor) in sorted(seen.items())}
        state = StepState(carry, self._read(seen))
        if self._steps[tap.stream] == self._depth.steps:
            self._last = state  # shown when the pass is over and its number of steps is known
            return output
        forced = None if self.baton is None else self.baton.pause(state)
        if forced is None:
            return output
        for stream, (at, tensor) in seen.items():
            if stream != tap.stream:  # it was handed on some calls ago, so only the tensor itself can be changed
                _refuse_shared(tensor, stream)
                tensor.copy_(self._before(at, forced[stream], tensor))
        return replaced(output, tap.select, self._before(tap, forced[tap.stream], seen[tap.stream][1]), tap.stream)

    def _read(self, seen: dict[str, tuple[Tap, Tensor]]) -> Tensor | None:
        """Return the logits that the plan's modules make of the first stream, or None."""
        if not self._readers:
            return None
        value = seen[self._plan.taps[0].stream][1]
        self._reading = True
        try:
            for reader in self._readers:
                value = reader(value)
        finally:
            self._reading = False
        return self._logits(value)

    def _logits(self, value: Tensor) -> Tensor:
        axis, batch = self._plan.answers_axis, len(self.batch)
        return as_tokens(value, batch_axis=0, feature_axis=axis, batch=batch, field="answers").clone()

    def _tensor(self, tap: Tap, output: Any) -> Tensor:  # noqa: ANN401
        return selected(output, tap.select, f"carry of {tap.stream}")

    def _tokens(self, tap: Tap, tensor: Tensor) -> Tensor:
        axes = {"batch_axis": tap.batch_axis, "feature_axis": tap.feature_axis}
        return as_tokens(tensor, **axes, batch=len(self.batch), field=f"carry of {tap.stream}")

    def _before(self, tap: Tap, tokens: Tensor, like: Tensor) -> Tensor:
        return as_before(tokens, like, batch_axis=tap.batch_axis, feature_axis=tap.feature_axis)

    def _argument(self, value: Scalar) -> Any:  # noqa: ANN401
        import torch

        named = {f"depth.{name}": getattr(self._depth, name) for name in ("steps", "h_cycles", "l_cycles")}
        if value == "batch.identifiers":
            return torch.from_numpy(self.batch.identifiers.astype(np.int64))
        return named.get(value, value) if isinstance(value, str) else value


def _refuse_shared(tensor: Tensor, stream: str) -> None:
    """Refuse to write into what the pass did not compute itself: it may be a weight, which would stay changed."""
    if not tensor.is_inference():
        what = "is a weight or a view of one, so no other carry can be put in its place"
        raise NotMeasured(what, field=f"carry of {stream}", hint="tap it where it was computed")
