"""Examples of FG604: a graph exported in training mode, and in inference mode."""

import numpy as np

from tests.graph_texts import graph

BODY = "mixed = Add(h, x) m = MatMul(mixed, w) moved = Dropout(m, ratio, mode) h_out = Add(h, moved)"
LEARNT = dict.fromkeys(("gain", "bias", "mean", "var"), np.ones(4, np.float32))
NORM = (
    "mixed = Add(h, x) m = MatMul(mixed, w) "
    "n{more} = BatchNormalization<training_mode={mode}>(m, gain, bias, mean, var) "
)


def _dropout(folder, mode):
    return graph(folder, BODY, constants={"ratio": np.float32(0.1), "mode": np.bool_(mode)})


def failing(folder):
    return _dropout(folder, mode=True)


def passing(folder):
    return _dropout(folder, mode=False)


def passing_without_a_mode(folder):
    return graph(folder, BODY.replace(", mode)", ")"), constants={"ratio": np.float32(0.1)})


def failing_where_the_caller_decides(folder):
    signature = "(float[1,4,8] h, float[1,4,8] x, bool mode) => (float[1,4,8] h_out)"
    return graph(folder, BODY, signature, constants={"ratio": np.float32(0.1)})


def failing_with_batch_statistics(folder):
    body = NORM.format(more=", running_mean, running_var", mode=1) + "h_out = Add(h, n)"
    return graph(folder, body, constants=LEARNT)


def passing_with_learnt_statistics(folder):
    return graph(folder, NORM.format(more="", mode=0) + "h_out = Add(h, n)", constants=LEARNT)


def failing_with_a_gradient(folder):
    body = "mixed = Add(h, x) m = MatMul(mixed, w) g = com.microsoft.GeluGrad(m, mixed) h_out = Add(h, g)"
    return graph(folder, body, domains=("com.microsoft",), checked=False)


def failing_with_a_training_operator(folder):
    body = "mixed = Add(h, x) h_out = ai.onnx.preview.training.Gradient(mixed, w)"
    return graph(folder, body, domains=("ai.onnx.preview.training",), checked=False)
