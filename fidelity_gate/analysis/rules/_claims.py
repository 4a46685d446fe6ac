"""How few bits a recipe, a name or a policy says that block weights are stored in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What is written before the bits, and stands for weights: int8, i8, uint4, q4 (GGUF), w8 (of w8a8), nf4, fp8, bf16. One
# letter stands for widths that are in use only, so that q3 may be a quarter and w2 a worker.
_WIDTH = re.compile(
    r"(?:(?<![a-z0-9])|(?<=a8)|(?<=a16))(?:(?:u?int|nf|mxfp|fp|bf|b?float)[-_ ]?(?=[1-9])|[iuqwf](?=4|8|16))"
    r"(\d{1,2})(?=a\d|[^0-9]|$)"
)
_BITS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?bits?(?![a-z])")
_WORDS = re.compile(r"(?<![a-z])(?:quant(?:i[sz]\w*)?|gptq|awq|qat|ptq|qdq|bnb|half)(?![a-z])")
# Of other parts of a model: options of our recipes ("embeddings=int8"), or words beside a width ("lm_head-int8").
_ELSEWHERE = re.compile(r"emb|head|activation|carry")
_WIDTHS = range(1, 33)
FLOAT_BITS = 32  # what nobody claims as compression
SOME_BITS = 15  # "quantized", without saying how far: below 16


@dataclass(frozen=True, slots=True)
class Claim:
    """That weights of the recursive block take at most so many bits a value."""

    bits: int
    text: str  # as written

    def __str__(self) -> str:
        """Return `'int4-naive'`."""
        return f"'{self.text}'"


def smallest_claim(claims: Iterable[str]) -> Claim | None:
    """Return the claim of the fewest bits; None where nothing claims fewer than 32.

    Only what speaks of weights as such counts: what names embeddings, heads, activations or the carry does not, and
    neither do prune or distill, which make fewer values and not narrower ones.
    """
    found = [Claim(bits, text) for text in claims if (bits := _bits(text)) < FLOAT_BITS]
    return min(found, key=lambda claim: claim.bits, default=None)


def _bits(text: str) -> int:
    parts = [part for part in text.lower().split(",") if not _ELSEWHERE.search(part)]
    widths = [int(width) for part in parts for width in (*_WIDTH.findall(part), *_BITS.findall(part))]
    told = [width for width in widths if width in _WIDTHS]
    if told:
        return min(told)
    words = [word for part in parts for word in _WORDS.findall(part)]
    if not words:
        return FLOAT_BITS
    return 16 if set(words) == {"half"} else SOME_BITS
