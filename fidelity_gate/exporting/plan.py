"""What is to be exported, and how; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fidelity_gate.graphs.step_metadata import Unit

DEFAULT_OPSET = 18  # what the exporter writes natively, and every runtime of the last three years reads
LOWEST_OPSET = 18
HIGHEST_OPSET = 23

STREAMS = ("z_H", "z_L")
STREAM_OUTPUTS = ("z_H_out", "z_L_out")
HEADS = ("logits", "q_halt")
TOKENS = "inputs"
IDENTIFIERS = "puzzle_identifiers"
EMBEDDED = "x"

PRODUCER = "fidelity-gate"
_MARK = bytes((0x12, len(PRODUCER))) + PRODUCER.encode()  # ModelProto.producer_name, which comes second in the file
_MARK_WITHIN = 32


class Embed(StrEnum):
    """Where tokens become vectors."""

    INSIDE = "inside"  # the step graph takes tokens
    OUTSIDE = "outside"  # it takes `x`, which a second graph makes of tokens, once a probe


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """How to export.

    Attributes:
        unit: what one run of the graph is.
        batch: probes of a run; None for any number.
        opset: version of the standard operators.
        embed: where tokens become vectors.
        seq_len: tokens of a probe, for weights that take any number; 0 where the model knows.
    """

    unit: Unit = Unit.H_CYCLE
    batch: int | None = 1
    opset: int = DEFAULT_OPSET
    embed: Embed = Embed.INSIDE
    seq_len: int = 0


def is_export(start: bytes) -> bool:
    """Return whether a file that starts so is an ONNX model that export wrote."""
    return _MARK in start[:_MARK_WITHIN]
