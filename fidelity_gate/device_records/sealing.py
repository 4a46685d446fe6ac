"""The file of saved profiles: JSON, one record a line, each with the SHA-256 of its own content.

The digest finds what was changed after it was written, by a hand or a bad disk. It is no signature: whoever rewrites a
record can rewrite its digest, and what binds a record to a candidate is the candidate's own file, hashed again.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate import json_fields, record_json
from fidelity_gate.device_records.saved import SavedProfile
from fidelity_gate.errors import Refused, ReportNotWritten
from fidelity_gate.files import read_file, replace_atomically, sha256_hex
from fidelity_gate.json_fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA = "fidelity-gate/device-records/v1"
RECORD_SCHEMA = "fidelity-gate/device-record/v1"
LIMIT_BYTES = 32 * 2**20
MOST_RECORDS = 20_000
LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Added:
    """What became of records that were to be added to a file."""

    added: int
    known: int  # were in it already
    total: int


def dump(records: Iterable[SavedProfile]) -> bytes:
    """Return the file's content; equal records give equal bytes.

    Raises:
        Internal: a number is not finite, or a field does not hold what its type says.
    """
    lines = ",\n".join(_sealed(record) for record in records)
    return f'{{"schema": "{SCHEMA}", "records": [\n{lines}\n]}}\n'.encode("ascii")


def load(data: bytes, where: str) -> tuple[SavedProfile, ...]:
    """Return the records that `data` holds.

    Args:
        data: the file's content.
        where: the file, for errors.

    Raises:
        Refused: not this format, a field missing, unknown or of the wrong type, too many records, or one whose content
            is not what its own digest says.
    """
    whole = Fields(json_fields.parse(data, where=where), where, "", Refused)
    schema = whole.text("schema")
    if schema != SCHEMA:
        raise record_json.other_schema(schema, SCHEMA, where)
    items = whole.items("records")
    whole.done()
    if len(items) > MOST_RECORDS:
        raise Refused(f"holds {len(items):,} records", where=where, hint=f"at most {MOST_RECORDS:,} a file")
    return tuple(_opened(item, f"records[{index}]", where) for index, item in enumerate(items))


def read(path: str | Path) -> tuple[SavedProfile, ...]:
    """Return the records of a file; raises Refused."""
    return load(read_file(path, limit_bytes=LIMIT_BYTES).data, str(path))


def add(path: str | Path, records: tuple[SavedProfile, ...]) -> Added:
    """Add records to a file, which is made where it is not there; those it has already are not added twice.

    The file is replaced whole, and only once the new one is written: whatever goes wrong, the old records stay. Two
    processes that add to one file do so one after the other.

    Raises:
        Refused: what is there is no file of saved profiles.
        ReportNotWritten: the new file could not be written, or another process keeps it locked.
    """
    given = Path(path)
    # A link is followed: what lies behind it is added to, under its own lock, and the link stays one.
    target = Path(os.path.realpath(given)) if given.exists() else given
    with _locked(target):
        before = read(target) if os.path.lexists(target) else ()
        known = frozenset(before)
        fresh = [record for record in dict.fromkeys(records) if record not in known]
        if fresh:
            replace_atomically(target, dump((*before, *fresh)))
    return Added(len(fresh), len(records) - len(fresh), len(before) + len(fresh))


def digest_of(record: SavedProfile) -> str:
    """Return the SHA-256 of a record's content."""
    return sha256_hex(_canonical(json.loads(_content(record))))


def _content(record: SavedProfile) -> str:
    return record_json.dump(record, RECORD_SCHEMA).decode("ascii").strip()


def _sealed(record: SavedProfile) -> str:
    return f'{{"sha256": "{digest_of(record)}", "record": {_content(record)}}}'


def _opened(item: object, path: str, where: str) -> SavedProfile:
    sealed = Fields(item, where, path, Refused)
    said, content = sealed.text("sha256"), sealed.value("record")
    sealed.done()
    # Of the content as it stands, not of the record made of it: a later version may know more fields than this file.
    data = _canonical(content)
    if sha256_hex(data) != said:
        hint = "record it again; a record that was edited is no evidence"
        raise Refused(
            "was changed after it was recorded: its content is not what its digest says",
            where=where,
            field=path,
            hint=hint,
        )
    return record_json.load(data, SavedProfile, RECORD_SCHEMA, where=f"{where}: {path}", mend="record it again")


def _canonical(content: object) -> bytes:
    return json.dumps(content, allow_nan=False, sort_keys=True, separators=(",", ":")).encode("ascii")


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    if not target.parent.is_dir():
        what = "its folder does not exist"
        raise ReportNotWritten(what, where=target, hint=f"create {target.parent}")
    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=LOCK_SECONDS)
    try:
        with lock:
            yield
    except Timeout as error:
        what = f"another process has kept it locked for {LOCK_SECONDS:g} s"
        raise ReportNotWritten(what, where=target, hint="run again when that is done") from error
    except OSError as error:
        raise ReportNotWritten(f"cannot be written: {error.strerror}", where=target) from error
