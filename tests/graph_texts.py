"""Step graphs written as ONNX text, for rules on the carry path and on hygiene."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.lint_made import subject

FLOAT = np.linspace(-0.5, 0.5, 64, dtype=np.float32).reshape(8, 8)
SCALES = {"s": np.float32(1 / 64), "z": np.int8(0), "s16": np.float32(1e-4), "z16": np.int16(0)}
CONSTANTS = {"w": FLOAT, "eps": np.float32(1e-5), "last": np.array([-1], dtype=np.int64), **SCALES}
SIGNATURE = "(float[1,4,8] h, float[1,4,8] x) => (float[1,4,8] h_out)"
STEP = "mixed = Add(h, x) moved = MatMul(mixed, w) h_out = Add(h, moved)"


def graph(folder, body=STEP, signature=SIGNATURE, *, name="step", constants=(), **kw):
    """Write a graph and open it; only the constants that its nodes read are in the file, and those of `constants`.

    Keywords: opset, ir_version, domains, metadata, edit (called with the ModelProto), checked; others of `subject`.
    """
    made = onnx.parser.parse_graph(f"step {signature} {{ {body} }}")
    read = {name for node in made.node for name in node.input} | {value.name for value in made.output}
    given = dict(constants)
    tensors = {key: array for key, array in {**CONSTANTS, **given}.items() if key in read or key in given}
    made.initializer.extend(numpy_helper.from_array(np.asarray(array), key) for key, array in tensors.items())
    domains = [helper.make_opsetid(domain, 1) for domain in kw.pop("domains", ())]
    opsets = [helper.make_opsetid("", kw.pop("opset", 21)), *domains]
    model = helper.make_model(made, opset_imports=opsets, ir_version=kw.pop("ir_version", 10))
    helper.set_model_props(model, kw.pop("metadata", {}))
    if kw.pop("checked", True):
        onnx.checker.check_model(model, full_check=True)
    kw.pop("edit", lambda _: None)(model)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return subject(path, **kw)


def rounded(source, result, bits=""):
    """Return the text of a pair that rounds a value with a fixed scale; bits "16" rounds finely."""
    scale = f"s{bits}, z{bits}"
    return f"{result}_q = QuantizeLinear({source}, {scale}) {result} = DequantizeLinear({result}_q, {scale}) "


def rms_norm(source, result, *, after_epsilon="", divisor="root"):
    """Return the text of a norm; `after_epsilon` may make "mean_eps" of "plain_eps", which is its root's input."""
    named = "plain_eps" if after_epsilon else "mean_eps"
    return (
        f"square = Mul({source}, {source}) mean = ReduceMean(square, last) {named} = Add(mean, eps) {after_epsilon}"
        f"root = Sqrt(mean_eps) {result} = Div({source}, {divisor}) "
    )
