"""Models and datasets of a simulated hub: what is known of each in memory, their bytes in one folder."""

from __future__ import annotations

import hashlib
import itertools
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.simulated_hub.exchange import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEPT_DAYS = 30  # of a dataset that is not permanent
MOST_BYTES = 8 << 30  # of all files together
MOST_OBJECTS = 20_000
BLOCK = 1 << 20  # bytes that are copied at a time


@dataclass(slots=True, eq=False)
class Upload:
    """A file on its way: parts that were promised, and those that came."""

    owner: str  # id of the model or dataset
    sizes: tuple[int, ...]  # of the parts, in order
    path: Path
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    parts: dict[int, tuple[str, int]] = field(default_factory=dict)  # part -> (ETag, bytes that were kept)

    def part_path(self, part: int) -> Path:
        """Return where a part lies until all are there."""
        return self.path.with_name(f"{self.path.name}.{self.id}.{part}")


@dataclass(slots=True, eq=False)
class Model:
    """A model that the hub knows."""

    id: str
    name: str
    type: int  # ModelType
    created: float
    path: Path
    is_directory: bool = False
    complete: bool = False
    producer: str = ""  # the job that makes it
    source: str = ""  # id of the model it was made of
    filename: str = ""  # under which it is downloaded; "" for its name
    runtime: str = "onnx"
    digest: str = ""


@dataclass(slots=True, eq=False)
class Dataset:
    """A dataset that the hub knows."""

    id: str
    name: str
    created: float
    expires: float | None  # None: permanent
    path: Path
    complete: bool = False


class Full(Exception):
    """The hub keeps no more: too many bytes, or too many objects."""


class Store:
    """Everything that was uploaded or made. Objects are added and never taken away; one lock guards the tables."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.models: dict[str, Model] = {}
        self.datasets: dict[str, Dataset] = {}
        self.uploads: dict[str, Upload] = {}
        self.downloads: dict[str, tuple[Path, str]] = {}  # token -> file, and its name for the client
        self._prefix = prefix
        self._count = itertools.count(1)
        self._bytes = 0

    def new_id(self, letter: str) -> str:
        """Return an id: `msim...` for models, `dsim...` for datasets, `jsim...` for jobs."""
        return f"{letter}sim{self._prefix}{next(self._count):04d}"

    def add_model(self, make: Callable[[str, Path], Model]) -> Model:
        """Keep a model that is made of its id and path."""
        made = make(*self._place("m"))
        with self.lock:
            self.models[made.id] = made
        return made

    def add_dataset(self, make: Callable[[str, Path], Dataset]) -> Dataset:
        """Keep a dataset that is made of its id and path."""
        made = make(*self._place("d"))
        with self.lock:
            self.datasets[made.id] = made
        return made

    def promise(self, owner: str, path: Path, size: int, part: int) -> Upload:
        """Return an upload of `size` bytes in parts of at most `part`; room for it is set aside. Raises Full."""
        with self.lock:
            if self._bytes + size > MOST_BYTES or len(self.uploads) >= MOST_OBJECTS:
                raise Full
            self._bytes += size
            sizes = (*(part for _ in range((size - 1) // part)), size - (size - 1) // part * part) if size else (0,)
            upload = Upload(owner, sizes, path)
            self.uploads[upload.id] = upload
            return upload

    def joined(self, upload: Upload, etags: list[str]) -> str:
        """Make one file of the parts of an upload, and return its digest.

        Raises:
            Refusal: parts are missing, were cut, or are not those that the client sent.
        """
        for part, size in enumerate(upload.sizes):
            etag, kept = upload.parts.get(part, ("", 0))
            told = f"part {part + 1} of {len(upload.sizes)}"
            if not etag or not upload.part_path(part).exists():
                raise Refusal(400, f"the upload is not complete: {told} is missing")
            if kept != size:
                raise Refusal(400, f"the upload is not complete: {told} has {kept} of {size} bytes")
            if etags[part : part + 1] != [etag]:
                raise Refusal(400, f"the ETag of {told} is another one")
        digest = hashlib.sha256()
        with upload.path.open("wb") as whole:
            for part in range(len(upload.sizes)):
                with upload.part_path(part).open("rb") as piece:
                    while block := piece.read(BLOCK):
                        digest.update(block)
                        whole.write(block)
                upload.part_path(part).unlink()
        with self.lock:
            self.uploads.pop(upload.id, None)
        return digest.hexdigest()

    def fill(self, path: Path, data: bytes) -> str:
        """Write a file that a job made, and return its digest; raises Full."""
        with self.lock:
            if self._bytes + len(data) > MOST_BYTES:
                raise Full
            self._bytes += len(data)
        path.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def offer(self, path: Path, filename: str) -> str:
        """Return a word that nobody guesses, under which a file can be fetched."""
        word = secrets.token_hex(16)
        with self.lock:
            if len(self.downloads) >= MOST_OBJECTS:
                self.downloads.pop(next(iter(self.downloads)))
            self.downloads[word] = (path, filename)
        return word

    def _place(self, letter: str) -> tuple[str, Path]:
        with self.lock:
            if len(self.models) + len(self.datasets) >= MOST_OBJECTS:
                raise Full
        made = self.new_id(letter)
        return made, self.folder / made
