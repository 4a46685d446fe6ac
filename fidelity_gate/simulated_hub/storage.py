"""The storage behind a simulated hub: files come in parts or as a form, and are fetched by a word nobody guesses."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fidelity_gate.simulated_hub.exchange import Reply, storage_error
from fidelity_gate.simulated_hub.faults import UPLOAD
from fidelity_gate.simulated_hub.store import BLOCK

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.simulated_hub.faults import Faults
    from fidelity_gate.simulated_hub.store import Store, Upload

PREFIX = "/simulated/files/"
_WORD = r"([0-9a-f]{24,64})"
_PART = re.compile(rf"upload/{_WORD}/(\d{{1,4}})")
_FORM = re.compile(rf"form/{_WORD}")
_FILE = re.compile(rf"file/{_WORD}")
_HEAD_BYTES = 64 << 10  # of a form before its file
_BOUNDARY = re.compile(r'multipart/form-data;\s*boundary="?([A-Za-z0-9\'()+_,./:=?-]{1,200})"?\s*')

_REFUSED = storage_error(403, "AccessDenied", "Access Denied")


class Body(Protocol):
    """What the client sends, read from its connection."""

    def read(self, count: int) -> bytes:
        """Return at most so many bytes; b"" where no more come."""


class Dropped(Exception):
    """The connection is to drop without an answer."""


@dataclass(frozen=True, slots=True)
class Files:
    """Takes and gives files."""

    store: Store
    faults: Faults

    def get(self, path: str) -> Reply:
        """Return a file that was offered."""
        found = _FILE.fullmatch(path)
        offered = self.store.downloads.get(found[1]) if found else None
        if offered is None or not offered[0].is_file():
            return storage_error(404, "NoSuchKey", "There is no such file.")
        return Reply(200, type="application/octet-stream", file=offered[0])

    def put(self, path: str, size: int, body: Body) -> Reply:
        """Take a part of an upload."""
        found = _PART.fullmatch(path)
        upload = self.store.uploads.get(found[1]) if found else None
        part = int(found[2]) if found else 0
        if upload is None or part >= len(upload.sizes):
            return storage_error(404, "NoSuchUpload", "There is no such upload.")
        if size > upload.sizes[part]:
            return storage_error(400, "EntityTooLarge", f"The part has {upload.sizes[part]} bytes at most.")
        return self._take(upload, part, size, body)

    def form(self, path: str, kind: str, size: int, body: Body) -> Reply:
        """Take a file that was posted as a form with this one field."""
        found, boundary = _FORM.fullmatch(path), _BOUNDARY.fullmatch(kind)
        upload = self.store.uploads.get(found[1]) if found else None
        if upload is None:
            return storage_error(404, "NoSuchUpload", "There is no such upload.")
        if boundary is None:
            return storage_error(400, "MalformedPOSTRequest", "The body is no form.")
        tail = f"\r\n--{boundary[1]}--\r\n".encode()
        head = self._head(body, f"--{boundary[1]}\r\n".encode())
        rest = size - len(head) - len(tail)
        if not head or rest < 0 or rest > upload.sizes[0]:
            return storage_error(400, "MalformedPOSTRequest", "The form has no file, or one that is too large.")
        reply = self._take(upload, 0, rest, body)
        if reply.status < 300 and _read(body, len(tail)) != tail:
            upload.parts.pop(0, None)
            return storage_error(400, "MalformedPOSTRequest", "The form has more than one field, or no end.")
        return reply

    def _head(self, body: Body, start: bytes) -> bytes:
        """Return what stands before the file of a form; b"" where it is no such form."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = body.read(1)
            if not byte or len(head) >= _HEAD_BYTES:
                return b""
            head += byte
        return head if head.startswith(start) else b""

    def _take(self, upload: Upload, part: int, size: int, body: Body) -> Reply:
        struck = self.faults.first(UPLOAD, "", *_WHILE_UPLOADING)
        if struck == "upload-refused":
            return _REFUSED
        if struck == "upload-dropped":
            _read(body, size // 2)
            raise Dropped
        digest, kept = _copied(body, size, upload.part_path(part))
        if kept != size:
            upload.part_path(part).unlink(missing_ok=True)
            return storage_error(400, "IncompleteBody", "Fewer bytes came than were promised.")
        if struck == "upload-part-lost":
            upload.part_path(part).unlink()
        elif struck == "upload-cut":
            kept = size // 2
        if struck != "upload-part-lost":
            upload.parts[part] = (f'"{digest}"', kept)
        headers = () if struck == "no-etag" else (("ETag", f'"{digest}"'),)
        return Reply(200, headers=headers)


_WHILE_UPLOADING = ("no-etag", "upload-cut", "upload-dropped", "upload-part-lost", "upload-refused")


def _copied(body: Body, size: int, path: Path) -> tuple[str, int]:
    """Copy so many bytes to a file; return their MD5, which S3 uses as ETag, and how many came."""
    digest, kept = hashlib.md5(usedforsecurity=False), 0
    with path.open("wb") as file:
        while kept < size and (block := body.read(min(BLOCK, size - kept))):
            digest.update(block)
            file.write(block)
            kept += len(block)
    return digest.hexdigest(), kept


def _read(body: Body, size: int) -> bytes:
    blocks = b""
    while len(blocks) < size and (block := body.read(min(BLOCK, size - len(blocks)))):
        blocks += block
    return blocks
