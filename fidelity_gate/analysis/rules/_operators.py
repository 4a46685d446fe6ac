"""Operators that rules on hygiene look for, by what they do."""

TRAINING_DOMAIN = "ai.onnx.preview.training"
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
LOSSES = frozenset({"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"})
OPTIMIZERS = frozenset({"AdamOptimizer", "AdamWOptimizer", "InPlaceAccumulatorV2", "SGDOptimizerV2", "YieldOp"})
