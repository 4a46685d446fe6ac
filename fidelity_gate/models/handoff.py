"""A function in a thread that moves only while somebody waits for it: a generator for code that cannot yield."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Body = Callable[["Handoff"], object]

_STOP = object()
_JOIN_SECONDS = 30.0


class Unwound(BaseException):
    """Raised where the function paused when nobody wants more of it; user code that catches `Exception` lets it by."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The function paused and shows this."""

    value: Any


@dataclass(frozen=True, slots=True)
class Returned:
    """The function is over and returned this."""

    value: Any


class Handoff:
    """Two threads and one baton: exactly one of them runs at any time.

    The random state of torch is swapped with the baton, so that what the function draws depends on nothing outside.
    """

    def __init__(self, body: Body, seed: int) -> None:
        """Prepare, but do not start, `body(self)`."""
        self._body = body
        self._seed = seed
        self._to_body: SimpleQueue[Any] = SimpleQueue()
        self._to_caller: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="fidelity-gate hooked model", daemon=True)
        self._stopped = False
        self._random_state: Any = None

    def resume(self, value: object = None) -> Paused | Returned:
        """Let the function run to its next pause or its end; `value` is what `pause` returns there.

        Raises:
            BaseException: whatever the function raised, as it raised it.
        """
        import torch

        outside = torch.get_rng_state()
        if self._random_state is None:
            torch.manual_seed(self._seed)
            self._thread.start()
        else:
            torch.set_rng_state(self._random_state)
            self._to_body.put(value)
        event = self._to_caller.get()
        self._random_state = torch.get_rng_state()
        torch.set_rng_state(outside)
        if isinstance(event, BaseException):
            raise event
        found: Paused | Returned = event
        return found

    def pause(self, value: object) -> Any:  # noqa: ANN401  (what the other side hands over)
        """Show `value` and wait. Called by the function, in its thread.

        Raises:
            Unwound: nobody wants more.
        """
        if not self._stopped:
            self._to_caller.put(Paused(value))
            told = self._to_body.get()
            if told is not _STOP:
                return told
            self._stopped = True
        raise Unwound

    def close(self) -> None:
        """Unwind the function, wherever it paused, and wait for its thread to end."""
        if self._random_state is None:
            return
        self._to_body.put(_STOP)
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            event: object = Returned(self._body(self))
        except BaseException as error:  # noqa: BLE001  (it is raised again in the thread that waits)
            event = error
        self._to_caller.put(event)
