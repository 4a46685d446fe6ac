"""Writes an ONNX graph without its Ifs: sizes and constant inputs are fixed, and onnxruntime computes what follows.

    python docs/examples/without_if.py vad.onnx flat.onnx --size input=1x576 --size state=2x1x128 --constant sr=16000

For graphs whose conditions depend on sizes ("is there one probe?"), as older exporters write them. An input that is
given as a constant is no input of the new file. Gate the file that this makes, and ship it.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper


def without_if(source: str, target: str, sizes: dict[str, list[int]], constants: dict[str, float]) -> list[str]:
    """Write the graph; return the operators that still hold graphs of their own."""
    model = onnx.load(source)
    for item in list(model.graph.input):
        if item.name in constants:
            dtype = helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
            shape = sizes.get(item.name, [])
            value = np.full(shape, constants[item.name], dtype)
            model.graph.initializer.append(numpy_helper.from_array(value, item.name))
            model.graph.input.remove(item)
        elif item.name in sizes:
            for dimension, size in zip(item.type.tensor_type.shape.dim, sizes[item.name], strict=True):
                dimension.dim_value = size
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    written = onnx.load(target)
    onnx.checker.check_model(written, full_check=True)
    return [node.name or node.op_type for node in written.graph.node if node.op_type in ("If", "Loop", "Scan")]


def main() -> int:
    """Read the command line; return 1 where an If is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--size", action="append", default=[], metavar="INPUT=1x576")
    parser.add_argument("--constant", action="append", default=[], metavar="INPUT=16000")
    asked = parser.parse_args()
    sizes = {
        name: [int(size) for size in told.split("x")] for name, _, told in (one.partition("=") for one in asked.size)
    }
    constants = {name: float(told) for name, _, told in (one.partition("=") for one in asked.constant)}
    left = without_if(asked.source, asked.target, sizes, constants)
    sys.stdout.write(f"{asked.target}: {', '.join(left) + ' is left' if left else 'no operator holds a graph'}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
