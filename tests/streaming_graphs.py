"""A graph with the interface of the voice activity detectors in use, its quantization, and recordings to gate it on.

    input (batch, 576), state (2, batch, 128), sr () int64 -> output (batch, 1), stateN (2, batch, 128)

Spectrum, LSTM, decision. Untrained: its decisions mean nothing, but they depend on all it has heard. At any rate but
16,000 it hears nothing.
"""

from __future__ import annotations

import logging
import wave
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

WINDOW, BINS, WIDTH = 576, 64, 128
RATE, CHUNK = 16_000, 512


def save_vad(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * np.outer(np.arange(WINDOW), np.arange(1, BINS + 1)) / WINDOW
    fourier = np.concatenate((np.cos(angles), np.sin(angles)), axis=1) / 8
    arrays = {
        "fourier": fourier,
        "rate": np.int64(RATE),
        "least": np.float32(1e-4),
        "first": np.array([0]),
        "w": rng.normal(size=(1, 4 * WIDTH, BINS)) / 8,
        "r": rng.normal(size=(1, 4 * WIDTH, WIDTH)) / 11,
        "b": rng.normal(size=(1, 8 * WIDTH)) / 4,
        "decide": rng.normal(size=(WIDTH, 1)),
    }
    nodes = [
        helper.make_node("Equal", ["sr", "rate"], ["known"]),
        helper.make_node("Cast", ["known"], ["hears"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["input", "hears"], ["heard"]),
        helper.make_node("MatMul", ["heard", "fourier"], ["waves"]),
        helper.make_node("Mul", ["waves", "waves"], ["squares"]),
        helper.make_node("Split", ["squares"], ["cosines", "sines"], axis=1, num_outputs=2),
        helper.make_node("Add", ["cosines", "sines"], ["powers"]),
        helper.make_node("Add", ["powers", "least"], ["above"]),
        helper.make_node("Log", ["above"], ["logs"]),
        helper.make_node("Unsqueeze", ["logs", "first"], ["x"]),
        helper.make_node("Split", ["state"], ["h", "c"], axis=0, num_outputs=2),
        helper.make_node("LSTM", ["x", "w", "r", "b", "", "h", "c"], ["", "hn", "cn"], hidden_size=WIDTH),
        helper.make_node("Concat", ["hn", "cn"], ["stateN"], axis=0),
        helper.make_node("Squeeze", ["hn", "first"], ["last"]),
        helper.make_node("MatMul", ["last", "decide"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "vad",
        [
            helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, None]),  # no size is told, as in theirs
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, None, WIDTH]),
            helper.make_tensor_value_info("sr", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("stateN", TensorProto.FLOAT, [2, None, WIDTH]),
        ],
        [numpy_helper.from_array(_plain(array), name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def quantized(path: Path) -> Path:
    """Return the graph with its matrices and its LSTM in INT8, by onnxruntime's dynamic quantization."""
    target = path.with_suffix(".int8.onnx")
    logging.disable(logging.INFO)
    try:
        quantize_dynamic(path, target, weight_type=QuantType.QInt8)
    finally:
        logging.disable(logging.NOTSET)
    return target


def save_recordings(folder: Path, files: int, seconds: float) -> Path:
    """Write noise whose loudness and colour change a few times a second."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    count = int(seconds * RATE)
    for number in range(files):
        loudness = np.repeat(10 ** rng.uniform(-2.5, -0.5, count // 4000 + 1), 4000)[:count]
        colour = np.repeat(rng.uniform(0, 0.9, count // 4000 + 1), 4000)[:count]
        noise = rng.normal(size=count + 1)
        samples = (noise[1:] + colour * noise[:-1]) * loudness
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(np.round(samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return folder


def _plain(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32) if np.asarray(array).dtype.kind == "f" else np.asarray(array)
