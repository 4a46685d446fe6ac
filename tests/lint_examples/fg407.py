"""Examples of FG407: the same table beside 16 KiB and 64 KiB of SRAM."""

from dataclasses import replace

from fidelity_gate.records import Target
from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION

FAMILY = replace(ATTENTION, num_puzzle_identifiers=1000)  # 1000 x 8 float32: 32,000 bytes


def failing(folder):
    return subject(save_artifact(folder, "m", FAMILY), targets=(Target("mcu", sram_bytes=16 * 2**10),))


def failing_by_what_the_block_takes(folder):
    """The table alone would fit."""
    return subject(save_artifact(folder, "m", FAMILY), targets=(Target("mcu", sram_bytes=33_000),))


def passing(folder):
    return subject(save_artifact(folder, "m", FAMILY), targets=(Target("mcu", sram_bytes=64 * 2**10),))


def passing_without_sram(folder):
    return subject(save_artifact(folder, "m", FAMILY), targets=(Target("npu", tile=8),))
