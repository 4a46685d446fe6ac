"""Shapes: what the file declares holds, what follows from it is told, and the rest stays unknown."""

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fidelity_gate.errors import OutOfMemory, OutOfTime, WorkerDied
from fidelity_gate.graphs import shapes
from fidelity_gate.graphs.reading import read_onnx
from fidelity_gate.graphs.shapes import inferred, skeleton_of
from fidelity_gate.sandbox import Limits
from tests import onnx_made
from tests.lint_made import value

MICROSOFT = "com.microsoft"


def file_of(nodes, constants=(), *, inputs=None, outputs=("y",), **kw):
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()]
    made = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(nodes, "g", inputs or [value("h", ("n", 4, 8))], made, initializer=tensors)
    graph.value_info.extend(kw.get("declared", ()))
    opsets = [helper.make_opsetid("", kw.get("opset", 18)), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return read_onnx(model.SerializeToString(), "step.onnx")


def shape(file, name):
    found = inferred(file, "step.onnx").values.get(name)
    return None if found is None else (found.dtype, found.shape)


def no_child(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a child process was started")

    monkeypatch.setattr(shapes, "run_limited", refuse)


def test_what_follows_is_filled_in():
    nodes = [helper.make_node("MatMul", ["h", "w"], ["m"]), helper.make_node("Softmax", ["m"], ["y"])]
    file = file_of(nodes, {"w": np.ones((8, 5), np.float32)})
    assert shape(file, "m") == ("float32", ("n", 4, 5))
    assert shape(file, "y") == ("float32", ("n", 4, 5))


def test_shapes_that_follow_from_values_of_small_constants_are_told():
    nodes = [
        helper.make_node("Shape", ["h"], ["s"], start=0, end=1),
        helper.make_node("Concat", ["s", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["h", "to"], ["y"]),
    ]
    assert shape(file_of(nodes, {"rest": np.array([2, 16])}), "y") == ("float32", ("n", 2, 16))


def test_a_file_that_says_it_all_starts_no_child(monkeypatch):
    no_child(monkeypatch)
    nodes = [helper.make_node("Neg", ["h"], ["m"]), helper.make_node("Neg", ["m"], ["y"])]
    declared = [value("m", ("n", 4, 8)), value("y", ("n", 4, 8))]
    file = file_of(nodes, declared=declared)
    assert inferred(file, "step.onnx") is file.graph


def test_what_the_file_declares_holds():
    nodes = [helper.make_node("Neg", ["h"], ["m"]), helper.make_node("Neg", ["m"], ["y"])]
    file = file_of(nodes, declared=[value("m", ("batch", 4, 8))])
    assert shape(file, "m") == ("float32", ("batch", 4, 8))
    assert shape(file, "y")[0] == "float32"


def test_the_child_gets_no_large_constant():
    weights = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(weights, "c")),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("MatMul", ["m", "c"], ["y"]),
    ]
    file = file_of(nodes, {"w": weights}, inputs=[value("h", (1, 4, 512))])
    assert len(skeleton_of(file)) < 1000
    assert shape(file, "y") == ("float32", (1, 4, 512))


def microsoft(op, inputs, outputs, **kw):
    return helper.make_node(op, inputs, outputs, domain=MICROSOFT, **kw)


BYTES = np.zeros((8, 5), np.int8)
SCALE = {"s": np.float32(0.5), "z": np.uint8(3), "z16": np.uint16(3)}
STAND_INS = {
    "MatMulNBits": ([microsoft("MatMulNBits", ["h", "b", "s"], ["y"], N=5, K=8, bits=4, block_size=16)], (4, 5)),
    "DynamicQuantizeMatMul": ([microsoft("DynamicQuantizeMatMul", ["h", "w", "s"], ["y"])], (4, 5)),
    "FusedMatMul": ([microsoft("FusedMatMul", ["h", "t"], ["y"], transB=1)], (4, 5)),
    "Gelu": ([microsoft("Gelu", ["h"], ["y"])], (4, 8)),
    "RMSNorm": ([helper.make_node("SimplifiedLayerNormalization", ["h", "g"], ["y"])], (4, 8)),
    "16-bit activations": (
        [
            microsoft("QuantizeLinear", ["h", "s", "z16"], ["q"]),
            microsoft("DequantizeLinear", ["q", "s", "z16"], ["y"]),
        ],
        (4, 8),
    ),
    "QLinearAdd": (
        [
            helper.make_node("QuantizeLinear", ["h", "s", "z"], ["q"]),
            microsoft("QLinearAdd", ["q", "s", "z", "q", "s", "z", "s", "z"], ["r"]),
            microsoft("QLinearSigmoid", ["r", "s", "z", "s", "z"], ["p"]),
            helper.make_node("DequantizeLinear", ["p", "s", "z"], ["y"]),
        ],
        (4, 8),
    ),
}


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_shapes_behind_operators_of_onnxruntime_are_told(name):
    nodes, expected = STAND_INS[name]
    matrices = {"b": np.zeros((5, 1, 8), np.uint8), "w": BYTES, "t": np.ones((5, 8), np.float32)}
    constants = matrices | SCALE | {"g": np.ones(8, np.float32)}
    assert shape(file_of(nodes, constants), "y") == ("float32", ("n", *expected))


def test_an_operator_that_nobody_knows_leaves_what_follows_unknown():
    nodes = [helper.make_node("Whirl", ["h"], ["m"], domain="nowhere"), helper.make_node("Neg", ["m"], ["y"])]
    file = file_of(nodes)
    assert shape(file, "m") is None
    assert inferred(file, "step.onnx").values["y"].shape is None


def test_shapes_that_contradict_one_another_are_left_unknown():
    nodes = [helper.make_node("MatMul", ["h", "w"], ["m"]), helper.make_node("Neg", ["h"], ["y"])]
    file = file_of(nodes, {"w": np.ones((3, 3), np.float32)})
    found = inferred(file, "step.onnx").values
    assert "m" not in found or found["m"].shape is None


def test_an_opset_of_the_future_is_no_reason_to_refuse():
    file = file_of([helper.make_node("Neg", ["h"], ["y"])], opset=9999)
    assert inferred(file, "step.onnx").inputs == file.graph.inputs


@pytest.mark.parametrize("limits", [Limits(1 << 30, 1), Limits(40 << 20, 20)])
def test_a_graph_that_makes_inference_run_wild_ends_at_its_limit(monkeypatch, limits):
    monkeypatch.setattr(shapes, "LIMITS", limits)
    # Each Concat doubles the rank that a Reshape gives: 2 ** 30 dimensions.
    nodes = [helper.make_node("Concat", ["v0", "v0"], ["v1"], axis=0)]
    nodes += [helper.make_node("Concat", [f"v{i}", f"v{i}"], [f"v{i + 1}"], axis=0) for i in range(1, 30)]
    nodes.append(helper.make_node("Reshape", ["h", "v30"], ["y"]))
    file = file_of(nodes, {"v0": np.array([1])})
    with pytest.raises((OutOfTime, OutOfMemory, WorkerDied)):
        inferred(file, "step.onnx")


def test_every_shape_of_real_files_is_what_onnxruntime_makes(tmp_path):
    import onnxruntime

    older = onnx_made.export(tmp_path / "older.onnx", dynamo=False)
    prepared = onnx_made.prepare(older, tmp_path / "prepared.onnx")
    blocks = onnx_made.quantize(prepared, tmp_path / "blocks.onnx", "blocks")
    for path in (older, blocks):
        file = read_onnx(path.read_bytes(), str(path))
        assert not [item for item in file.graph.values if item not in (*onnx_made.INPUTS, *onnx_made.OUTPUTS)]
        found = inferred(file, str(path))
        made = [name for node in found.nodes for name in node.outputs]
        model = onnx.load(path)
        model.graph.output.extend(
            helper.make_empty_tensor_value_info(name) for name in made if name not in onnx_made.OUTPUTS
        )
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        state = np.zeros((1, onnx_made.TOKENS, onnx_made.WIDTH), np.float32)
        tokens = np.zeros((1, onnx_made.TOKENS), np.int64)
        ran = session.run(made, dict(zip(onnx_made.INPUTS, (state, state, tokens), strict=True)))
        for name, array in zip(made, ran, strict=True):
            assert (found.values[name].dtype, found.values[name].shape) == (array.dtype.name, array.shape)
            assert math.prod(found.values[name].shape) == array.size


def test_text_constants_and_tensors_elsewhere_do_not_stop_inference():
    words = helper.make_node("Constant", [], ["words"], value_strings=["a", "b"])
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 5], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    file = file_of([words, helper.make_node("Identity", ["words"], ["t"]), helper.make_node("Neg", ["h"], ["y"])])
    model = onnx.ModelProto.FromString(file.skeleton)
    model.graph.initializer.append(tensor)
    model.graph.node.append(helper.make_node("MatMul", ["y", "w"], ["m"]))
    again = read_onnx(model.SerializeToString(), "step.onnx")
    assert shape(again, "m") == ("float32", ("n", 4, 5))
    assert shape(again, "t") == ("string", (2,))


def test_open_sizes_can_be_given_and_hold_everywhere():
    nodes = [helper.make_node("MatMul", ["h", "w"], ["m"]), helper.make_node("Neg", ["m"], ["y"])]
    file = file_of(nodes, {"w": np.ones((8, 5), np.float32)}, outputs=("y", "w"))
    found = inferred(file, "step.onnx", {"n": 3})
    assert found.inputs[0].shape == (3, 4, 8)
    assert found.values["m"].shape == found.values["y"].shape == (3, 4, 5)


def test_given_sizes_are_put_into_what_the_file_declares():
    nodes = [helper.make_node("Neg", ["h"], ["m"]), helper.make_node("Neg", ["m"], ["y"])]
    declared = [value("m", ("n", 4, 8)), value("y", ("n", 4, 8))]
    assert inferred(file_of(nodes, declared=declared), "step.onnx", {"n": 2}).values["m"].shape == (2, 4, 8)
