"""FLOPs of step graphs: against torch's counter, figures worked out by hand, and exports of the zoo."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
from exported import MODELS, exported
from hypothesis import given, settings
from hypothesis import strategies as st
from lint_made import save_onnx, value
from onnx import helper

from fidelity_gate.analysis.compute import compute_of, graph_compute
from fidelity_gate.analysis.graph_shapes import batch_name, shapes_of
from fidelity_gate.analysis.operator_costs import COSTS
from fidelity_gate.analysis.operator_flops import graph_flops, node_flops
from fidelity_gate.analysis.operator_names import FREE
from fidelity_gate.analysis.operator_products import PRODUCTS, Call
from fidelity_gate.errors import NotMeasured
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Depth, GraphConstant, GraphNode, GraphValue, ModelSpec, StatePair, StepGraph
from fidelity_gate.zoo.catalog import entry

MS = "com.microsoft"
UNKNOWN_COST = """
    AffineGrid CausalConvWithState Col2Im DFT DeformConv Det GridSample If ImageDecoder LinearAttention Loop MaxRoiPool
    MelWeightMatrix NonMaxSuppression RegexFullMatch RoiAlign STFT Scan SequenceMap StringConcat StringNormalizer
    StringSplit TfIdfVectorizer
"""
ATTRIBUTES = """
    K N axis perm pads strides group equation transA q_num_heads kv_num_heads qkv_hidden_sizes auto_pad num_heads
"""


def made(op, *shapes, domain="", subgraphs=0, **attributes):
    """Return the FLOPs of one operator over inputs of these shapes; None: an input that is left out."""
    names = tuple("" if shape is None else f"x{index}" for index, shape in enumerate(shapes))
    table = {name: shape for name, shape in zip(names, shapes, strict=True) if name}
    node = GraphNode(0, f"{op}_0", op, domain, names, ("y",), attributes, subgraphs)
    return node_flops(Call(node, table.get))


def opened(path):
    return open_model(ModelSpec("candidate", str(path)))


# ---------------------------------------------------------------- operators, worked out by hand


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "flops"),
    [
        ("MatMul", [(5, 4), (4, 3)], {}, 2 * 5 * 4 * 3),
        ("MatMul", [(2, 7, 5, 4), (4, 3)], {}, 2 * 2 * 7 * 5 * 4 * 3),
        ("MatMul", [(2, 1, 5, 4), (7, 4, 3)], {}, 2 * 2 * 7 * 5 * 4 * 3),
        ("MatMul", [(4,), (4, 3)], {}, 2 * 4 * 3),
        ("MatMul", [(5, 4), (4,)], {}, 2 * 5 * 4),
        ("MatMul", [(4,), (4,)], {}, 2 * 4),
        ("Gemm", [(4, 5), (3, 4), (3,)], {"transA": 1, "transB": 1}, 2 * 5 * 4 * 3),
        ("MatMulInteger", [(1, 5, 4), (4, 3), (), ()], {}, 2 * 5 * 4 * 3),
        ("QLinearMatMul", [(5, 4), (), (), (4, 3), (), (), (), ()], {}, 2 * 5 * 4 * 3),
        ("Conv", [(1, 6, 9, 9), (8, 3, 3, 3), (8,)], {"group": 2, "pads": (1, 1, 1, 1)}, 2 * 81 * 8 * 3 * 9),
        ("Conv", [(2, 3, 10), (4, 3, 3)], {"strides": (2,), "dilations": (2,)}, 2 * 2 * 3 * 4 * 3 * 3),
        ("Conv", [(1, 3, 10), (4, 3, 3)], {"strides": (3,), "auto_pad": "SAME_UPPER"}, 2 * 4 * 4 * 3 * 3),
        ("Conv", [(1, 3, 10), (4, 3, 3)], {"pads": (9, 9), "auto_pad": "VALID"}, 2 * 8 * 4 * 3 * 3),
        ("ConvInteger", [(1, 3, 10), (4, 3, 3)], {}, 2 * 8 * 4 * 3 * 3),
        ("QLinearConv", [(1, 3, 10), (), (), (4, 3, 3)], {}, 2 * 8 * 4 * 3 * 3),
        ("ConvTranspose", [(1, 6, 5, 5), (6, 2, 3, 3)], {"group": 2}, 2 * 25 * 6 * 2 * 9),
        ("LSTM", [(11, 2, 3), (1, 16, 3), (1, 16, 4)], {"hidden_size": 4}, 11 * 2 * 2 * 4 * 4 * (3 + 4)),
        ("LSTM", [(11, 2, 3), (2, 16, 3), (2, 16, 4)], {"direction": "bidirectional"}, 2 * 11 * 2 * 2 * 4 * 4 * 7),
        ("LSTM", [(2, 11, 3), (1, 16, 3), (1, 16, 4)], {"layout": 1}, 11 * 2 * 2 * 4 * 4 * 7),
        ("GRU", [(11, 2, 3), (1, 12, 3), (1, 12, 4)], {}, 11 * 2 * 2 * 3 * 4 * 7),
        ("RNN", [(11, 2, 3), (1, 4, 3), (1, 4, 4)], {}, 11 * 2 * 2 * 4 * 7),
        ("Attention", [(2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 6)], {}, 2 * 2 * 4 * 5 * 7 * (8 + 6)),
        (
            "Attention",
            [(2, 5, 32), (2, 7, 16), (2, 7, 12)],
            {"q_num_heads": 4, "kv_num_heads": 2},
            2 * 2 * 5 * 7 * (32 + 24),
        ),
        (
            "Attention",
            [(1, 4, 5, 8), (1, 4, 5, 8), (1, 4, 5, 8), None, (1, 4, 3, 8), (1, 4, 3, 8)],
            {},
            2 * 4 * 5 * 8 * 2 * 8,
        ),
        ("Einsum", [(2, 5, 4), (2, 4, 3)], {"equation": "bij,bjk->bik"}, 2 * 2 * 5 * 4 * 3),
        ("Einsum", [(2, 5, 4), (4, 3)], {"equation": "bij, jk"}, 2 * 2 * 5 * 4 * 3),
        ("Einsum", [(2, 7, 5, 4), (7, 4, 3)], {"equation": "...ij,...jk->...ik"}, 2 * 2 * 7 * 5 * 4 * 3),
        ("Einsum", [(5, 4), (3,)], {"equation": "ij,k->ijk"}, 0),
        ("Einsum", [(5, 4, 9), (4, 3)], {"equation": "ijs,jk->ik"}, 2 * 5 * 4 * 3),
        ("Einsum", [(5, 4)], {"equation": "ij->i"}, 0),
        ("DequantizeLinear", [(5, 4), (), ()], {}, 0),
        ("QuantizeLinear", [(5, 4), (), ()], {}, 0),
        ("LayerNormalization", [(5, 4), (4,)], {}, 0),
        ("ReduceMean", [(5, 4)], {}, 0),
    ],
)
def test_a_standard_operator_costs_what_its_definition_says(op, shapes, attributes, flops):
    assert made(op, *shapes, **attributes) == flops


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "flops"),
    [
        ("MatMulNBits", [(1, 5, 64), (3, 2, 16), (6,)], {"K": 64, "N": 3, "bits": 4, "block_size": 32}, 2 * 5 * 64 * 3),
        ("MatMulBnb4", [(5, 64), (96,), (3,)], {"K": 64, "N": 3}, 2 * 5 * 64 * 3),
        ("FusedMatMul", [(2, 4, 5), (3, 4)], {"transA": 1, "transB": 1}, 2 * 2 * 5 * 4 * 3),
        ("DynamicQuantizeMatMul", [(5, 4), (4, 3), (), ()], {}, 2 * 5 * 4 * 3),
        ("QGemm", [(5, 4), (), (), (3, 4), (), ()], {"transB": 1}, 2 * 5 * 4 * 3),
        ("FusedConv", [(1, 3, 10), (4, 3, 3)], {}, 2 * 8 * 4 * 3 * 3),
        ("QLinearConv", [(1, 10, 3), (), (), (4, 3, 3)], {"channels_last": 1}, 2 * 8 * 4 * 3 * 3),
        ("DynamicQuantizeLSTM", [(11, 2, 3), (1, 3, 16), (1, 4, 16)], {}, 11 * 2 * 2 * 16 * 7),
        ("Attention", [(2, 5, 6), (6, 24)], {"num_heads": 2}, 2 * (2 * 5 * 6 * 24 + 2 * 5 * 5 * 16)),
        (
            "Attention",
            [(1, 5, 6), (6, 20), None, None, (2, 1, 2, 3, 4)],
            {"num_heads": 2, "qkv_hidden_sizes": (8, 8, 4)},
            2 * 5 * 6 * 20 + 2 * 5 * (5 + 3) * (8 + 4),
        ),
        ("QAttention", [(1, 5, 6), (6, 24), (24,), (), ()], {"num_heads": 2}, 2 * 5 * 6 * 24 + 2 * 5 * 5 * 16),
        ("MultiHeadAttention", [(2, 5, 8), (2, 7, 8), (2, 7, 6)], {"num_heads": 2}, 2 * 2 * 5 * 7 * 14),
        ("MultiHeadAttention", [(2, 5, 2, 3, 4)], {"num_heads": 2}, 2 * 2 * 5 * 5 * 16),
        ("MultiHeadAttention", [(2, 5, 8), (2, 7, 2, 2, 4)], {"num_heads": 2}, 2 * 2 * 5 * 7 * 16),
        ("MultiHeadAttention", [(2, 5, 8), (2, 2, 7, 4), (2, 2, 7, 3)], {"num_heads": 2}, 2 * 2 * 5 * 7 * 14),
        ("SkipLayerNormalization", [(5, 4), (5, 4), (4,)], {}, 0),
        ("QLinearAdd", [(5, 4), (), (), (5, 4)], {}, 0),
    ],
)
def test_a_contributed_operator_costs_what_its_definition_says(op, shapes, attributes, flops):
    assert made(op, *shapes, domain=MS, **attributes) == flops


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "why"),
    [
        ("MatMul", [(5, 4), (3, 4)], {}, "5x4 and 3x4 cannot be multiplied"),
        ("MatMul", [(2, 5, 4), (3, 4, 3)], {}, "cannot be broadcast"),
        ("MatMul", [(5, 4)], {}, "its input 1 is missing"),
        ("MatMul", [(), (4, 3)], {}, "a scalar and 4x3"),
        ("Conv", [(1, 3, 10), (4, 3, 3)], {"group": 2}, "does not fit its kernel"),
        ("Conv", [(1, 3, 10), (4, 3, 3)], {"strides": (0,)}, "attributes do not fit"),
        ("Conv", [(1, 3, 10), (4, 3, 3)], {"pads": (1,)}, "attributes do not fit"),
        ("ConvTranspose", [(1, 6, 5, 5), (3, 2, 3, 3)], {}, "does not fit its kernel"),
        ("Einsum", [(5, 4), (4, 3), (3, 2)], {"equation": "ij,jk,kl->il"}, "3 operands"),
        ("Einsum", [(5, 4), (4, 3)], {"equation": "ij,jk,kl->il"}, "cannot be read"),
        ("Einsum", [(5, 4), (4, 3)], {"equation": "i1,1k->ik"}, "cannot be read"),
        ("Einsum", [(5, 4), (3, 3)], {"equation": "ij,jk->ik"}, "does not fit"),
        ("Einsum", [(5, 4, 2), (4, 3)], {"equation": "ij,jk->ik"}, "does not fit"),
        ("Attention", [(2, 5, 32), (2, 7, 16), (2, 7, 12)], {}, "number of heads"),
        ("LSTM", [(11,), (1, 16, 3), (1, 16, 4)], {}, "attributes do not fit"),
        ("MatMul", [(2**40, 2**40), (2**40, 2**40)], {}, "shapes cannot be right"),
        ("Loop", [(), ()], {"subgraphs": 1}, "runs a graph of its own"),
        ("GridSample", [(1, 1, 4, 4)], {}, "what it costs is not known"),
        ("MatMul", [(5, 4), (4, 3)], {"domain": "my.own"}, "what it costs is not known"),
        ("MatMulNBits", [(5, 60), (3, 2, 16)], {"domain": MS, "K": 64, "N": 3}, "5x60 and 64x3"),
        ("FusedMatMul", [(5, 4), (4, 3)], {"domain": MS, "transBatchA": 1}, "transposes over the batch"),
        ("Attention", [(1, 5, 6), (7, 24)], {"domain": MS}, "does not fit its weights"),
        ("GroupQueryAttention", [(1, 5, 6)], {"domain": MS}, "what it costs is not known"),
    ],
)
def test_an_operator_of_unknown_cost_says_why(op, shapes, attributes, why):
    with pytest.raises(NotMeasured, match=why):
        made(op, *shapes, **attributes)


def test_every_operator_of_the_standard_is_free_priced_or_known_to_be_of_unknown_cost():
    standard = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    ours = {name for name in FREE | set(COSTS) | PRODUCTS if "." not in name}
    assert standard - ours <= set(UNKNOWN_COST.split())
    assert not ours & set(UNKNOWN_COST.split())
    # onnxruntime writes two of its own into the standard's domain.
    assert ours - standard <= {"SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization"}
    assert not FREE & (set(COSTS) | PRODUCTS)
    assert not set(COSTS) & PRODUCTS


def test_every_contributed_operator_in_the_tables_exists():
    state = pytest.importorskip("onnxruntime.capi._pybind_state")
    known = {f"{MS}.{schema.name}" for schema in state.get_all_operator_schema() if schema.domain == MS}
    assert {name for name in FREE | set(COSTS) | PRODUCTS if "." in name} <= known


# ---------------------------------------------------------------- against torch's counter


def counted(function, *shapes):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        function(*(torch.zeros(shape) for shape in shapes))
    return counter.get_total_flops()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 2, st.integers(3, 7), st.integers(1, 3)),
    groups=st.integers(1, 3),
    stride=st.integers(1, 3),
    pad=st.integers(0, 2),
    transposed=st.booleans(),
)
def test_a_convolution_costs_what_torch_counts(sizes, groups, stride, pad, transposed):
    torch = pytest.importorskip("torch")
    batch, channels, side, kernel = sizes
    x, into, out = (batch, channels * groups, side, side), channels * groups, 2 * groups
    weight = (into, out // groups, kernel, kernel) if transposed else (out, channels, kernel, kernel)
    convolve = torch.nn.functional.conv_transpose2d if transposed else torch.nn.functional.conv2d
    pad = min(pad, kernel - 1)
    ours = made(
        "ConvTranspose" if transposed else "Conv",
        x,
        weight,
        group=groups,
        strides=(stride,) * 2,
        pads=(pad,) * 4,
    )
    assert ours == counted(lambda a, b: convolve(a, b, stride=stride, padding=pad, groups=groups), x, weight)


LETTERS = st.sampled_from(["ij,jk->ik", "bij,bjk->bik", "bij,jk", "bhqd,bhkd->bhqk", "ij,ij->", "ij,kj->ik"])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(LETTERS, st.data())
def test_an_einsum_costs_what_torch_counts(equation, data):
    torch = pytest.importorskip("torch")
    sizes = {letter: data.draw(st.integers(2, 4)) for letter in sorted(set(equation) - set(",->"))}
    shapes = [tuple(sizes[letter] for letter in term) for term in equation.partition("->")[0].split(",")]
    ours = made("Einsum", *shapes, equation=equation)
    assert ours == counted(lambda a, b: torch.einsum(equation, a, b), *shapes)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 3), max_size=2), st.lists(st.integers(1, 3), max_size=2), st.integers(2, 4))
def test_a_product_costs_and_gives_what_numpy_broadcasts(left, right, inner):
    left = [size if size == other else 1 for size, other in zip(left, left, strict=True)]
    a, b = (*left, 5, inner), (*[1 for _ in right], inner, 3)
    whole = np.matmul(np.zeros(a), np.zeros(b)).shape
    assert made("MatMul", a, b) == 2 * math.prod(whole) * inner


# ---------------------------------------------------------------- whole graphs


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [1, None], ids=["batch 1", "any batch"])
def test_an_export_of_the_zoo_costs_what_its_model_does(name, batch):
    model = compute_of(opened(entry(name).weights))
    step, cycle = (compute_of(opened(exported(name, unit, batch=batch))) for unit in ("act-step", "h-cycle"))
    assert (step.block_call, step.step, step.puzzle) == (model.block_call, model.step, model.puzzle)
    assert cycle.block_call == model.block_call
    assert model.step <= cycle.step <= 1.001 * model.step  # its heads run in every cycle
    assert (step.depth, step.not_counted, step.counted_by) == (model.depth, (), "operator table")


def test_quantized_exports_cost_what_the_float_one_does(tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    source = exported("trm-attention-sudoku")
    model = onnx.load(source)

    class Zeros(quantization.CalibrationDataReader):
        def __init__(self):
            self.rows = [{item.name: zeros_like(item) for item in model.graph.input}]

        def get_next(self):
            return self.rows.pop() if self.rows else None

    files = {kind: str(tmp_path / f"{kind}.onnx") for kind in ("dynamic", "qdq", "qoperator", "nbits")}
    quantization.quantize_dynamic(str(source), files["dynamic"])
    for kind, form in (("qdq", quantization.QuantFormat.QDQ), ("qoperator", quantization.QuantFormat.QOperator)):
        quantization.quantize_static(str(source), files[kind], Zeros(), quant_format=form)
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    four_bits = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=True)
    four_bits.process()
    four_bits.model.save_model_to_file(files["nbits"])

    for kind, path in list(files.items()):  # as the quantizers' own guide advises: without what was inferred before
        bare = onnx.load(path)
        del bare.graph.value_info[:]
        files[f"{kind}, no shapes inside"] = str(tmp_path / f"{kind}-bare.onnx")
        onnx.save(bare, files[f"{kind}, no shapes inside"])

    reference = compute_of(opened(source))
    for kind, path in files.items():
        found = compute_of(opened(path))
        assert (found.step, found.block_call, found.not_counted) == (reference.step, reference.block_call, ()), kind
    names = {name for path in files.values() for name, _ in compute_of(opened(path)).by_operator}
    assert names == {"MatMul", "MatMulInteger", "QLinearMatMul", f"{MS}.MatMulNBits"}


def zeros_like(item):
    tensor = item.type.tensor_type
    return np.zeros([size.dim_value for size in tensor.shape.dim], helper.tensor_dtype_to_np_dtype(tensor.elem_type))


DEPTH = Depth(3, 2, 4)


def small_step(tmp_path, *, unit="h-cycle", streams=2, **metadata):
    """Return a step of one or two streams: h' = h @ w for each, and a head on the first."""
    names = [f"z{index}" for index in range(streams)]
    nodes = [helper.make_node("MatMul", [name, "w"], [f"{name}_out"]) for name in names]
    nodes.append(helper.make_node("MatMul", ["z0_out", "head"], ["logits"]))
    told = {"unit": unit, "h_cycles": "3", "l_cycles": "2", "steps": "4", **metadata} if unit else {}
    return save_onnx(
        tmp_path,
        f"{unit}-{streams}",
        nodes,
        [value(name, [1, 5, 4]) for name in names],
        [*(value(f"{name}_out", [1, 5, 4]) for name in names), value("logits", [1, 5, 3])],
        {"w": np.ones((4, 4), np.float32), "head": np.ones((4, 3), np.float32)},
        metadata={f"fidelity_gate.{key}": text for key, text in told.items()},
    )


BLOCK, HEAD = 2 * 5 * 4 * 4, 2 * 5 * 4 * 3


def test_the_metadata_says_how_many_runs_make_a_step(tmp_path):
    cycle, step = (compute_of(opened(small_step(tmp_path, unit=unit))) for unit in ("h-cycle", "act-step"))
    assert (cycle.step, cycle.puzzle) == (3 * (2 * BLOCK + HEAD), 12 * (2 * BLOCK + HEAD))
    assert (step.step, step.puzzle) == (2 * BLOCK + HEAD, 4 * (2 * BLOCK + HEAD))
    assert cycle.block_call == 2 * BLOCK / 3
    assert step.block_call == 2 * BLOCK / 9
    assert cycle.by_operator == (("MatMul", cycle.step),)


def test_a_single_stream_has_no_second_update_and_no_state_has_no_block(tmp_path):
    single = compute_of(opened(small_step(tmp_path, streams=1)))
    assert single.block_call == BLOCK / 2
    graph = opened(small_step(tmp_path)).step_graph()
    assert graph_compute(replace(graph, states=()), DEPTH).block_call is None


def test_a_graph_that_does_not_say_what_it_is_counts_as_a_step_only_where_that_is_the_same(tmp_path):
    graph = opened(small_step(tmp_path, unit="")).step_graph()
    assert graph_compute(graph, Depth(1, 2, 4)).puzzle == 4 * (2 * BLOCK + HEAD)
    with pytest.raises(NotMeasured, match="one H-cycle or one ACT step"):
        graph_compute(graph, DEPTH)
    with pytest.raises(NotMeasured, match="depth"):
        graph_compute(graph, None)


@pytest.mark.parametrize(
    ("unit", "depth", "fits"),
    [
        ("h-cycle", Depth(1, 2, 9), True),
        ("h-cycle", Depth(3, 4, 4), False),
        ("act-step", Depth(3, 2, 9), True),
        ("act-step", Depth(1, 2, 4), False),
    ],
)
def test_a_depth_that_contradicts_the_cycles_inside_a_graph_is_not_measured(tmp_path, unit, depth, fits):
    graph = opened(small_step(tmp_path, unit=unit)).step_graph()
    if fits:
        assert graph_compute(graph, depth).depth == depth
    else:
        with pytest.raises(NotMeasured, match="holds the cycles of"):
            graph_compute(graph, depth)


def test_operators_of_unknown_cost_are_named_once_a_kind(tmp_path):
    graph = opened(small_step(tmp_path)).step_graph()
    stray = [GraphNode(90 + i, f"g{i}", "GridSample", "", ("z0_out",), (f"s{i}",), {}) for i in range(3)]
    found = graph_compute(replace(graph, nodes=(*graph.nodes, *stray)), DEPTH)
    assert found.not_counted == ("GridSample (3 nodes, first g0): what it costs is not known",)
    assert found.step == 3 * (2 * BLOCK + HEAD)


# ---------------------------------------------------------------- shapes


def plain(nodes, inputs, constants=(), values=()):
    """Return a graph of float values with these shapes."""
    floats = [GraphValue(name, "float32", shape) for name, shape in inputs]
    known = {item.name: item for item in [*floats, *(GraphValue(name, "float32", shape) for name, shape in values)]}
    held = {name: GraphConstant(name, "float32", shape, 4 * math.prod(shape), "d") for name, shape in constants}
    return StepGraph(tuple(nodes), tuple(floats), (), held, known, {"": 18}, states=(StatePair("x", "y"),))


def node(op, inputs, output, domain="", **attributes):
    return GraphNode(0, op, op, domain, tuple(inputs), (output,), attributes)


def test_a_declared_shape_that_contradicts_the_inputs_does_not_make_a_product_cheap():
    nodes = [
        node("Relu", ["x"], "a"),
        node("MatMul", ["a", "w"], "b"),
        node("Transpose", ["b"], "c", perm=(0, 2, 1)),
        node("Reshape", ["c", "s"], "d"),
        node("MatMul", ["d", "v"], "y"),
    ]
    lies = [("a", (1, 1, 4)), ("b", (1, 1, 6)), ("c", (1, 6, 1)), ("d", (1, 1, 5))]
    graph = plain(nodes, [("x", (1, 5, 4))], [("w", (4, 6)), ("v", (5, 2)), ("s", (3,))], lies)
    found = graph_flops(graph)
    assert found.total == 2 * 5 * 4 * 6
    assert found.not_counted == ("MatMul (MatMul): the shape of 'd' is not known",)
    honest = [("d", (1, 6, 5))]
    assert graph_flops(replace(graph, values={**graph.values, **plain([], honest).values})).total == 240 + 2 * 6 * 5 * 2


def test_an_open_leading_dimension_shared_by_all_inputs_is_the_batch():
    shared = plain([], [("x", ("batch", 5, 4)), ("tokens", ("batch", 5))])
    assert batch_name(shared) == "batch"
    assert shapes_of(shared) == {"x": (1, 5, 4), "tokens": (1, 5)}
    for shapes in ([("x", ("n", 5)), ("t", ("m", 5))], [("x", ("n", "n"))], [("x", (2, 5)), ("t", ("n", 5))]):
        assert batch_name(plain([], shapes)) == ""
    assert shapes_of(plain([], [("x", ("n", "tokens"))])) == {}


def test_shapes_follow_look_ups_products_and_quantized_operators():
    nodes = [
        node("Gather", ["table", "x"], "a"),
        node("QuantizeLinear", ["a", "s"], "q"),
        node("MatMulNBits", ["q", "w"], "b", MS, K=4, N=6),
        node("QLinearAdd", ["b", "s", "s", "bias", "s", "s"], "c", MS),
        node("Where", ["s", "c", "s"], "y"),
    ]
    graph = plain(nodes, [("x", (1, 5))], [("table", (9, 4)), ("w", (6, 1, 2)), ("s", ()), ("bias", (6,))])
    found = shapes_of(graph)
    assert (found["a"], found["q"], found["b"], found["c"], found["y"]) == (
        (1, 5, 4),
        (1, 5, 4),
        (1, 5, 6),
        (1, 5, 6),
        (1, 5, 6),
    )


NAMES = st.sampled_from(["x", "y", "z", "w", "", "nobody"])
ANY_NODES = st.builds(
    GraphNode,
    st.integers(0, 9),
    st.just("n"),
    st.sampled_from(sorted(set(COSTS) | PRODUCTS | {"Reshape", "Transpose", "Add", "Gather", "Loop", "Relu"})).map(
        lambda key: key.rpartition(".")[2]
    ),
    st.sampled_from(["", MS]),
    st.lists(NAMES, max_size=5).map(tuple),
    st.lists(NAMES, max_size=2).map(tuple),
    st.dictionaries(
        st.sampled_from(ATTRIBUTES.split()),
        st.integers(-3, 5) | st.text("ij,->.", max_size=6) | st.lists(st.integers(-2, 3), max_size=4).map(tuple),
    ),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(ANY_NODES, max_size=4),
    st.lists(st.lists(st.integers(-1, 4), max_size=4).map(tuple), min_size=3, max_size=3),
)
def test_no_graph_whatsoever_breaks_the_count_or_makes_it_negative(nodes, shapes):
    graph = plain(nodes, [("x", shapes[0]), ("y", shapes[1])], [("w", tuple(map(abs, shapes[2])))])
    found = graph_flops(graph)
    assert found.total >= found.carry >= 0
    assert sum(cost for _, cost in found.by_operator) == found.total


def test_a_state_of_another_type_is_no_stream(tmp_path):
    path = small_step(tmp_path, streams=1)
    graph = opened(path).step_graph()
    counter = GraphValue("t", "int64", (1,))
    more = replace(graph, inputs=(*graph.inputs, counter), states=(*graph.states, StatePair("t", "t_out")))
    assert graph_compute(more, DEPTH).block_call == graph_compute(graph, DEPTH).block_call
