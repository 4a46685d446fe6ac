"""Which ONNX operators (of the standard domain) need no buffer for their first output, and which inputs they take over.

An operator works in place when every value of its output depends on the value at the same place of that input and of no
other, so that it can be written over it. Whether it may is another question: the input has to die there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overwrites:
    """The inputs that an operator can write its output over: from `first`, at most `most` of them."""

    first: int = 0
    most: int | None = None  # None: all that follow

    def places(self, count: int) -> range:
        """Return the places of those inputs, of `count` in all."""
        return range(self.first, count if self.most is None else min(count, self.first + self.most))


ALIASES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})  # the same bytes in another shape

# Values that are drawn anew whenever the graph runs, whatever their inputs.
RANDOM = frozenset(
    {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)

SIZES = frozenset({"Shape", "Size"})  # they read the size of their input, not its values

_ONE_INPUT = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Clip", "Cos", "Cosh",
    "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "Not",
    "PRelu", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
    "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_TWO_INPUTS = ("Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Mod", "Mul", "Or", "Pow", "Sub", "Xor")
_SEVERAL_INPUTS = ("Max", "Mean", "Min", "Sum")

IN_PLACE: Mapping[str, Overwrites] = {
    **dict.fromkeys(_ONE_INPUT, Overwrites(most=1)),
    **dict.fromkeys(_TWO_INPUTS, Overwrites(most=2)),
    **dict.fromkeys(_SEVERAL_INPUTS, Overwrites()),
    "Where": Overwrites(first=1, most=2),
}
