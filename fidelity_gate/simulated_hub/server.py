"""A simulated AI Hub on the loopback interface, with its threads and its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fidelity_gate.errors import UsageError
from fidelity_gate.files import write_atomically
from fidelity_gate.simulated_hub.catalog import DEVICES
from fidelity_gate.simulated_hub.desk import JobDesk
from fidelity_gate.simulated_hub.exchange import Seen
from fidelity_gate.simulated_hub.faults import Faults
from fidelity_gate.simulated_hub.interface import Interface
from fidelity_gate.simulated_hub.latency import Latency
from fidelity_gate.simulated_hub.library import Library
from fidelity_gate.simulated_hub.messages import messages, now
from fidelity_gate.simulated_hub.replies import Replies
from fidelity_gate.simulated_hub.storage import PREFIX, Files
from fidelity_gate.simulated_hub.store import Store
from fidelity_gate.simulated_hub.submitting import Submission
from fidelity_gate.simulated_hub.transport import WEB, LoopbackServer
from fidelity_gate.simulated_hub.working import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from fidelity_gate.simulated_hub.catalog import SimulatedDevice
    from fidelity_gate.simulated_hub.faults import Fault
    from fidelity_gate.simulated_hub.jobs import JobRecord
    from fidelity_gate.simulated_hub.replay import Replay

PART_BYTES = 64 << 20
MOST_SEEN = 10_000  # requests that are remembered
_POLL = 0.05  # seconds after which a closing server is noticed
_PATIENCE = 10.0  # seconds that a job at work is given when the hub closes


class SimulatedHub:
    """A loopback server that answers the unmodified qai-hub client; use it as a context manager.

    Attributes:
        url: of the interface: `http://127.0.0.1:PORT/`.
        web_url: under which the client says that jobs and models are found.
        token: made anew by every hub.
        faults: to be shown; add to it at any time.
    """

    def __init__(  # noqa: PLR0913  (each is an option of the command as well)
        self,
        devices: Sequence[SimulatedDevice] | None = None,
        latency: Latency | Mapping[str, Latency] | None = None,
        faults: Iterable[Fault | str] = (),
        folder: str | Path | None = None,
        *,
        port: int = 0,
        replay: Replay | None = None,
        job_seconds: float = 0.0,
        part_bytes: int = PART_BYTES,
        log: Callable[[Seen], None] | None = None,
    ) -> None:
        """Prepare a hub; it listens from `__enter__` or `start` on.

        Args:
            devices: None for six that the service had in 2026.
            latency: of all devices, or by name of the device; None: as each device says.
            faults: to be shown from the start.
            folder: for uploads; None for one that is removed at the end.
            port: on 127.0.0.1; 0 for any that is free.
            replay: profiles to answer with where one fits the job.
            job_seconds: that every job takes at least.
            part_bytes: the most of one part of an upload.
            log: is told of every request once it is answered or dropped.

        Raises:
            UsageError: a device, a fault or a figure that cannot be.
        """
        self.devices = _with_latency(tuple(DEVICES if devices is None else devices), latency)
        self.faults = Faults(faults)
        self.token = secrets.token_hex(20)
        if not 0 <= job_seconds < 1e6 or part_bytes < 1:
            raise UsageError("must be at least 0", field="job_seconds" if part_bytes >= 1 else "part_bytes")
        self._folder, self._port, self._replay = folder, port, replay
        self._job_seconds, self._part_bytes, self._log = job_seconds, part_bytes, log
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        self._stack: contextlib.ExitStack | None = None
        self._server: LoopbackServer | None = None

    # ------------------------------------------------------------ from start to end

    def start(self) -> Self:
        """Listen.

        Raises:
            UsageError: qai-hub is not installed, or the port is taken.
        """
        replies = Replies(messages(), self.devices)
        with contextlib.ExitStack() as stack:
            store = Store(self._place(stack), secrets.token_hex(4))
            server = self._listener()
            stack.callback(server.server_close)
            workshop = Workshop(store, self._replay)
            stack.callback(workshop.close, _PATIENCE)
            server.files = Files(store, self.faults)
            library = Library(store, workshop, replies, self.faults, f"{_origin(server)}{PREFIX}", self._part_bytes)
            submission = Submission(replies.pb, self.devices, store, workshop)
            desk = JobDesk(library, submission, replies, self.faults, self._job_seconds)
            server.interface = Interface(self.devices, replies, desk)
            thread = threading.Thread(target=server.serve_forever, args=(_POLL,), name="simulated-hub", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            stack.callback(server.closing.set)
            self._server, self._stack = server, stack.pop_all()
        return self

    def close(self) -> None:
        """Stop listening, and remove the folder that was made."""
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # ------------------------------------------------------------ what others need of it

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self._listening().server_address[1])

    @property
    def url(self) -> str:
        """Return where the client's requests go."""
        return f"{_origin(self._listening())}/"

    @property
    def web_url(self) -> str:
        """Return where jobs and models have their pages; it says that they are simulated."""
        return f"{_origin(self._listening())}{WEB}"

    @property
    def requests(self) -> tuple[Seen, ...]:
        """Return the requests that arrived, the last 10,000 of them; files that were put or fetched among them."""
        with self._lock:
            return tuple(self._seen)

    @property
    def jobs(self) -> tuple[JobRecord, ...]:
        """Return the jobs that it knows, in the order in which they were submitted."""
        if self._server is None:
            return ()
        desk = self._server.interface.desk
        with desk.lock:
            return tuple(desk.jobs.values())

    def write_client_ini(self, path: str | Path, *, comment: str = "# simulated") -> Path:
        """Write a configuration of the client that leads it here; it is used through QAIHUB_CLIENT_INI."""
        lines = ("[api]", f"api_token = {self.token}", f"api_url = {self.url}", f"web_url = {self.web_url}")
        write_atomically(Path(path), "\n".join((comment, *lines, "verbose = False", "")))
        return Path(path)

    # ------------------------------------------------------------ parts of a start

    def _place(self, stack: contextlib.ExitStack) -> Path:
        if self._folder is None:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fidelity-gate-hub-")))
        folder = Path(self._folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _listening(self) -> LoopbackServer:
        if self._server is None:
            raise UsageError("the simulated hub was not started", hint="with SimulatedHub() as hub: ...")
        return self._server

    def _listener(self) -> LoopbackServer:
        try:
            return LoopbackServer(self._port, self.token, self.faults, self._tell)
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {self._port} cannot be used: {error}", field="--port", hint="0: any") from error

    def _tell(self, method: str, path: str, query: str) -> Callable[[int], None]:
        seen = Seen(method, path, now(), query)
        with self._lock:
            self._seen.append(seen)
            del self._seen[:-MOST_SEEN]

        def answered(status: int) -> None:
            done = dataclasses.replace(seen, status=status, over=True)
            with self._lock:
                self._seen[:] = [done if one is seen else one for one in self._seen]
            if self._log is not None:
                self._log(done)

        return answered


def _origin(server: LoopbackServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def _with_latency(
    devices: tuple[SimulatedDevice, ...], latency: Latency | Mapping[str, Latency] | None
) -> tuple[SimulatedDevice, ...]:
    if latency is None:
        return devices
    if isinstance(latency, Latency):
        return tuple(dataclasses.replace(device, latency=latency) for device in devices)
    strange = sorted(set(latency) - {device.name for device in devices})
    if strange:
        raise UsageError(f"no device is named '{strange[0]}'", field="latency", hint=", ".join(d.name for d in devices))
    return tuple(dataclasses.replace(device, latency=latency.get(device.name, device.latency)) for device in devices)
