"""The cost of ONNX Einsum with two operands: one batched matrix product, after sums within an operand."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from fidelity_gate.analysis.operator_products import broadcast
from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from fidelity_gate.analysis.operator_products import Call, Shape

DOTS = "..."


def einsum(call: Call) -> int:
    """Return 2 for every multiply-add; nothing where nothing is summed over both operands, as torch counts it.

    Raises:
        NotMeasured: three operands or more (the cost depends on their order), or an equation that does not fit.
    """
    equation = str(call.node.attributes.get("equation", "")).replace(" ", "")
    terms, arrow, result = equation.partition("->")
    operands = terms.split(",")
    if len(operands) != len(call.node.inputs) or not all(map(_readable, (*operands, result))):
        raise NotMeasured("its equation cannot be read")
    if len(operands) == 1:
        return 0
    if len(operands) > 2:
        raise NotMeasured(f"it has {len(operands)} operands, and its cost depends on their order")
    return _pair(operands, result if arrow else _implied(terms), (call.shape(0), call.shape(1)))


def _pair(operands: list[str], result: str, shapes: tuple[Shape, Shape]) -> int:
    sizes: dict[str, int] = {}
    rest = []  # the axes behind the dots of each operand
    for term, shape in zip(operands, shapes, strict=True):
        rest.append(_take(term, shape, sizes))
    left, right = (set(term.replace(DOTS, "")) for term in operands)
    kept = set(result.replace(DOTS, ""))
    if not (left & right) - kept:
        return 0
    return 2 * math.prod(broadcast(*rest)) * math.prod(sizes[letter] for letter in (left & right) | kept)


def _take(term: str, shape: Shape, sizes: dict[str, int]) -> Shape:
    """Put the size of every letter into `sizes`, and return the axes that the dots stand for."""
    before, dots, after = term.partition(DOTS)
    spare = len(shape) - len(before) - len(after)
    if spare < 0 or (spare and not dots):
        raise NotMeasured("its equation does not fit its inputs")
    split = len(shape) - len(after)
    for letter, size in (*zip(before, shape, strict=False), *zip(after, shape[split:], strict=True)):
        if size != 1 and sizes.setdefault(letter, size) not in (1, size):
            raise NotMeasured("its equation does not fit its inputs")
        sizes[letter] = max(size, sizes.get(letter, 1))
    return shape[len(before) : split]


def _implied(terms: str) -> str:
    """Return the result of an equation without an arrow: the letters that occur once, sorted."""
    counts = Counter(terms.replace(DOTS, "").replace(",", ""))
    return "".join(sorted(letter for letter, count in counts.items() if count == 1))


def _readable(term: str) -> bool:
    letters = term.replace(DOTS, "", 1)
    return letters.isascii() and (letters.isalpha() or not letters)
