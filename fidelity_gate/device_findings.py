"""What profiles of devices say that nobody asked for: compressed and yet slower, or not on the unit it was made for.

A finding decides nothing. Its reasons are what the records hold and no more: layers by unit and kind, the number of
tokens and the smallest matrix against what a target is known to want. Where they hold nothing, that is what it says.

Sources: static INT8 was slower than float in 12.3 % of the 285 pairs that ai-hub-models publishes for onnx (7.3 % for
tflite, 5.2 % for qnn_dlc), the worst of them with layers on the CPU; arXiv 2606.26488, appendix G.1, for few tokens and
small matrices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fidelity_gate.records import Target, UnitShare

SLOWER, ELSEWHERE = "slower-than-float", "not-on-its-unit"
FLOATS = frozenset({"float", "float32", "fp32", "float16", "fp16", "bfloat16", "bf16"})
# w8a8, w8a16, w4, int8, int4, uint8, 4.5-bit
_QUANTIZED = re.compile(r"w\d+(a\d+)?|u?int\d+|\d+(\.\d+)?-bit", re.ASCII)
_CONVERSION = re.compile(r"quant|cast|convert", re.IGNORECASE | re.ASCII)
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Ran:
    """One model as one device ran it, as far as is known.

    Attributes:
        name: for people.
        precision: "float", "w8a8", "int8"; "" where nothing tells.
        seconds: of a run or a step, the same for all that are compared; None: not known.
        shares: layers by unit; empty: not known.
        tokens: L of the carry.
        smallest_side: of the block's matrices.
        what: a `seconds` is of: "run", "step".
    """

    name: str
    precision: str
    seconds: float | None
    shares: tuple[UnitShare, ...] = ()
    tokens: int | None = None
    smallest_side: int | None = None
    what: str = "run"


@dataclass(frozen=True, slots=True)
class DeviceFinding:
    """Something a profile says that nobody asked for."""

    kind: str  # SLOWER or ELSEWHERE
    name: str  # what it is about
    message: str  # what is so, in numbers
    reasons: tuple[str, ...]  # why, as far as the records tell; most telling first

    def __str__(self) -> str:
        """Return the message and its reasons on one line."""
        return f"{self.message}: {'; '.join(self.reasons)}" if self.reasons else self.message


def is_float(precision: str) -> bool:
    """Return whether a precision is one of floats."""
    return precision.lower() in FLOATS


def is_quantized(precision: str) -> bool:
    """Return whether a precision is one of integers; what nobody can tell is neither this nor float."""
    return bool(_QUANTIZED.fullmatch(precision.lower()))


def slowdown(ours: Ran, twin: Ran, targets: Iterable[Target] = ()) -> DeviceFinding | None:
    """Return the finding that a quantized model is slower than its float twin on the same device and runtime.

    Args:
        ours: the quantized one.
        twin: the same model in floats.
        targets: what the device is known to want; their `tile` and `int8_min_tokens` are looked at.

    Returns:
        None where it is no slower, or where either time or precision is not known.
    """
    if not (is_quantized(ours.precision) and is_float(twin.precision)) or not ours.seconds or not twin.seconds:
        return None
    if ours.seconds <= twin.seconds:
        return None
    took, float_took = (format_value(one.seconds or 0, "seconds") for one in (ours, twin))
    times = f"{ours.seconds / twin.seconds:.3g} times as slow as {twin.precision}"
    message = f"{ours.name}: {times} ({took} against {float_took} a {ours.what})"
    reasons = tuple(_why_slower(ours, twin, tuple(targets)))
    return DeviceFinding(SLOWER, ours.name, message, reasons or ("nothing in the records says why",))


def off_unit(ours: Ran, asked: str, elsewhere: Iterable[tuple[str, Ran]] = ()) -> DeviceFinding | None:
    """Return the finding that layers ran on the CPU which were meant for another unit.

    Args:
        ours: with its layers by unit.
        asked: the unit that it was compiled for, "" where that is not known: then it is the one that other layers of it
            ran on, or all layers of it under another runtime.
        elsewhere: the same model in the same precision on the same device: runtime and how that went.
    """
    mine, total = _layers(ours.shares, CPU), sum(share.layers for share in ours.shares)
    if not mine or asked == CPU:
        return None
    better = [(runtime, one) for runtime, one in elsewhere if one.shares and not _layers(one.shares, CPU)]
    if not asked and mine == total and not better:
        return None
    counted = f"all {total:,} layers run" if mine == total else f"{mine:,} of {total:,} layers {_run(mine)}"
    meant = f", and it was compiled for the {asked.upper()}" if asked and asked != "all" else ""
    message = f"{ours.name}: {counted} on the CPU{meant}"
    return DeviceFinding(ELSEWHERE, ours.name, message, tuple(_why_elsewhere(ours, better)))


def _why_elsewhere(ours: Ran, better: list[tuple[str, Ran]]) -> Iterator[str]:
    kinds = [
        f"{count:,} {kind}" for share in ours.shares if share.unit == CPU for kind, count in share.types if count > 0
    ]
    if kinds:
        yield f"there are {', '.join(kinds[:4])} among them"
    share = _time_share(ours.shares, CPU)
    if share is not None:
        yield f"they take {format_value(share, 'fraction')} of the layers' time"
    for runtime, one in better:
        took = [format_value(seconds, "seconds") for seconds in (one.seconds, ours.seconds) if seconds]
        times = f", in {took[0]} against {took[1]}" if len(took) > 1 else ""
        units = " and ".join(sorted({part.unit.upper() for part in one.shares if part.layers}))
        yield f"{runtime} on the same device runs all {sum(part.layers for part in one.shares):,} on the {units}{times}"


def _why_slower(ours: Ran, twin: Ran, targets: tuple[Target, ...]) -> Iterator[str]:
    yield from _cpu_layers(ours, twin)
    yield from _conversions(ours)
    yield from _more_layers(ours, twin)
    for target in targets:
        yield from _below(ours, target)
    if not ours.shares:
        yield "how much of it quantizes and dequantizes is not known: the record lists no layers"


def _cpu_layers(ours: Ran, twin: Ran) -> Iterator[str]:
    mine, theirs = _layers(ours.shares, CPU), _layers(twin.shares, CPU)
    if not mine or (twin.shares and mine <= theirs):
        return
    of = f"{mine:,} of its {sum(share.layers for share in ours.shares):,} layers {_run(mine)} on the CPU"
    beside = f", {theirs or 'none':} of the float one's" if twin.shares else ""
    share = _time_share(ours.shares, CPU)
    spent = f", for {format_value(share, 'fraction')} of the layers' time" if share is not None else ""
    yield of + beside + spent


def _conversions(ours: Ran) -> Iterator[str]:
    """Yield how many layers only convert; profiles name few kinds of layers, so there may be more."""
    kinds = [(kind, count) for share in ours.shares for kind, count in share.types if _CONVERSION.search(kind)]
    count = sum(number for _, number in kinds)
    total = sum(share.layers for share in ours.shares)
    if count:
        named = ", ".join(sorted({kind for kind, _ in kinds}))
        part = format_value(count / total, "fraction")
        yield f"at least {count:,} of its {total:,} layers ({part}) only convert between formats ({named})"


def _more_layers(ours: Ran, twin: Ran) -> Iterator[str]:
    mine, theirs = (sum(share.layers for share in one.shares) for one in (ours, twin))
    if theirs and mine > theirs:
        yield f"it has {mine - theirs:,} layers more than the float one ({mine:,} against {theirs:,})"


def _below(ours: Ran, target: Target) -> Iterator[str]:
    least, tile = target.int8_min_tokens, target.tile
    if least is not None and ours.tokens is not None and ours.tokens < least:
        yield f"a step has {ours.tokens} tokens, and static INT8 pays from {least} on {target.name}"
    if tile is not None and ours.smallest_side is not None and ours.smallest_side < tile:
        yield f"its smallest matrices have a side of {ours.smallest_side}, under the tile of {tile} of {target.name}"


def _run(count: int) -> str:
    return "runs" if count == 1 else "run"


def _layers(shares: tuple[UnitShare, ...], unit: str) -> int:
    return sum(share.layers for share in shares if share.unit == unit)


def _time_share(shares: tuple[UnitShare, ...], unit: str) -> float | None:
    """Return the unit's share of the layers' time; None where it is not known of all of them."""
    times = [share.seconds for share in shares]
    if any(seconds is None for seconds in times) or not (total := sum(seconds or 0 for seconds in times)):
        return None
    return sum(share.seconds or 0 for share in shares if share.unit == unit) / total
