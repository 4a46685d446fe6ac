"""`fidelity-gate devices simulate`: a loopback AI Hub, to try a policy without an account; no device runs anything."""

from __future__ import annotations

import contextlib
import math
import shlex
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from fidelity_gate.simulated_hub import SimulatedHub
    from fidelity_gate.simulated_hub.exchange import Seen

EPILOG = """\b
Examples:
  fidelity-gate devices simulate --client-ini hub.ini
  fidelity-gate devices simulate --job-seconds 5 --fault rate-limited:2 --fault cpu-fallback
  fidelity-gate devices simulate --latency overhead_us=500 --latency figures.json --port 8770 --for 600
  fidelity-gate devices simulate --faults

Everything it gives is marked as simulated; a policy takes it only with `allow_simulated: true`.
docs/simulated-hub.md tells how its times are made, and lists the faults.
"""
_MARK = "# written by `fidelity-gate devices simulate`"
_LARGEST_INI = 64 << 10
_POLL = 0.1  # seconds
_QUIET = 1.0  # seconds without a request, after which --once takes results to be fetched
_WIDTH = 26


@click.command(epilog=EPILOG)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On 127.0.0.1.  [default: any that is free]")
@click.option("--client-ini", type=click.Path(path_type=Path), help="Where to write the client's configuration.")
@click.option("--latency", multiple=True, metavar="FILE|KEY=VALUE", help="Figures of the latency model.")
@click.option("--replay", metavar="FILE", help="Profiles to answer with where one fits the job.")
@click.option("--job-seconds", type=click.FloatRange(0, 86_400), default=0.0, help="That every job takes at least.")
@click.option("--fault", "faults", multiple=True, metavar="NAME[:N]", help="A failure to show, N times or always.")
@click.option("--faults", "list_faults", is_flag=True, help="List the failures, and leave.")
@click.option("--once", is_flag=True, help="Leave when the first results were fetched.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="Leave after so long.")
def simulate(  # noqa: PLR0913  (one option each)
    *,
    port: int,
    client_ini: Path | None,
    latency: tuple[str, ...],
    replay: str | None,
    job_seconds: float,
    faults: tuple[str, ...],
    list_faults: bool,
    once: bool,
    seconds: float | None,
) -> int:
    """Run a simulated AI Hub on this machine, for trials and tests; nothing leaves 127.0.0.1.

    The unmodified qai-hub client talks to it. Inference really runs, with onnxruntime, here; times come from a stated
    latency model, or from recorded profiles. It runs until Ctrl-C.
    """
    from fidelity_gate.simulated_hub import SimulatedHub
    from fidelity_gate.simulated_hub.catalog import DEVICES
    from fidelity_gate.simulated_hub.faults import KINDS
    from fidelity_gate.simulated_hub.replay import read_replay
    from fidelity_gate.simulated_hub.settings import latencies

    if list_faults:
        write_stdout("".join(f"{name:{_WIDTH}}{kind.text}\n" for name, kind in sorted(KINDS.items())))
        return 0
    if seconds is not None and math.isnan(seconds):
        raise UsageError("is no number of seconds", field="--for", hint="--for 600")
    if client_ini is not None:
        _refuse_foreign(client_ini)
    hub = SimulatedHub(
        latency=latencies(latency, DEVICES),
        faults=faults,
        port=port,
        replay=read_replay(replay) if replay else None,
        job_seconds=job_seconds,
        log=_tell,
    )
    with _stopped_by_signals() as stop, hub, _configuration(hub, client_ini) as ini:
        write_stdout(_told(hub, ini))
        _Wait(hub, stop, once, seconds).wait()
    return 0


def _told(hub: SimulatedHub, ini: Path) -> str:
    """Return how to lead the client here; lines that a shell can read, and comments."""
    devices = "".join(f"#   {device.name}, os {device.os}\n" for device in hub.devices)
    return (
        f"# simulated AI Hub on {hub.url} (no device runs anything; Ctrl-C ends it)\n"
        f"export QAIHUB_CLIENT_INI={shlex.quote(str(ini))}\n"
        f"export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1\n"
        f"# devices:\n{devices}"
    )


def _tell(seen: Seen) -> None:
    moment = time.strftime("%H:%M:%S", time.localtime(seen.when))
    with contextlib.suppress(OSError, ValueError):  # whoever read stderr is gone; that ends nothing
        click.echo(f"{moment} {printable(seen.method, 20)} {printable(seen.path)} {seen.status or 'dropped'}", err=True)


@dataclass(frozen=True, slots=True)
class _Wait:
    """Waits for the end."""

    hub: SimulatedHub
    stop: threading.Event
    once: bool
    seconds: float | None

    def wait(self) -> None:
        """Return when a signal came, the time is over, or the first results were fetched."""
        end = None if self.seconds is None else time.monotonic() + self.seconds
        while not self.stop.is_set() and not (self.once and self._fetched()):
            left = _POLL if end is None else min(_POLL, end - time.monotonic())
            if left <= 0:
                return
            self.stop.wait(left)

    def _fetched(self) -> bool:
        seen = self.hub.requests
        read = any(one.path.endswith("/result/") and one.status == 200 for one in seen)
        return read and all(one.over for one in seen) and time.time() - seen[-1].when > _QUIET


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Give what Ctrl-C and SIGTERM set: both are the usual end of a server, not a failure."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _configuration(hub: SimulatedHub, chosen: Path | None) -> Iterator[Path]:
    """Write the client's configuration, and take it away at the end: it leads nowhere then."""
    with contextlib.ExitStack() as stack:
        if chosen is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fidelity-gate-hub-"))
            chosen = Path(folder) / "client.ini"
        path = hub.write_client_ini(chosen, comment=_MARK)
        stack.callback(_take_away, path, hub.token)
        yield path.resolve()


def _take_away(path: Path, token: str) -> None:
    """Take a configuration away, unless another simulator has written its own there since."""
    with contextlib.suppress(OSError):  # it is gone already, or may not be touched any more
        with path.open("rb") as file:
            ours = token.encode() in file.read(_LARGEST_INI)
        if ours:
            path.unlink()


def _refuse_foreign(path: Path) -> None:
    """Refuse to write over a configuration that leads to an account."""
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            ours = file.read(_LARGEST_INI).startswith(_MARK.encode())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path, field="--client-ini") from error
    if not ours:
        raise UsageError(
            "is there already, and not of a simulator", where=path, field="--client-ini", hint="name another"
        )
