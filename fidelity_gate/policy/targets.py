"""The device classes that ship with the gate, and the policy's words for a target's limits.

Source: arXiv 2606.26488, section 3 ("hard SRAM constraints"): a mobile SoC with 8 MB of SRAM (e.g. Cortex-A55) and a
microcontroller with 4 MB (e.g. Cortex-M55). The paper prints MB and counts MiB: its Table 15 follows from the
architectures only when 1 MB is 2**20 bytes, so its budgets are read the same way, which is also how SRAM is built. It
states no limit of flash or latency for either, so neither has one here.
"""

from __future__ import annotations

from fidelity_gate.records import Target

MIB = 2**20

SHIPPED = {
    "mcu-4mb": Target("mcu-4mb", sram_bytes=4 * MIB),
    "soc-8mb": Target("soc-8mb", sram_bytes=8 * MIB),
}

# The policy's word for a limit -> the unit of metrics that it can bound.
LIMIT_UNITS = {"sram": "bytes", "flash": "bytes", "latency": "seconds"}
PREFIX = "target."


def limit_of(target: Target, word: str) -> float | None:
    """Return a limit in bytes or seconds; None where the target has none."""
    limits = {"sram": target.sram_bytes, "flash": target.flash_bytes, "latency": target.latency_s}
    return limits[word]
