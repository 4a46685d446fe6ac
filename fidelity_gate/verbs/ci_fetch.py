"""A file from a URL, or out of a cache where it lies there: in either case only if it has the SHA-256 asked for.

What a cache holds is believed by its content alone: an entry that is a link, a folder, cut short or somebody else's is
thrown away, and the file is fetched. Needs nothing but the standard library: `ci/fetch_reference.py` runs it in a job
where nothing is installed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fidelity_gate.errors import ModelRefused, ReportNotWritten, Undecided, UnsafeContent, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

STORE, FETCHED = "fidelity-gate-store", "fidelity-gate-fetched"  # below the runner's folder for temporary files
LIMIT_BYTES = 8 << 30
TRIES, PAUSE_S, TIMEOUT_S = 3, 1.0, 60.0
_BLOCK = 1 << 20
_SERVERS_FAULT = 500  # HTTP: below, the answer will not be another one
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_URL = re.compile(r"[!-~]{1,2000}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is wanted.

    Attributes:
        url: where it is fetched from, https alone.
        digest: SHA-256 of its content, lower-case hexadecimal.
        name: what the file is to be called; its end may say its format.

    Raises:
        UsageError: one of them is not so.
    """

    url: str
    digest: str
    name: str

    def __post_init__(self) -> None:
        """Refuse what is no digest, no plain file name, or a URL that anybody on the way could answer."""
        if not _DIGEST.fullmatch(self.digest):
            raise UsageError(f"'{self.digest}' is no SHA-256", field="digest", hint="64 hexadecimal digits")
        if not _NAME.fullmatch(self.name):
            hint = "letters, digits, '.', '_' and '-': reference.safetensors"
            raise UsageError(f"'{self.name}' is no plain file name", field="file", hint=hint)
        if not _URL.fullmatch(self.url) or not _is_https(self.url):
            raise UsageError("is no https URL without a user in it", field="url", hint="https://HOST/PATH")

    @property
    def shown(self) -> str:
        """Return the URL without its query, which may hold a signature."""
        return self.url.partition("?")[0].partition("#")[0]


def brought(wanted: Wanted, temp: Path) -> tuple[Path, bool]:
    """Return the file in a folder of its own below `temp`, and whether it had to be fetched.

    Raises:
        ModelRefused: what the URL gives has another digest.
        UnsafeContent: it is larger than `LIMIT_BYTES`.
        Undecided: the URL gives nothing.
        ReportNotWritten: there is no room, or no right to write.
    """
    store, folder = temp / STORE, temp / FETCHED
    entry, target = store / wanted.digest, folder / wanted.name
    try:
        _remove(folder)
        folder.mkdir()
        if _copied(entry, target) == wanted.digest:
            return target, False
        _remove(target)
        _remove(store)
        store.mkdir()
        _fetch(wanted, entry)
        if (found := _copied(entry, target)) != wanted.digest:
            _remove(store)
            _remove(target)
            what = f"is not the file that is asked for (SHA-256 {found[:12]}..., asked for {wanted.digest[:12]}...)"
            raise ModelRefused(what, where=wanted.shown, field="digest")
    except OSError as error:
        raise ReportNotWritten(f"cannot be written: {error.strerror or error}", where=temp) from error
    return target, True


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and parts.username is None and port != 0


def _copied(source: Path, target: Path) -> str:
    """Copy a regular file and return the SHA-256 of what was copied; "" where there is none."""
    try:
        if not stat.S_ISREG(source.lstat().st_mode):
            return ""
    except FileNotFoundError:
        return ""
    with source.open("rb") as reading, target.open("xb") as writing:
        return _pumped(_blocks(reading), writing)


def _fetch(wanted: Wanted, entry: Path) -> None:
    """Write what the URL gives into a file, trying again where the network fails."""
    for attempt in range(1, TRIES + 1):
        try:
            with entry.open("wb") as writing:
                _pumped(_answer(wanted), writing)
                return
        except _Broken as error:
            if error.final or attempt == TRIES:
                raise Undecided(f"cannot be fetched: {error}", where=wanted.shown, field="url") from error
            time.sleep(PAUSE_S * attempt)


class _Broken(Exception):
    """The network gave nothing, or not all of it; final where asking again would not help."""

    def __init__(self, said: object, *, final: bool = False) -> None:
        super().__init__(str(said))
        self.final = final


def _answer(wanted: Wanted) -> Iterator[bytes]:
    size = 0
    try:
        with _opener().open(wanted.url, timeout=TIMEOUT_S) as answer:
            for block in _blocks(answer):
                size += len(block)
                if size > LIMIT_BYTES:
                    raise UnsafeContent("is too large", where=wanted.shown, hint=f"at most {LIMIT_BYTES:,} bytes")
                yield block
            length = answer.headers.get("Content-Length", "")
    except urllib.error.HTTPError as error:
        error.close()
        raise _Broken(f"HTTP {error.code}", final=error.code < _SERVERS_FAULT) from error
    except (OSError, HTTPException) as error:  # a disk's errors are raised in whoever writes, and never come here
        raise _Broken(getattr(error, "reason", None) or error) from error
    if length.isdecimal() and int(length) != size:
        raise _Broken(f"cut short after {size:,} of {int(length):,} bytes")


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows https and nothing else: a redirection to http, ftp or a file leads nowhere."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _blocks(reading: BinaryIO) -> Iterator[bytes]:
    while block := reading.read(_BLOCK):
        yield block


def _pumped(blocks: Iterator[bytes], writing: BinaryIO) -> str:
    hashed = hashlib.sha256()
    for block in blocks:
        hashed.update(block)
        writing.write(block)
    return hashed.hexdigest()


def _remove(path: Path) -> None:
    """Remove whatever is there, following no link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
