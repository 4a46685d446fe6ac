"""HTTP on the loopback interface: one request a connection, limits on size and time, nothing that is sent ends it."""

from __future__ import annotations

import contextlib
import hmac
import re
import shutil
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from fidelity_gate.simulated_hub.exchange import HTML, Asked, Refusal, Reply, page, refusal
from fidelity_gate.simulated_hub.faults import REQUEST
from fidelity_gate.simulated_hub.messages import TYPE
from fidelity_gate.simulated_hub.storage import PREFIX, Dropped

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.simulated_hub.faults import Faults
    from fidelity_gate.simulated_hub.interface import Interface
    from fidelity_gate.simulated_hub.storage import Files

API = "/api/v1/"
WEB = "/simulated/"
LONGEST_BODY = 8 << 20  # of a message
_NO_ANSWER = 0  # for a status
_DRAINED = 16 << 20  # bytes of a refused body that are read, so that the client hears the refusal
_SILENCE = 30.0  # seconds without a byte after which a connection is closed
_MOST_CONNECTIONS = 64
_MOST_PARAMETERS = 200
_PAGE = re.compile(r"/simulated/(jobs|models)/([A-Za-z0-9_-]{1,64})/")
_PROJECT = re.compile(r"projects/[A-Za-z0-9_-]{1,64}/")

# Faults that replace the answer before anything happens.
_INSTEAD = {
    "unauthorized": refusal(401, "simulated fault: the token is bad or has expired"),
    "forbidden": refusal(403, "simulated fault: forbidden"),
    "not-found": refusal(404, "simulated fault: not found"),
    "upgrade-required": refusal(426, "simulated fault: this client is too old, please upgrade"),
    "rate-limited": refusal(429, "simulated fault: too many requests"),
    "server-error": refusal(500, "simulated fault: internal error"),
    "unavailable": refusal(503, "simulated fault: unavailable"),
    "html": Reply(200, b"<!doctype html><title>Log in</title><h1>Please log in to the network</h1>", HTML),
    "garbage-reply": Reply(200, b"\xff\xff\xff simulated fault: no protobuf", TYPE),
}


class LoopbackServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1 and nowhere else."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(
        self, port: int, token: str, faults: Faults, tell: Callable[[str, str, str], Callable[[int], None]]
    ) -> None:
        """Bind a port.

        Args:
            port: 0 for any that is free.
            token: that requests of the interface must carry.
            faults: to be shown.
            tell: is told method, path and query of every request, and returns what is told of its answer's status.
        """
        self.token, self.faults, self.tell = token, faults, tell
        self.interface: Interface
        self.files: Files
        self.closing = threading.Event()
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Answer in a thread of its own; too many at once are turned away."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Answer, and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing: a connection that broke is the client's affair."""


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: LoopbackServer
    protocol_version = "HTTP/1.1"
    server_version = "simulated-hub"
    sys_version = ""
    timeout = _SILENCE

    def do_GET(self) -> None:
        self._one()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET  # noqa: N815  (names of http.server)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: requests are told in one line each elsewhere."""

    def _one(self) -> None:
        self.close_connection = True
        self.left = 0
        path, _, query = self.path.partition("?")
        told = self.server.tell(self.command, path.removeprefix(API), query)
        try:
            reply = self._reply(path, query)
        except Dropped:
            told(_NO_ANSWER)
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        except (OSError, ValueError):  # the client went away, or sent what cannot be told apart from noise
            told(_NO_ANSWER)
            return
        with contextlib.suppress(OSError, ValueError):
            self._drain()
        told(reply.status)
        with contextlib.suppress(OSError, ValueError):
            self._send(reply)

    def _reply(self, path: str, query: str) -> Reply:
        try:
            self._refuse_strangers()
            self.left = self._length()
            if path.startswith(PREFIX):
                return self._file(path.removeprefix(PREFIX))
            if path.startswith(API):
                return self._api(path.removeprefix(API), query)
            return self._page(path)
        except Refusal as no:
            return no.reply()
        except (Dropped, OSError):
            raise
        except Exception as error:  # noqa: BLE001  (the door of a connection: nothing may end the server)
            return refusal(500, f"the simulator failed: {type(error).__name__}: {error}")

    def _refuse_strangers(self) -> None:
        """Refuse a request that a web page sent here under a name of its own."""
        port = self.server.server_address[1]
        if self.headers.get("Host", "") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            raise Refusal(403, "this server answers to 127.0.0.1 alone")

    def _length(self) -> int:
        if self.headers.get("Transfer-Encoding"):
            raise Refusal(411, "say the length of the body")
        text = self.headers.get("Content-Length") or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise Refusal(400, "the length of the body is no number")
        return int(text)

    # ------------------------------------------------------------ kinds of paths

    def _file(self, path: str) -> Reply:
        if self.command == "GET":
            return self.server.files.get(path)
        if self.command == "PUT":
            return self.server.files.put(path, self.left, self)
        if self.command == "POST":
            return self.server.files.form(path, self.headers.get("Content-Type", ""), self.left, self)
        raise Refusal(405, f"{self.command} is not allowed here")

    def _api(self, path: str, query: str) -> Reply:
        path = _PROJECT.sub("", path, count=1)
        if self.left > LONGEST_BODY:
            raise Refusal(413, f"a message has at most {LONGEST_BODY} bytes")
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"token {self.server.token}".encode()):
            raise Refusal(401, "the token is not the simulator's")
        body = self._body()
        struck = self.server.faults.first(REQUEST, f"{self.command} {path}")
        if struck in _INSTEAD:
            return _INSTEAD[struck]
        if struck == "no-reply":
            self.server.closing.wait()
            raise Dropped
        if body and self.headers.get("Content-Type") != TYPE:
            raise Refusal(400, f"the body must be {TYPE}")
        reply = self.server.interface.answer(Asked(self.command, path, _parameters(query), body))
        if struck == "dropped-reply":
            raise Dropped
        return refusal(504, "simulated fault: gateway timeout") if struck == "lost-reply" else reply

    def _page(self, path: str) -> Reply:
        found = _PAGE.fullmatch(path)
        if self.command != "GET":
            raise Refusal(405, f"{self.command} is not allowed here")
        if found:
            desk = self.server.interface.desk
            return desk.job_page(found[2]) if found[1] == "jobs" else desk.library.model_page(found[2])
        if path in ("/", WEB):
            devices = [f"{device.name}, {device.os}" for device in self.server.interface.devices]
            return page("simulated AI Hub", devices)
        raise Refusal(404, "there is no such page")

    # ------------------------------------------------------------ bytes

    def read(self, count: int) -> bytes:
        """Return at most so many bytes of the body; b"" where it has no more."""
        block = self.rfile.read(min(count, self.left))
        self.left -= len(block)
        return block

    def _body(self) -> bytes:
        wanted, blocks = self.left, b""
        while self.left and (block := self.read(self.left)):
            blocks += block
        if len(blocks) != wanted:
            raise Refusal(400, "the body is shorter than it was said to be")
        return blocks

    def _drain(self) -> None:
        """Read what is left of a body that was refused, up to a limit: else the client never hears why."""
        todo = min(self.left, _DRAINED)
        while todo > 0 and (block := self.read(min(todo, 1 << 16))):
            todo -= len(block)

    def _send(self, reply: Reply) -> None:
        size = reply.file.stat().st_size if reply.file else len(reply.body)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.type)
        self.send_header("Content-Length", str(size))
        self.send_header("Connection", "close")
        self.send_header("X-Simulated", "true")
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if reply.file is None:
            self.wfile.write(reply.body)
        else:
            with reply.file.open("rb") as file:
                shutil.copyfileobj(file, self.wfile)


def _parameters(query: str) -> dict[str, list[str]]:
    try:
        return urllib.parse.parse_qs(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise Refusal(400, f"more than {_MOST_PARAMETERS} parameters") from error
