"""Reading an architecture off tensor shapes, one fact at a time; what a hint says otherwise is refused. No torch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.families._layout import INTER_MULTIPLE, MOST_LAYERS, USUAL_EXPANSION, inter_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import Options, Scalar

EMBED_POS = "embed_pos.embedding_weight"

_QUARTERS = tuple(step / 4 for step in range(1, 129))  # expansions to try: 0.25 .. 32


class Reading:
    """The shapes and hints of one file."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], hints: Options, family: str) -> None:
        self.shapes = shapes
        self.hints: dict[str, Scalar] = dict(hints)
        self.family = family

    def has(self, name: str) -> bool:
        """Return whether the file holds this tensor."""
        return name in self.shapes

    def size(self, name: str, axis: int, rank: int = 2) -> int:
        """Return one size of a tensor that the family cannot do without.

        Raises:
            ModelRefused: the tensor is missing, or has another rank.
        """
        if name not in self.shapes:
            raise ModelRefused(f"is missing for {self.family}", field=name)
        shape = self.shapes[name]
        if len(shape) != rank:
            raise ModelRefused(f"has {len(shape)} axes, and {self.family} needs {rank}", field=name)
        return int(shape[axis])

    def agreed(self, field: str, measured: int) -> int:
        """Return what the tensors say, unless a hint says otherwise.

        Raises:
            ModelRefused: the hint contradicts the tensors.
        """
        hint = self.hints.get(field, measured)
        if hint != measured:
            raise ModelRefused(f"is said to be {hint}, and the tensors say {measured}", field=field)
        return measured

    def whole(self, field: str, default: int = 0) -> int:
        """Return a whole number that only a hint can say."""
        value = self.hints.get(field, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ModelRefused(f"is {value!r}, and must be a whole number", field=field)
        return value

    def number(self, field: str, default: float) -> float:
        """Return a positive number that only a hint can say."""
        value = self.hints.get(field, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise ModelRefused(f"is {value!r}, and must be a number above 0", field=field)
        return float(value)

    def width(self) -> int:
        """Return D."""
        return self.agreed("hidden_size", self.size("embed_tokens.embedding_weight", 1))

    def heads(self) -> int:
        """Return the number of attention heads, which no tensor's shape tells.

        Raises:
            ModelRefused: nobody says it.
        """
        if "num_heads" not in self.hints:
            what = "is not known: no shape tells it"
            raise ModelRefused(
                what,
                field="num_heads",
                hint="model: {num_heads: N} in a policy, --model num_heads=N elsewhere",
            )
        return self.whole("num_heads")

    def said(self, field: str, measured: str) -> None:
        """Refuse a hint that contradicts what the tensors are."""
        if self.hints.get(field, measured) != measured:
            raise ModelRefused(f"is said to be {self.hints[field]}, and the tensors say {measured}", field=field)

    def shared(self, hidden: int, mixed_tokens: int | None) -> dict[str, int | float]:
        """Return the fields that TRM and HRM have in common.

        Args:
            hidden: D.
            mixed_tokens: L, where a mixing matrix tells it.
        """
        tokens = mixed_tokens
        if tokens is None and self.has(EMBED_POS):
            tokens = self.size(EMBED_POS, 0)
        puzzle_tokens, ndim, known = self.puzzle_tokens(hidden, tokens)
        return {
            "hidden_size": hidden,
            "vocab_size": self.agreed("vocab_size", self.size("embed_tokens.embedding_weight", 0)),
            "seq_len": self.own_tokens(tokens, puzzle_tokens),
            "puzzle_emb_ndim": ndim,
            "puzzle_emb_len": puzzle_tokens,
            "num_puzzle_identifiers": known,
            "h_cycles": self.whole("h_cycles"),
            "l_cycles": self.whole("l_cycles"),
            "steps": self.whole("steps"),
            "rms_norm_eps": self.number("rms_norm_eps", 1e-5),
            "rope_theta": self.number("rope_theta", 10000.0),
        }

    def layers(self, stem: str, field: str) -> int:
        """Return how many layers there are under `stem`; they must be numbered from 0 without a gap."""
        pattern = re.compile(rf"{re.escape(stem)}\.(0|[1-9][0-9]{{0,5}})\.")
        found = {int(match[1]) for name in self.shapes if (match := pattern.match(name))}
        if not found or found != set(range(len(found))):
            raise ModelRefused(f"has layers {sorted(found)[:8]}, and they must count from 0", field=stem)
        if len(found) > MOST_LAYERS:
            raise ModelRefused(f"has {len(found)} layers, at most {MOST_LAYERS} are read", field=stem)
        return self.agreed(field, len(found))

    def expansion(self, inner_of: Mapping[int, int]) -> float:
        """Return the SwiGLU expansion that makes these inner widths of these widths, the usual one first.

        Args:
            inner_of: width -> inner width, as the tensors have them.

        Raises:
            ModelRefused: a hint gives other widths, or no expansion gives these.
        """
        if "expansion" in self.hints:
            told = self.number("expansion", USUAL_EXPANSION)
            for width, inner in inner_of.items():
                if inter_size(width, told) != inner:
                    what = (
                        f"{told} makes {inter_size(width, told)} inner values of {width}, and the tensors have {inner}"
                    )
                    raise ModelRefused(what, field="expansion")
            return told
        exact = (inner * 1.5 / width for width, inner in inner_of.items())
        for expansion in (USUAL_EXPANSION, *_QUARTERS, *exact):
            if all(inter_size(width, expansion) == inner for width, inner in inner_of.items()):
                return expansion
        shown = ", ".join(f"{inner} of {width}" for width, inner in sorted(inner_of.items()))
        hint = f"official code rounds inner widths up to a multiple of {INTER_MULTIPLE}"
        raise ModelRefused(f"no expansion makes these inner widths: {shown}", field="expansion", hint=hint)

    def puzzle_tokens(self, hidden: int, tokens: int | None) -> tuple[int, int, int]:
        """Return how many tokens the puzzle embedding takes, its width, and how many puzzles it knows.

        A hint counts first (0 means "as many as needed", as in the official code), then what the tensors leave beside
        the hinted `seq_len`, then as many tokens as the embedding needs.

        Args:
            hidden: D.
            tokens: L where a tensor says it, else None.
        """
        if not self.has("puzzle_emb.weights"):
            self.agreed("puzzle_emb_ndim", 0)
            if self.whole("puzzle_emb_len"):
                hint = "without a puzzle embedding there are no such tokens: puzzle_emb_len: 0"
                raise ModelRefused("is not 0, and there is no puzzle_emb.weights", field="puzzle_emb_len", hint=hint)
            return 0, 0, 0
        ndim = self.agreed("puzzle_emb_ndim", self.size("puzzle_emb.weights", 1))
        known = self.agreed("num_puzzle_identifiers", self.size("puzzle_emb.weights", 0))
        count = self.whole("puzzle_emb_len")
        if not count and tokens is not None and "seq_len" in self.hints:
            count = tokens - self.whole("seq_len")
        return count or -(ndim // -hidden), ndim, known

    def own_tokens(self, tokens: int | None, puzzle_tokens: int) -> int:
        """Return S, the tokens of the puzzle itself: from the tensors, else as hinted, else 0 for any number."""
        return self.whole("seq_len") if tokens is None else self.agreed("seq_len", tokens - puzzle_tokens)

    def positions(self, default: str | None, allowed: tuple[str, ...]) -> str:
        """Return how positions are told: learned where there is such a tensor, else as hinted, else `default`.

        Raises:
            ModelRefused: a hint contradicts the tensors, or it takes a hint and there is none.
        """
        learned = self.has(EMBED_POS)
        told = self.hints.get("positions", "learned" if learned else default)
        if told is None:
            what = "is not known: rope and none leave no tensors behind"
            raise ModelRefused(
                what, field="positions", hint="say it: --model positions=rope, in a policy model: {positions: rope}"
            )
        if (told == "learned") is not learned:
            what = f"is said to be {told}, and there is {'an' if learned else 'no'} embed_pos.embedding_weight"
            raise ModelRefused(what, field="positions")
        if told not in allowed:
            raise ModelRefused(f"is {told}, and {self.family} knows {', '.join(allowed)}", field="positions")
        return str(told)
