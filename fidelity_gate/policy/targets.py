"""The device classes that ship with the gate, and the policy's words for a target's limits.

Source: arXiv 2606.26488, section 3 ("hard SRAM constraints"): a mobile SoC with 8 MB of SRAM (e.g. Cortex-A55) and a
microcontroller with 4 MB (e.g. Cortex-M55). The paper prints MB and counts MiB: its Table 15 follows from the
architectures only when 1 MB is 2**20 bytes, so its budgets are read the same way, which is also how SRAM is built. It
states no limit of flash or latency for either, so neither has one here.

`hexagon-npu` is the NPU of a Snapdragon 8 (Gen 1 and 3: Hexagon v70, v75). It has properties, which lint looks at, and
no limit, because the paper states none.

* static_only: section 4.2: dynamic quantization keeps accuracy best, but NPUs want static tensors and cannot run it.
* int8_min_tokens: appendix G, Table 11, measures two lengths. Sudoku, 81 tokens (97 with the puzzle embedding): static
  INT8 takes 2.4 times as long as float a step on the S24 (11.38 -> 27.23 ms), 2.6 times on the S22. ARC and Maze, 900
  tokens (916): for each H-cycle 1.6 times faster on the S24 (Maze 119.83 / 3 -> 25.71 ms), 1.4 times on the S22. (The
  float row of ARC, the same architecture at the same length, is a third of Maze's, so it is taken for one H-cycle; then
  it says 1.6 and 1.5.) 400 is interpolated: straight lines between the two lengths, in the logarithms of length and of
  the ratio, cross 1 at 430 to 540 tokens; rounded down, in favour of INT8. The two lengths are also two architectures
  (MLP mixing and attention), so this is the middle of a gap that nobody has measured, not a measured crossover.
* tile: appendix G.1 says that token-mixing weights (97 x 1024 and 512 x 97 values: 388 KiB and 194 KiB in float32) are
  under the efficient tile, and projections with sides of 512 and more are not; it gives no figure. 128 is chosen from
  that gap: an HVX vector register holds 128 bytes, so 128 INT8 values.

On the RB3 Gen 2 (QCS6490) static INT8 was faster at both lengths (Sudoku: 606.0 -> 334.7 ms): not this target.
"""

from __future__ import annotations

from fidelity_gate.records import Target

MIB = 2**20

SHIPPED = {
    "hexagon-npu": Target("hexagon-npu", static_only=True, tile=128, int8_min_tokens=400),
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


def has_properties(target: Target) -> bool:
    """Return whether a target says something that only lint looks at."""
    return target != Target(target.name, target.sram_bytes, target.flash_bytes, target.latency_s)
