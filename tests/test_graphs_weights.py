"""Weights of step graphs: what they are for, how they are stored, and values that are onnxruntime's own."""

import math

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.reading import read_onnx
from fidelity_gate.graphs.weights import GraphWeights
from fidelity_gate.records import Granularity, Role
from tests import onnx_made
from tests.lint_made import value

FLOAT = TensorProto.FLOAT
MICROSOFT = "com.microsoft"


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Real files by name: exports of one module, and what onnxruntime's quantizers make of the older one."""
    folder = tmp_path_factory.mktemp("onnx")
    found = {"older": onnx_made.export(folder / "older.onnx", dynamo=False)}
    found["prepared"] = onnx_made.prepare(found["older"], folder / "prepared.onnx")
    for recipe in onnx_made.RECIPES:
        found[recipe] = onnx_made.quantize(found["prepared"], folder / f"{recipe}.onnx", recipe)
    found["dynamic on the raw export"] = onnx_made.quantize(found["older"], folder / "raw.onnx", "dynamic")
    return found


def opened(path):
    return GraphWeights(read_onnx(path.read_bytes(), str(path)), str(path))


def of_nodes(nodes, constants, *, inputs=None, outputs=None, opset=21):
    """The weights of a graph that is written out; constants are arrays or TensorProtos."""
    tensors = [
        item if isinstance(item, TensorProto) else numpy_helper.from_array(np.asarray(item), name)
        for name, item in constants.items()
    ]
    graph = helper.make_graph(
        nodes, "g", inputs or [value("h", (1, 4, 8))], outputs or [value("h_out", (1, 4, 8))], initializer=tensors
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return GraphWeights(read_onnx(model.SerializeToString(), "step.onnx"), "step.onnx"), model


def run(model, output, **inputs):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([output], inputs)[0]


def summary(weights):
    """Return role -> how many matrices or tables are stored in which way."""
    found = {}
    for fact in weights.facts():
        if fact.role is not Role.OTHER:
            stored = found.setdefault(fact.role.value, {})
            stored[fact.stored_as] = stored.get(fact.stored_as, 0) + 1
    return found


# ---------------------------------------------------------------- real files

ASYMMETRIC, SYMMETRIC = "int4 in blocks of 16 asymmetric (MatMulNBits)", "int4 in blocks of 16 symmetric (MatMulNBits)"
TABLE = "uint8 per tensor asymmetric (DequantizeLinear)"
REAL = {
    "older": {"block": {"float32": 3}, "embedding": {"float32": 1}, "head": {"float32": 2}},
    "dynamic": {
        "block": {"int8 per tensor symmetric (MatMulInteger)": 3},
        "embedding": {TABLE: 1},
        "head": {"int8 per tensor symmetric (MatMulInteger)": 2},
    },
    "dynamic-channel": {
        "block": {"int8 per channel symmetric (MatMulInteger)": 3},
        "embedding": {TABLE: 1},
        "head": {"int8 per channel symmetric (MatMulInteger)": 2},
    },
    "static": {
        "block": {"int8 per channel symmetric (DequantizeLinear)": 3},
        "embedding": {"float32": 1},
        "head": {"int8 per channel symmetric (DequantizeLinear)": 2},
    },
    "static-int4": {
        "block": {"int4 per channel symmetric (DequantizeLinear)": 3},
        "embedding": {"float32": 1},
        "head": {"int4 per channel symmetric (DequantizeLinear)": 2},
    },
    "operators": {
        "block": {"int8 per tensor symmetric (QLinearMatMul)": 3},
        "embedding": {"int8 per tensor symmetric (QLinearAdd)": 1},
        "head": {"int8 per tensor symmetric (QGemm)": 1, "int8 per tensor symmetric (QLinearMatMul)": 1},
    },
    "blocks": {"block": {ASYMMETRIC: 3}, "embedding": {"float32": 1}, "head": {"float32": 1, ASYMMETRIC: 1}},
    "blocks-symmetric": {"block": {SYMMETRIC: 3}, "embedding": {"float32": 1}, "head": {"float32": 1, SYMMETRIC: 1}},
    # onnxruntime sees only the first use of a shared weight, quantizes that, and keeps the float for the others.
    "dynamic on the raw export": {
        "block": {"float32": 3, "int8 per tensor symmetric (MatMulInteger)": 3},
        "embedding": {TABLE: 1},
        "head": {"int8 per tensor symmetric (MatMulInteger)": 2},
    },
}


@pytest.mark.parametrize("name", sorted(REAL))
def test_what_exporters_and_quantizers_write_is_told_by_role_and_scheme(files, name):
    assert summary(opened(files[name])) == REAL[name]


@pytest.mark.parametrize("name", sorted(set(REAL) - {"older"}))
def test_quantized_weights_are_within_their_steps_of_the_floats_they_were_made_of(files, name):
    floats, weights = opened(files["prepared"]), opened(files[name])
    checked = 0
    for fact in weights.facts():
        stem = fact.name.removesuffix("_quantized").removesuffix("_Q4")
        if fact.granularity is Granularity.NONE or stem == fact.name or stem not in floats.file.contents:
            continue
        if fact.role is Role.OTHER:
            continue
        ours, theirs = weights.dense(fact.name), floats.dense(stem)
        if ours.shape != theirs.shape or fact.stored_as.endswith("(MatMulNBits)"):
            theirs = theirs.T  # MatMulNBits has (N, K); a Gemm turned into a MatMulInteger loses its transB
        grid = weights.quantized(fact.name)
        # Half a step to round a value; up to one more to round the zero point.
        assert np.abs(ours - theirs).max() <= 1.51 * np.abs(grid.scale).max()
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97
        checked += 1
    assert checked >= 4


@pytest.mark.parametrize("name", sorted(REAL))
def test_every_byte_of_the_constants_is_counted_once(files, name):
    weights = opened(files[name])
    constants = weights.file.graph.constants
    assert sum(fact.stored_bytes for fact in weights.facts()) == sum(item.stored_bytes for item in constants.values())


@pytest.mark.parametrize("name", ["older", "prepared", "static", "dynamic-channel"])
def test_which_axis_counts_output_channels_is_told_through_every_operator_between(files, name):
    weights = opened(files[name])
    products = [use for use in weights.uses.values() if use.products]
    assert {use.out_axis for use in products} <= {0, 1}
    block = [use for use in products if len(use.products) == onnx_made.INNER + 1]
    assert len(block) >= 2  # applied at every update
    assert all(use.out_axis == 1 for use in block)
    if name != "dynamic-channel":
        gemm = next(use for use in products if use.products[0].op == "Gemm")
        assert gemm.out_axis == 0  # transB


@pytest.mark.slow
def test_the_newer_exporter_leads_to_the_same_roles(tmp_path):
    weights = opened(onnx_made.export(tmp_path / "newer.onnx", dynamo=True))
    assert summary(weights) == REAL["older"]


# ---------------------------------------------------------------- values as onnxruntime has them

KINDS = {
    "int8": (TensorProto.INT8, -128, 127),
    "uint8": (TensorProto.UINT8, 0, 255),
    "int16": (TensorProto.INT16, -(2**15), 2**15 - 1),
    "int4": (TensorProto.INT4, -8, 7),
    "uint4": (TensorProto.UINT4, 0, 15),
}
SCALES = {
    "tensor": ({}, ()),
    "tensor, one element": ({}, (1,)),
    "axis 0": ({"axis": 0}, (6,)),
    "axis 1": ({"axis": 1}, (10,)),
    "axis -1": ({"axis": -1}, (10,)),
    "the usual axis": ({}, (10,)),
    "blocks of axis 0": ({"axis": 0, "block_size": 3}, (2, 10)),
    "blocks of axis 1": ({"axis": 1, "block_size": 5}, (6, 2)),
    "blocks of axis 1, the last one short": ({"axis": 1, "block_size": 4}, (6, 3)),
}


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("scales", sorted(SCALES))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_dequantized_values_are_those_of_onnxruntime(kind, scales, zeros):
    code, low, high = KINDS[kind]
    attributes, shape = SCALES[scales]
    draws = np.random.default_rng(7)
    numbers = draws.integers(low, high + 1, (6, 10))
    constants = {
        "q": helper.make_tensor("q", code, (6, 10), numbers.ravel()),
        "scale": draws.uniform(0.01, 0.1, shape).astype(np.float32),
    }
    if zeros:
        count = math.prod(shape)
        constants["zero"] = helper.make_tensor("zero", code, shape, draws.integers(low, high + 1, count))
    node = helper.make_node("DequantizeLinear", list(constants), ["w"], **attributes)
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights, model = of_nodes([node, product], constants, inputs=[value("x", (6, 6))], outputs=[value("y", (6, 10))])
    ours = weights.dense("q")
    theirs = run(model, "y", x=np.eye(6, dtype=np.float32))
    np.testing.assert_array_equal(ours, theirs)
    grid = weights.quantized("q")
    assert (grid.bits, grid.low, grid.high) == ({"int16": 16, "int8": 8, "uint8": 8}.get(kind, 4), low, high)
    again = ((grid.integers - grid.zero) * grid.scale).astype(np.float32)
    if grid.granularity is Granularity.BLOCK:
        axis = attributes["axis"]
        again = np.take(again.reshape(6, -1) if axis else again.reshape(-1, 10), range(ours.shape[axis]), axis=axis)
    np.testing.assert_array_equal(again, ours)
    fact = next(fact for fact in weights.facts() if fact.name == "q")
    expected = "block" if "block_size" in attributes else "tensor" if math.prod(shape) == 1 else "channel"
    assert fact.granularity.value == expected
    assert fact.symmetric is (not zeros and low < 0)
    assert fact.payload_bytes == math.ceil(60 * fact.bits / 8)
    assert fact.overhead_bytes == 4 * math.prod(shape) + (math.ceil(math.prod(shape) * fact.bits / 8) if zeros else 0)


def test_narrow_floats_with_a_scale_are_dequantized_and_have_no_integers():
    numbers = np.linspace(-2, 2, 16).astype(ml_dtypes.float8_e4m3fn)
    raw = TensorProto(name="q", data_type=TensorProto.FLOAT8E4M3FN, dims=[4, 4], raw_data=numbers.tobytes())
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    weights, model = of_nodes(
        nodes, {"q": raw, "scale": np.float32(0.5)}, inputs=[value("x", (4, 4))], outputs=[value("y", (4, 4))]
    )
    np.testing.assert_array_equal(weights.dense("q"), run(model, "y", x=np.eye(4, dtype=np.float32)))
    assert weights.quantized("q") is None


def packed(draws, rows, columns, *, bits, block, zeros):
    """Return the constants and the node of a MatMulNBits."""
    blocks = -(-columns // block)
    constants = {
        "b": draws.integers(0, 256, (rows, blocks, block * bits // 8), np.uint8),
        "scales": draws.uniform(0.01, 0.1, rows * blocks).astype(np.float32),
    }
    if zeros == "packed":
        constants["zeros"] = draws.integers(0, 256, rows * (-(-blocks * bits // 8)), np.uint8)
    if zeros == "float":
        constants["zeros"] = draws.uniform(0, 15, rows * blocks).astype(np.float32)
    settings = {"N": rows, "K": columns, "bits": bits, "block_size": block}
    return constants, helper.make_node("MatMulNBits", ["x", *constants], ["y"], domain=MICROSOFT, **settings)


@pytest.mark.parametrize("zeros", ["", "packed", "float"])
@pytest.mark.parametrize(
    ("bits", "columns", "block"), [(4, 64, 32), (4, 80, 16), (4, 70, 32), (4, 20, 32), (8, 64, 32)]
)
def test_weights_in_blocks_are_those_of_onnxruntime(bits, columns, block, zeros):
    if bits == 8 and zeros == "float":
        pytest.skip("onnxruntime has no float zero points for 8 bits")
    constants, node = packed(np.random.default_rng(3), 5, columns, bits=bits, block=block, zeros=zeros)
    inputs, outputs = [value("x", (columns, columns))], [value("y", (columns, 5))]
    weights, model = of_nodes([node], constants, inputs=inputs, outputs=outputs)
    theirs = run(model, "y", x=np.eye(columns, dtype=np.float32)).T
    ours = weights.dense("b")
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    grid = weights.quantized("b")
    blocks = -(-columns // block)
    assert grid.integers.shape == ((5, blocks, block) if blocks > 1 else (5, columns))
    assert np.broadcast_shapes(grid.integers.shape, grid.scale.shape, grid.zero.shape) == grid.integers.shape
    fact = next(fact for fact in weights.facts() if fact.name == "b")
    assert (fact.shape, fact.bits) == ((5, columns), bits)
    assert fact.granularity is (Granularity.BLOCK if blocks > 1 else Granularity.CHANNEL)
    assert fact.overhead_bytes == sum(array.nbytes for name, array in constants.items() if name != "b")
    assert fact.symmetric is (not zeros)


def test_what_stands_behind_the_last_column_of_a_row_counts_as_nothing():
    constants, node = packed(np.random.default_rng(3), 5, 70, bits=4, block=32, zeros="packed")
    inputs, outputs = [value("x", (70, 70))], [value("y", (70, 5))]
    grid = of_nodes([node], constants, inputs=inputs, outputs=outputs)[0].quantized("b")
    behind = (grid.integers - grid.zero)[:, -1, 70 - 64 :]
    assert behind.size
    assert not behind.any()


# ---------------------------------------------------------------- seen through what stands between


def matmul(weight, left="h", out="h_out"):
    return helper.make_node("MatMul", [left, weight], [out])


W = np.arange(64, dtype=np.float32).reshape(8, 8)
THROUGH = {
    "Transpose": ([helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0])], 0),
    "Transpose without an order": ([helper.make_node("Transpose", ["w"], ["t"])], 0),
    "two Transposes": (
        [helper.make_node("Transpose", ["w"], ["s"]), helper.make_node("Transpose", ["s"], ["t"])],
        1,
    ),
    "Identity": ([helper.make_node("Identity", ["w"], ["t"])], 1),
    "Cast": ([helper.make_node("Cast", ["w"], ["t"], to=FLOAT)], 1),
    "Reshape": ([helper.make_node("Reshape", ["w", "shape"], ["t"])], None),
    "mask": ([helper.make_node("Mul", ["mask", "w"], ["t"])], 1),
    "rounding as it runs": (
        [
            helper.make_node("QuantizeLinear", ["w", "scale"], ["s"]),
            helper.make_node("DequantizeLinear", ["s", "scale"], ["t"]),
        ],
        1,
    ),
}


@pytest.mark.parametrize("name", sorted(THROUGH))
def test_a_weight_is_seen_through(name):
    nodes, axis = THROUGH[name]
    constants = {"w": W, "shape": np.array([8, 8]), "mask": np.ones((1, 8), np.float32), "scale": np.float32(0.5)}
    weights, _ = of_nodes([*nodes, matmul("t")], constants)
    fact = next(fact for fact in weights.facts() if fact.name == "w")
    assert (fact.role, fact.stored_as) == (Role.BLOCK, "float32")
    assert weights.uses["w"].out_axis == axis
    np.testing.assert_array_equal(weights.dense("w"), W)


def test_a_scale_along_an_axis_is_followed_through_a_transpose():
    scale = np.linspace(0.1, 0.8, 8).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["q"], ["t"]),
        helper.make_node("DequantizeLinear", ["t", "scale"], ["w"], axis=1),
        matmul("w"),
    ]
    numbers = W.astype(np.int8)
    weights, _ = of_nodes(nodes, {"q": numbers, "scale": scale})
    np.testing.assert_allclose(weights.dense("q"), numbers * scale[:, None])
    assert weights.uses["q"].out_axis == 0


def test_both_sides_of_a_product_may_be_the_weight():
    mixing = helper.make_node("MatMul", ["m", "h"], ["h_out"])
    weights, _ = of_nodes([mixing], {"m": np.eye(4, dtype=np.float32)})
    assert weights.facts()[0].role is Role.BLOCK
    assert weights.uses["m"].out_axis == 0


def test_matrices_off_the_carry_path_are_heads_and_shared_ones_are_the_blocks():
    nodes = [matmul("w"), matmul("u", "h_out", "logits"), matmul("w", "h_out", "again")]
    outputs = [value("h_out", (1, 4, 8)), value("logits", (1, 4, 8)), value("again", (1, 4, 8))]
    weights, _ = of_nodes(nodes, {"w": W, "u": W}, outputs=outputs)
    assert {fact.name: fact.role for fact in weights.facts()} == {"w": Role.BLOCK, "u": Role.HEAD}
    assert [len(weights.uses[name].products) for name in ("w", "u")] == [2, 1]


def test_what_makes_the_rest_of_the_next_state_is_of_the_block():
    nodes = [
        matmul("encoder", "x", "e"),
        matmul("w"),
        helper.make_node("Add", ["y", "e"], ["h_out"]),
        matmul("head", "h_out", "logits"),
        matmul("beside", "x", "other"),
    ]
    nodes[1].output[0] = "y"
    inputs = [value("x", (1, 4, 8)), value("h", (1, 4, 8))]
    outputs = [value(name, (1, 4, 8)) for name in ("h_out", "logits", "other")]
    weights, _ = of_nodes(nodes, dict.fromkeys(("encoder", "w", "head", "beside"), W), inputs=inputs, outputs=outputs)
    roles = {fact.name: fact.role for fact in weights.facts()}
    assert roles == {"encoder": Role.BLOCK, "w": Role.BLOCK, "head": Role.HEAD, "beside": Role.HEAD}


def test_without_a_known_state_every_matrix_counts_as_the_blocks():
    weights, _ = of_nodes([matmul("w", out="y")], {"w": W}, outputs=[value("y", (1, 4, 8))])
    assert weights.facts()[0].role is Role.BLOCK


def test_rows_at_fixed_places_are_no_embedding():
    nodes = [
        helper.make_node("Gather", ["table", "places"], ["rows"]),
        helper.make_node("Add", ["h", "rows"], ["h_out"]),
    ]
    weights, _ = of_nodes(nodes, {"table": W, "places": np.array([1, 2, 3, 4])})
    assert {fact.role for fact in weights.facts()} == {Role.OTHER}


def test_a_matrix_that_only_a_body_reads_is_not_forgotten():
    body = helper.make_graph([matmul("w", out="inside")], "b", [], [helper.make_empty_tensor_value_info("inside")])
    nodes = [helper.make_node("If", ["flag"], ["h_out"], then_branch=body, else_branch=body)]
    inputs = [value("h", (1, 4, 8)), value("flag", (), TensorProto.BOOL)]
    weights, _ = of_nodes(nodes, {"w": W}, inputs=inputs)
    assert weights.facts()[0].role is Role.BLOCK


def test_a_recurrent_operator_has_two_weights():
    node = helper.make_node("GRU", ["x", "w", "r", "", "", "h"], ["", "h_out"], hidden_size=4)
    arrays = {"w": np.ones((1, 12, 8), np.float32), "r": np.ones((1, 12, 4), np.float32)}
    inputs, outputs = [value("x", (5, 1, 8)), value("h", (1, 1, 4))], [value("h_out", (1, 1, 4))]
    weights, _ = of_nodes([node], arrays, inputs=inputs, outputs=outputs)
    assert [fact.role for fact in weights.facts()] == [Role.BLOCK, Role.BLOCK]


# ---------------------------------------------------------------- what cannot be told

Q = W.astype(np.int8)


def test_integers_whose_scale_nobody_tells_are_not_taken_for_values():
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["h"], ["x", "x_scale", "x_zero"]),
        helper.make_node("MatMulInteger", ["x", "q", "x_zero"], ["y"]),
        helper.make_node("Cast", ["y"], ["z"], to=FLOAT),
        helper.make_node("Mul", ["z", "x_scale"], ["h_out"]),
    ]
    weights, _ = of_nodes(nodes, {"q": Q})
    fact = weights.facts()[0]
    assert (fact.stored_as, fact.granularity) == ("int8, scales not in the file (MatMulInteger)", Granularity.NONE)
    assert weights.quantized("q") is None
    with pytest.raises(ModelRefused, match="scales that the file does not tell"):
        weights.dense("q")


def test_a_scale_that_the_graph_computes_is_not_taken_for_one():
    nodes = [
        helper.make_node("ReduceMax", ["h"], ["s"], keepdims=0),
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
        matmul("w"),
    ]
    weights, _ = of_nodes(nodes, {"q": Q})
    assert weights.quantized("q") is None
    with pytest.raises(ModelRefused):
        weights.dense("q")


def test_a_tensor_in_another_file_is_refused_when_it_is_asked_for_and_counted_before():
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[8, 8], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    weights, _ = of_nodes([matmul("w")], {"w": tensor})
    assert weights.facts()[0].payload_bytes == 256
    with pytest.raises(ModelRefused, match="another file") as caught:
        weights.dense("w")
    assert (caught.value.where, caught.value.field) == ("step.onnx", "w")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"N": 6}, "does not hold 6x64"),
        ({"block_size": 0}, "MatMulNBits has no such weights"),
        ({"bits": 5}, "5 bits"),
        ({"K": 1 << 60}, "does not hold"),
    ],
)
def test_blocks_that_do_not_fit_their_operator_are_refused(change, words):
    constants, node = packed(np.random.default_rng(3), 5, 64, bits=4, block=32, zeros="")
    for attribute in node.attribute:
        attribute.i = change.get(attribute.name, attribute.i)
    weights, _ = of_nodes([node], constants, inputs=[value("x", (1, 64))], outputs=[value("y", (1, 5))])
    with pytest.raises(ModelRefused, match=words):
        weights.facts()


@pytest.mark.parametrize("shape", [(7,), (2, 8)])
def test_scales_that_do_not_fit_their_weight_are_refused(shape):
    nodes = [helper.make_node("DequantizeLinear", ["q", "scale"], ["w"], axis=1), matmul("w")]
    weights, _ = of_nodes(nodes, {"q": Q, "scale": np.ones(shape, np.float32)})
    with pytest.raises(ModelRefused, match="do not fit"):
        weights.facts()


def test_infinite_scales_reach_the_rules_that_speak_of_them():
    nodes = [helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]), matmul("w")]
    weights, _ = of_nodes(nodes, {"q": Q, "scale": np.float32(np.inf)})
    assert np.isinf(weights.quantized("q").scale).all()
    assert not np.isfinite(weights.dense("q")).all()


def test_weights_are_read_from_the_file_and_nothing_is_kept():
    weights, model = of_nodes([matmul("w")], {"w": np.ones((64, 64), np.float32)})
    assert onnx.ModelProto.FromString(model.SerializeToString()) == model
    assert weights.dense("w") is not weights.dense("w")
    assert weights.dense("w").flags.writeable
