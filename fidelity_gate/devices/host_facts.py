"""What this machine is, and how much memory this process had at most: read from the system, nothing measured."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import NotMeasured
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from fidelity_gate.records import Options

_CPUINFO, _STATUS = Path("/proc/cpuinfo"), Path("/proc/self/status")
_NAME_LIMIT = 100
_MODEL = re.compile(r"^(?:model name|Model|Hardware|cpu model)\s*:\s*(\S.*)$", re.MULTILINE)
_HIGH_WATER = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


def machine() -> Options:
    """Return the processor, the cores that this process may use, and the operating system."""
    system = f"{platform.system()} {platform.release()}"
    return (("cores", cores()), ("processor", processor()), ("system", printable(system, _NAME_LIMIT)))


def processor() -> str:
    """Return the processor's name; its architecture where the system names no model."""
    named = _MODEL.search(_text(_CPUINFO))
    found = named[1] if named else platform.processor() or platform.machine() or "unknown processor"
    return printable(found.strip(), _NAME_LIMIT)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_bytes() -> int:
    """Return the most memory of this process that was ever resident, in bytes.

    On Linux this is VmHWM: `getrusage` counts what the process was before it became this program, which is a copy of
    the one that started it, however large that is.

    Raises:
        NotMeasured: this system does not say.
    """
    high_water = _HIGH_WATER.search(_text(_STATUS))
    if high_water:
        return int(high_water[1]) << 10
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    raise NotMeasured("this system does not say how much memory one process had at most")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
