"""The client of Qualcomm AI Hub, configured by itself, and made to keep to a deadline and to send nothing twice.

The client repeats a POST whose reply got lost: two jobs are then paid for one. And where a server is down, it goes on
for minutes. So its own repeats are switched off while it works for the gate, and what is safe to repeat (asking, never
submitting) is repeated here. Every call runs in a thread of its own that is left behind when time is up.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import inspect
import io
import ipaddress
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from fidelity_gate.devices.qai_hub_errors import (
    CONFIGURE,
    INSTALL,
    SERVICE,
    Throttled,
    Translator,
    Unanswered,
    without_client,
)
from fidelity_gate.errors import NotMeasured, OutOfTime
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from types import ModuleType

Answer = TypeVar("Answer")

PAUSES = (0.5, 2.0, 5.0)  # seconds between the tries of a question
_LEAST_WAIT = 0.01
_OLDEST = "0.56"  # the first whose one job profiles and infers


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by which all has to be done.

    Attributes:
        seconds: that there were in all, for people.
        at: on the monotonic clock.
    """

    seconds: float
    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline so many seconds from now."""
        return cls(seconds, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Return the seconds that are left, 0 when time is up."""
        return max(0.0, self.at - time.monotonic())


@dataclass(frozen=True, slots=True, eq=False)
class Hub:
    """A configured client, and how it is used.

    Attributes:
        client: `qai_hub.Client`.
        rest: the module `qai_hub.public_rest_api`, whose messages hold what the client's objects leave out.
        translator: of its errors.
        deadline: of all that is done with it.
        simulated: whether what answers is on this machine, where no device is.
        tell: takes what a long wait is waiting for.
    """

    client: Any
    rest: ModuleType
    translator: Translator
    deadline: Deadline
    simulated: bool
    tell: Callable[[str], None] | None = None
    _modules: Mapping[str, ModuleType] = field(default_factory=dict, repr=False)
    _said: list[str] = field(default_factory=list)  # what was said last

    @property
    def project(self) -> str | None:
        """Return the project that the client's configuration names, in which everything is looked up and made."""
        named: str | None = self.client.config.default_project
        return named

    def job_url(self, job_id: str) -> str:
        """Return where people look at a job."""
        return urljoin(str(self.client.config.web_url), f"jobs/{job_id}/")

    def module(self, name: str) -> Any:  # noqa: ANN401  (a module of the library)
        """Return a module of the library."""
        return self._modules[name]

    def say(self, what: str) -> None:
        """Say what is being waited for, where it is another thing than before."""
        if self.tell is not None and self._said[-1:] != [what]:
            self._said[:] = [what]
            self.tell(what)

    def once(self, doing: str, call: Callable[[], Answer]) -> Answer:
        """Return what a call of the client returns; it is made once, whatever comes of it.

        Raises:
            OutOfTime: no time is left; the call may still happen.
            Unanswered: nothing says whether it happened.
            NotMeasured: it did not.
        """
        session, outcome = self.module("session"), _Outcome()
        kept = session.MAX_RETRIES
        session.MAX_RETRIES = 0
        worker = threading.Thread(target=outcome.take, args=(call,), daemon=True, name="fidelity-gate-qai-hub")
        # It prints: banners, and where it saved what.
        with contextlib.redirect_stdout(io.StringIO()):
            worker.start()
            worker.join(max(self.deadline.left, _LEAST_WAIT))
        if worker.is_alive():  # what it still does must not be repeated either: its repeats stay off
            raise OutOfTime(
                f"{SERVICE} did not answer in {self.deadline.seconds:g} s ({doing})", hint="run again later"
            )
        session.MAX_RETRIES = kept
        if outcome.raised is not None:
            raise self.translator.error(outcome.raised, doing) from outcome.raised
        answer: Answer = outcome.answer
        return answer

    def ask(self, doing: str, call: Callable[[], Answer]) -> Answer:
        """Return what a call returns that changes nothing, asked again where no answer comes.

        Raises:
            NotMeasured: no answer, or one that refuses.
        """
        for pause in PAUSES:
            try:
                return self.once(doing, call)
            except (Unanswered, Throttled):
                if self.deadline.left <= pause:
                    raise
                time.sleep(pause)
        return self.once(doing, call)


@dataclass(slots=True)
class _Outcome:
    """What came of a call in another thread."""

    answer: Any = None
    raised: Exception | None = None

    def take(self, call: Callable[[], Any]) -> None:
        try:
            self.answer = call()
        except Exception as error:  # noqa: BLE001  (the client lets through whatever its libraries raise)
            self.raised = error


def connect(timeout: float, *, tell: Callable[[str], None] | None = None) -> Hub:
    """Return the client with its own configuration; nothing is sent yet.

    Args:
        timeout: seconds for all that is done with it.
        tell: takes what a long wait is waiting for.

    Raises:
        NotMeasured: it is not installed, too old, or not configured, or its token would travel in the clear.
    """
    modules = {name: _imported(f"qai_hub.{path}") for name, path in _MODULES.items()}
    client_module, rest = modules["client"], modules["rest"]
    if "profile" not in inspect.signature(client_module.Client.submit_inference_job).parameters:
        raise NotMeasured(f"qai-hub is older than {_OLDEST}", hint=f"pip install 'qai-hub>={_OLDEST}'")
    client = client_module.Client()
    config = _configuration(client, modules)
    client.set_verbose(False)
    _hold_hdf5_at_the_end()
    translator = Translator(client_module, rest, str(config.api_token))
    simulated = _is_loopback(str(config.api_url))
    return Hub(client, rest, translator, Deadline.after(timeout), simulated, tell, modules)


@functools.cache
def _hold_hdf5_at_the_end() -> None:
    """Keep the process from hanging at its end, once for all connections.

    A call that is left behind dies where it is. If it dies with the lock of h5py, with which the client writes and
    reads datasets, the interpreter waits for that lock for ever while it takes h5py's objects away. So whoever ends the
    process takes the lock first: it is free as soon as the call's own look at the file is over.
    """
    with contextlib.suppress(ImportError, AttributeError):  # it is no part of what h5py promises
        atexit.register(importlib.import_module("h5py._objects").phil.acquire)


_MODULES = {"client": "client", "rest": "public_rest_api", "utils": "api_utils", "session": "util.session"}


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # (not ImportError alone: protobuf raises TypeErrors and errors of its own)
        raise NotMeasured(without_client(error), hint=INSTALL) from error


def _configuration(client: Any, modules: Mapping[str, ModuleType]) -> Any:  # noqa: ANN401  (the library's)
    """Return the client's configuration; it reads its file when it is first asked."""
    path = str(modules["utils"].get_config_path())
    try:
        config = client.config
    except modules["client"].UserError as error:
        missing = "Failed to load client configuration file" in str(error)
        what = "is not there" if missing else "lacks api_url, web_url or api_token"
        raise _unconfigured(path, what) from error
    except Exception as error:  # (configparser, decoding, permission: whatever a file can be)
        raise _unconfigured(path, f"cannot be read ({type(error).__name__})") from error
    if not str(config.api_token or "").strip():
        raise _unconfigured(path, "holds an empty api_token")
    _refuse_in_the_clear(str(config.api_url), path)
    return config


def _unconfigured(path: str, what: str) -> NotMeasured:
    return NotMeasured(f"{SERVICE} is not configured: {printable(path)} {what}", hint=CONFIGURE)


def _refuse_in_the_clear(url: str, path: str) -> None:
    """Refuse an address at which anybody on the way could read the token; the client itself does not mind."""
    scheme = urlsplit(url).scheme
    if scheme == "https" or (scheme == "http" and _is_loopback(url)):
        return
    what = f"{printable(path)}: api_url is {printable(url, 80)}, where the token would travel in the clear"
    raise NotMeasured(what, hint="an https:// address")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
