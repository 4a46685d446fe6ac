"""`fidelity-gate doctor`: what is installed here, and what a run would use."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from importlib import metadata

import click

from fidelity_gate import __version__
from fidelity_gate.text import printable

EPILOG = """\b
Examples:
  fidelity-gate doctor
  fidelity-gate doctor --json
"""
DISTRIBUTION = "fidelity-gate"
WHOLE = "all"  # the extra that is the sum of those that a run can need; others are for building this project
_REQUIREMENT = re.compile(r"""([\w.-]+)[^;]*(?:;\s*extra\s*==\s*['"]([\w-]+)['"])?""")
# Instruction sets that change what quantized kernels do (bitsandbytes picks its code by them).
_TELLING_FLAGS = re.compile(r"\b(avx2|avx512f|avx512_bf16|avx512_vnni|amx_int8)\b")


@dataclass(frozen=True, slots=True)
class Library:
    """One library: its version, or how to get it."""

    name: str
    extra: str
    version: str  # "" when it is not installed
    install: str  # the command that installs it, "" when it is there


@dataclass(frozen=True, slots=True)
class Examination:
    """All that doctor says."""

    version: str
    python: str
    machine: str
    processors: int
    usable_processors: int
    thread_variables: dict[str, str]
    libraries: tuple[Library, ...]
    devices: tuple[str, ...]


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def doctor(*, as_json: bool) -> int:
    """Show versions, extras, threads and devices; always exits 0."""
    found = examine()
    click.echo(json.dumps(asdict(found), sort_keys=True, indent=2) if as_json else _told(found))
    return 0


def examine() -> Examination:
    """Return what there is; imports torch, when it is installed, to ask for devices."""
    return Examination(
        version=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=f"{platform.system()} {platform.machine()}",
        processors=os.cpu_count() or 1,
        usable_processors=_usable(),
        thread_variables={name: os.environ[name] for name in _thread_variables()},
        libraries=tuple(_library(name, extra) for extra, names in extras().items() for name in names),
        devices=_devices(),
    )


def extras() -> dict[str, tuple[str, ...]]:
    """Return what each extra that a run can need brings, as this package's own metadata says; "" is the core."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:  # run from its sources: nothing says what it needs
        return {"": (DISTRIBUTION,)}
    brought: dict[str, list[str]] = {}
    for requirement in requirements:
        if match := _REQUIREMENT.fullmatch(requirement):
            brought.setdefault(match[2] or "", []).append(match[1])
    whole = set(brought.pop(WHOLE, ()))
    return {extra: tuple(names) for extra, names in sorted(brought.items()) if not extra or whole.issuperset(names)}


def _usable() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _thread_variables() -> list[str]:
    return [name for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ]


def _library(name: str, extra: str) -> Library:
    try:
        return Library(name, extra, metadata.version(name), "")
    except metadata.PackageNotFoundError:
        wanted = f"{DISTRIBUTION}[{extra}]" if extra else DISTRIBUTION
        return Library(name, extra, "", f"pip install '{wanted}'")


def _devices() -> tuple[str, ...]:
    cpu = "cpu" + (f" ({', '.join(flags)})" if (flags := _instruction_sets()) else "")
    try:
        import torch
    except ImportError:
        return (cpu,)
    except OSError as error:  # installed, and its shared libraries cannot be loaded
        return (cpu, printable(f"torch cannot be loaded: {error}"))
    return (cpu, *(f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())))


def _instruction_sets() -> list[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as handle:  # noqa: PTH123  (not a path of ours)
            return sorted(set(_TELLING_FLAGS.findall(handle.read(20_000))))
    except OSError:
        return []


def _told(found: Examination) -> str:
    lines = [
        f"fidelity-gate  {found.version}",
        f"python         {found.python}",
        f"machine        {found.machine}",
        f"processors     {found.usable_processors} of {found.processors} usable",
    ]
    lines += [f"{name:<14} {printable(value)}" for name, value in found.thread_variables.items()]
    lines += [f"device         {printable(device)}" for device in found.devices]
    for extra in dict.fromkeys(library.extra for library in found.libraries):
        lines.append(f"\n{f'extra {extra}' if extra else 'core'}")
        of_extra = [library for library in found.libraries if library.extra == extra]
        lines += [f"  {one.name:<13}{one.version or f'not installed: {one.install}'}" for one in of_extra]
    return "\n".join(lines)
