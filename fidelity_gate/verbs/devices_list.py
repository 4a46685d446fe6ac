"""`fidelity-gate devices list`: kinds of device, the devices of a policy, of records, and of the service."""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate import registry
from fidelity_gate.device_records.saved import UNSTATED, age_text, moment
from fidelity_gate.errors import GateError, NotMeasured, UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.devices_given import profiles_of
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fidelity_gate.device_records.saved import SavedProfile
    from fidelity_gate.records import DeviceSpec

EPILOG = """\b
Examples:
  fidelity-gate devices list
  fidelity-gate devices list release.gate.yaml
  fidelity-gate devices list records/
  fidelity-gate devices list --service 'Samsung Galaxy S2*'

Without WHERE: the kinds of device that a policy's `use` may name. WHERE is a policy, a file of records or of published
rows, or a folder of such files. --service asks Qualcomm AI Hub, by the client's own configuration.
"""
POLICIES = (".yaml", ".yml")
ASK_SECONDS = 60.0
_SERVICE = "--service"
_CELL = 80


@click.command("list", epilog=EPILOG)
@click.argument("where", required=False, default="")
@click.option(_SERVICE, default="", metavar="PATTERN", help="The service's devices whose name is like this; * for all.")
def list_devices(*, where: str, service: str) -> int:
    """Say which kinds of device there are, and which devices WHERE or the service has."""
    if where and service:
        raise UsageError("lists the service's devices, not those of a file", field=_SERVICE, hint="one of the two")
    if service:
        write_stdout(_of_service(service) + "\n")
    elif not where:
        write_stdout(_kinds() + "\n")
    elif where.endswith(POLICIES):
        write_stdout(_of_policy(where) + "\n")
    else:
        write_stdout(_of_records(where) + "\n")
    return 0


def _kinds() -> str:
    """Return every kind of device, with what its class says of itself first."""
    rows = []
    for name in registry.table_of("devices"):
        plug = registry.find("devices", name)
        rows.append((name, (plug.__doc__ or "").strip().partition("\n")[0]))
    return columns([("kind", "what it is"), *rows])


def _of_policy(path: str) -> str:
    """Return the devices of a policy; of those that replay records, what the records hold."""
    from fidelity_gate.errors import PolicyError
    from fidelity_gate.files import read_file
    from fidelity_gate.policy.loading import examine
    from fidelity_gate.policy.yaml_reader import LIMIT_BYTES

    found = examine(read_file(path, limit_bytes=LIMIT_BYTES, kind=PolicyError).data, path)
    for problem in found.problems:
        raise problem
    if found.policy is None or not found.policy.devices:
        raise NotMeasured("names no devices", where=path, hint="devices: {NAME: {use: KIND}}")
    return "\n\n".join(_spec_text(spec) for spec in found.policy.devices)


def _spec_text(spec: DeviceSpec) -> str:
    options = " ".join(f"{name}={value}" for name, value in spec.options if value not in ("", None, False))
    head = printable(f"{spec.name}: {spec.use} {options}".rstrip(), 300)
    records = dict(spec.options).get("path")
    if not isinstance(records, str):
        return head
    path = os.path.join(spec.base, records)  # noqa: PTH118  ("" is the working folder)
    try:
        return head + "\n" + _indented(_summary([(path, profiles_of(path))]))
    except GateError as error:
        return f"{head}\n  {error}"


def _of_records(where: str) -> str:
    """Return what a file or a folder of files holds; a file of a folder that is none of records is told, not hidden."""
    if not Path(where).is_dir():
        return _summary([(where, profiles_of(where))])
    files = sorted(path for path in Path(where).rglob("*.json") if not path.name.startswith("."))
    known: list[tuple[str, tuple[SavedProfile, ...]]] = []
    strange: list[str] = []
    for file in files:
        try:
            known.append((str(file), profiles_of(str(file))))
        except GateError as error:
            strange.append(str(error))
    if not known:
        raise NotMeasured("holds no records of devices", where=where, hint="devices record writes them, as .json")
    return "\n".join([_summary(known), *(f"not read: {line}" for line in strange)])


def _summary(files: Iterable[tuple[str, tuple[SavedProfile, ...]]]) -> str:
    """Return a line for every device, system, runtime, unit and kind of evidence in every file."""
    rows: list[tuple[str, ...]] = [("file", "device", "OS", "runtime", "unit", "profiles", "age of newest", "evidence")]
    for path, records in files:
        groups: dict[tuple[str, ...], list[SavedProfile]] = defaultdict(list)
        for record in records:
            key = record.device, record.os or "-", record.runtime or UNSTATED, record.compute_unit or UNSTATED
            groups[*key, record.label].append(record)
        rows += [_group_row(path, key, members) for key, members in sorted(groups.items())]
    return columns(tuple(printable(cell, _CELL) for cell in row) for row in rows)


def _group_row(path: str, key: tuple[str, ...], members: list[SavedProfile]) -> tuple[str, ...]:
    *shown, label = key
    made = [one for record in members if (one := moment(record.measured)) is not None]
    age = age_text((datetime.now(UTC) - max(made)) / timedelta(days=1) if made else None)
    return (path, *shown, str(len(members)), age, label)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _of_service(pattern: str) -> str:
    """Return the service's devices by name pattern; raises NotMeasured where it cannot be asked, or has none."""
    from fidelity_gate.devices.recorded_service import every_device

    found = every_device(ASK_SECONDS)
    chosen = [one for one in found if fnmatch.fnmatchcase(one.name.lower(), pattern.lower())]
    if not chosen:
        what = f"none of {len(found)} devices of the service has a name like '{printable(pattern, 60)}'"
        raise NotMeasured(what, hint=f"{_SERVICE} '*' shows them all")
    rows = [(one.name, one.os, _runtimes(one.attributes), "yes" if one.simulated else "") for one in chosen]
    return columns(_without_empty_last([("device", "OS", "runs", "simulated"), *sorted(rows)]))


def _runtimes(attributes: Iterable[str]) -> str:
    return ", ".join(sorted(one.partition(":")[2] for one in attributes if one.startswith("framework:")))


def _without_empty_last(rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield the rows without their last column, where it says nothing."""
    said = any(row[-1] for row in rows[1:])
    return ((tuple(printable(cell, _CELL) for cell in (row if said else row[:-1]))) for row in rows)
