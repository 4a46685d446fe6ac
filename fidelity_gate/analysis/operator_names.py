"""ONNX operators that count no FLOPs, by name. What is neither here nor has a formula is of unknown cost.

The convention is that of torch's `FlopCounterMode`: products of matrices, convolutions, attention and the gates of
recurrent layers count; elementwise operators, activations, norms, softmax, reductions, pooling, look-ups, moves of data
and quantizing or dequantizing count nothing.
"""

from __future__ import annotations

from fidelity_gate.analysis.operator_products import MICROSOFT

_UNARY = """
    Abs Acos Acosh Asin Asinh Atan Atanh Bernoulli BitwiseNot Cast CastLike Ceil Celu Clip Cos Cosh Dropout Elu Erf
    Exp Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu
    RotaryEmbedding Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
    Trilu
"""
_NORMS = """
    BatchNormalization GroupNormalization Hardmax InstanceNormalization LRN LayerNormalization LogSoftmax
    LpNormalization MeanVarianceNormalization RMSNormalization SimplifiedLayerNormalization
    SkipSimplifiedLayerNormalization Softmax
"""
_QUANTIZING = "DequantizeLinear DynamicQuantizeLinear QuantizeLinear"
_SEVERAL = """
    Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min
    Mod Mul Or PRelu Pow Sub Sum SwiGLU Where Xor
"""
_REDUCTIONS = """
    ArgMax ArgMin AveragePool CumProd CumSum GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool
    NegativeLogLikelihoodLoss ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare SoftmaxCrossEntropyLoss TopK
"""
_MOVES = """
    BitCast CenterCropPad Compress Concat ConcatFromSequence Constant ConstantOfShape DepthToSpace Expand EyeLike
    Flatten Gather GatherElements GatherND MaxUnpool NonZero OneHot Optional OptionalGetElement OptionalHasElement
    Pad Range Reshape Resize ReverseSequence Scatter ScatterElements ScatterND SequenceAt SequenceConstruct
    SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Size Slice SpaceToDepth Split SplitToSequence
    Squeeze TensorScatter Tile Transpose Unique Unsqueeze Upsample
"""
_DRAWN = """
    BlackmanWindow HammingWindow HannWindow Multinomial RandomNormal RandomNormalLike RandomUniform
    RandomUniformLike
"""
_CONTRIB_ALIKE = """
    BiasAdd BiasGelu BiasSoftmax DequantizeLinear FastGelu GatedRMSNorm Gelu GemmaRotaryEmbedding QLinearLeakyRelu
    QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu RotaryEmbedding ScaledSiLU SkipLayerNormalization
    SkipSimplifiedLayerNormalization Trilu
"""
_CONTRIB = """
    BiasDropout BiasSplitGelu EmbedLayerNormalization ExpandDims GatherBlockQuantized GatherND GroupNorm IsAllFinite
    MRotaryEmbedding MaxpoolWithMask MulInteger NhwcMaxPool Pad QEmbedLayerNormalization QLinearAdd
    QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearMul QLinearReduceMean QLinearWhere Range
    ReduceSumInteger SkipGroupNorm Unique
"""


def _contrib(names: str) -> tuple[str, ...]:
    return tuple(f"{MICROSOFT}.{name}" for name in names.split())


# The first output has the shape of the first input.
ALIKE = frozenset((_UNARY + _NORMS + _QUANTIZING).split()) | frozenset(_contrib(_CONTRIB_ALIKE))
# The output has the shape that all inputs broadcast to.
SEVERAL = frozenset(_SEVERAL.split())

FREE = ALIKE | SEVERAL | frozenset((_REDUCTIONS + _MOVES + _DRAWN).split()) | frozenset(_contrib(_CONTRIB))
