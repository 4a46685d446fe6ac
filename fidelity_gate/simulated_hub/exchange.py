"""What goes in and out of the simulated hub's interface: one request, one reply, and a refusal that becomes a reply."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from fidelity_gate.simulated_hub.messages import SIMULATED, TYPE, stamp
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Route: TypeAlias = "tuple[str, re.Pattern[str], Callable[..., Reply]]"  # method, path, what answers it

LONGEST_NAME = 1000
JSON, HTML, XML = "application/json", "text/html; charset=utf-8", "application/xml"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived.

    Attributes:
        method: "GET", "POST", ...
        path: of the interface without "/api/v1/" ("jobs/"); of files the whole path.
        when: seconds since 1970.
        query: what stood behind the question mark.
        status: of the answer; 0 where there was none.
        over: whether it was answered, or its connection dropped; False while it is being worked on.
    """

    method: str
    path: str
    when: float
    query: str = ""
    status: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the interface, read whole."""

    method: str
    path: str  # without "/api/v1/" and "projects/ID/"
    query: Mapping[str, Sequence[str]]
    body: bytes

    def one(self, key: str, default: str = "") -> str:
        """Return the last value of a parameter."""
        return (self.query.get(key) or [default])[-1]

    def whole(self, key: str, default: int) -> int:
        """Return a parameter that is a whole number, at least 0; raises Refusal."""
        text = self.one(key, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise Refusal(400, f"{key} must be a whole number")
        return int(text)

    def page(self, items: list[Any]) -> list[Any]:
        """Return the part of a list that offset and limit ask for."""
        start = self.whole("offset", 0)
        return items[start : start + self.whole("limit", 50)]

    def message(self, kind: Any) -> Any:  # noqa: ANN401  (protobuf)
        """Return the body as a message of this kind; raises Refusal."""
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        made = kind()
        try:
            made.ParseFromString(self.body)
        except DecodeError as error:
            raise Refusal(400, "the body is no protobuf message of this kind") from error
        return made


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: bytes, or a file."""

    status: int
    body: bytes = b""
    type: str = JSON
    file: Path | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())


class Refusal(Exception):
    """A request that cannot be answered as it stands; it becomes a reply with a detail that the client shows."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail

    def reply(self) -> Reply:
        """Return the reply."""
        return refusal(self.status, self.detail)


def refusal(status: int, detail: str) -> Reply:
    """Return an error as the service words it: {"detail": ...}."""
    return Reply(status, json.dumps({"detail": printable(detail)}).encode())


def route(method: str, path: str, answer: Callable[..., Reply]) -> Route:
    """Return a route; {id} and {n} in the path are handed to what answers it."""
    return method, re.compile(path.replace("{id}", r"([A-Za-z0-9_-]{1,64})").replace("{n}", r"(\d{1,3})")), answer


def known(table: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    """Return what a table has under an id; raises Refusal."""
    if key not in table:
        raise Refusal(404, f"nothing is known by the id {key}")
    return table[key]


def tidy_name(name: str) -> str:
    """Return a name that can be a file's name as well; raises Refusal for one that is too long."""
    if len(name) > LONGEST_NAME:
        raise Refusal(400, f"a name has at most {LONGEST_NAME} characters")
    return printable(re.sub(r"[/\\]", "_", name), LONGEST_NAME) or "unnamed"


def created(messages: Any, key: str, moment: float, expires: float | None = None) -> Reply:  # noqa: ANN401
    """Return the answer to whatever made or changed something."""
    told = messages.CreateUpdateResponse(id=key)
    stamp(told.creation_time, moment)
    if expires is not None:
        stamp(told.expiration_time, expires)
    return message(told)


def message(made: Any, status: int = 200) -> Reply:  # noqa: ANN401  (protobuf)
    """Return a message."""
    return Reply(status, made.SerializeToString(), TYPE)


def storage_error(status: int, code: str, text: str) -> Reply:
    """Return an error as S3 words it."""
    body = f"<Error><Code>{code}</Code><Message>{html.escape(text)}</Message></Error>"
    return Reply(status, body.encode(), XML)


def page(title: str, lines: Sequence[str]) -> Reply:
    """Return a web page that says that everything is simulated."""
    items = "".join(f"<li>{html.escape(printable(line))}</li>" for line in lines)
    told = html.escape(SIMULATED)
    text = f"<!doctype html><title>{html.escape(printable(title))}</title><h1>{html.escape(printable(title))}</h1>"
    return Reply(200, f"{text}<p>{told}: no device ran anything.</p><ul>{items}</ul>".encode(), HTML)
