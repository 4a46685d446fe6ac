"""Everything beside the models that can change a number; no clock, no host name: equal runs give equal records."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fidelity_gate.matching import asked, lint_of
from fidelity_gate.records import Provenance

if TYPE_CHECKING:
    from fidelity_gate.records import DeviceRecord, Options, Policy, Probes

LIBRARIES = ("bitsandbytes", "numpy", "onnx", "onnxruntime", "safetensors", "torch")


def provenance(
    policy: Policy, probes: Probes, *, linted: bool = False, devices: tuple[DeviceRecord, ...] = ()
) -> Provenance:
    """Return what a measurement of this policy on these probes is made with."""
    return Provenance(
        policy_name=policy.name,
        policy_digest=policy.digest,
        inputs_digest=probes.digest,
        inputs_source=probes.source,
        probes=len(probes),
        run=policy.run,
        libraries=_libraries(),
        machine=_machine(),
        lint=lint_of(policy) if linted else None,
        devices=devices,
        asked=asked(policy),
    )


def _libraries() -> Options:
    """Return the versions of what computes; "" for what is not installed. Nothing is imported for it."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return tuple(sorted(found.items()))


def _machine() -> Options:
    """Return what else decides the last bits: the processor's kind, and the vector instructions that torch uses."""
    torch = sys.modules.get("torch")
    vectors = "" if torch is None else torch.backends.cpu.get_cpu_capability()
    return (("architecture", platform.machine()), ("system", platform.system()), ("vectors", vectors))
