"""Rules on the carry path: their figures, and what they say of a real step graph after every usual quantizer."""

import dataclasses
import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import onnx
import pytest

from fidelity_gate import registry
from fidelity_gate.analysis.linting import ROOM, lint
from fidelity_gate.analysis.rules._carry import Flow, bits_of, low_float
from fidelity_gate.analysis.rules.fg301_qdq_on_carry import QdqOnCarry
from fidelity_gate.analysis.rules.fg307_quantized_divisor import QuantizedDivisor
from fidelity_gate.graphs.step_metadata import step_metadata
from fidelity_gate.records import LintSettings
from fidelity_gate.zoo.catalog import entry
from tests.exported import MODELS, exported
from tests.graph_texts import graph, rms_norm, rounded
from tests.lint_made import subject

CARRY = LintSettings(select=("FG3",))
OURS = LintSettings(select=("FG3", "FG6"))
PRODUCTS = ["MatMul", "Gemm"]


def codes(opened, settings=CARRY):
    return [finding.code for finding in lint(opened, settings, model="m.onnx", candidate="c").findings]


def found(rule, opened):
    return list(rule.check(opened))


# ------------------------------------------------------------------ how values flow


def test_the_update_of_a_state_ends_at_products_and_at_other_states(tmp_path):
    signature = "(float[1,4,8] a, float[1,4,8] b, float[1,4,8] x) => (float[1,4,8] a_out, float[1,4,8] b_out)"
    body = "m = MatMul(b, w) b_new = Add(m, x) b_out = Identity(b_new) n = Add(a, b_new) a_out = Tanh(n)"
    flow = Flow.of(graph(tmp_path, body, signature).graph)
    assert {name for name, states in flow.updates.items() if states & 1} == {"a_out", "n", "a", "b_new"}
    assert {name for name, states in flow.updates.items() if states & 2} == {"b_out", "b_new", "m", "x"}


def test_element_types_follow_from_operators_where_the_file_is_silent(tmp_path):
    body = (
        "c = Cast<to=10>(h) t = Tanh(c) shape = Shape(t) q = QuantizeLinear(h, s) q16 = QuantizeLinear(h, s16, z16) "
        "d = DequantizeLinear(q, s) d16 = DequantizeLinear(q16, s16, z16) more = Greater(d, d16) h_out = Add(d, x)"
    )
    types = Flow.of(graph(tmp_path, body).graph).dtypes
    told = {name: types[name] for name in ("t", "shape", "q", "q16", "d", "more", "h_out")}
    assert told == {
        "t": "float16",
        "shape": "int64",
        "q": "uint8",
        "q16": "int16",
        "d": "float32",
        "more": "bool",
        "h_out": "float32",
    }


def test_bits_are_read_off_names():
    assert [bits_of(name) for name in ("int4", "uint8", "bfloat16", "float8_e4m3", "")] == [4, 8, 16, 8, 32]
    assert [low_float(name) for name in ("float16", "float8_e5m2", "float32", "int8", "")] == [True, True, *[False] * 3]


# ------------------------------------------------------------------ FG301 and FG307: where, and how often


def test_rounding_of_the_state_and_of_what_is_added_are_counted_apart(tmp_path):
    body = f"{rounded('h', 'd')} p = MatMul(d, w) {rounded('p', 'e')} sum = Add(d, e) {rounded('sum', 'h_out')}"
    (one,) = found(QdqOnCarry(), graph(tmp_path, body))
    assert dict(one.figures) == {"state": 2, "added": 1}
    assert one.message == (
        "h is rounded to 8 bits or fewer at 2 places on the way to h_out and at 1 place on what is added to it"
    )
    assert one.location.name.startswith("QuantizeLinear")
    assert one.location.context.startswith("QuantizeLinear(sum")  # the last of them


def test_how_fine_is_fine_enough_can_be_said(tmp_path):
    body = f"m = Add(h, x) p = MatMul(m, w) sum = Add(h, p) {rounded('sum', 'h_out', '16')}"
    opened = graph(tmp_path, body)
    assert not found(QdqOnCarry(), opened)
    assert found(QdqOnCarry(bits=16), opened)


def test_a_thousand_pairs_are_one_finding(tmp_path):
    names = ["h", *(f"d{index}" for index in range(1000))]
    chain = " ".join(rounded(left, right) for left, right in itertools.pairwise(names))
    (one,) = found(QdqOnCarry(), graph(tmp_path, f"{chain} m = MatMul(x, w) h_out = Add(d999, m)"))
    assert dict(one.figures) == {"state": 1000, "added": 0}


@pytest.mark.parametrize("mended", [False, True])
def test_a_divisor_that_is_said_to_be_rounded_to_zero_is(tmp_path, mended):
    """The rule's reason, run: a state whose mean square is under half a scale divides by zero."""
    import onnxruntime

    between = rounded("plain_eps", "mean_eps", "16" if mended else "")
    body = f"mixed = Add(h, x) p = MatMul(mixed, w) sum = Add(h, p) {rms_norm('sum', 'h_out', after_epsilon=between)}"
    opened = graph(tmp_path, body)
    small = np.full((1, 4, 8), 0.05, np.float32)
    session = onnxruntime.InferenceSession(opened.facts.path, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"h": small, "x": -small})
    assert bool(found(QuantizedDivisor(), opened)) is not mended
    assert math.isfinite(float(np.abs(made).max())) is mended


# ------------------------------------------------------------------ broken graphs


@pytest.mark.parametrize(
    "body",
    [
        "n = Reciprocal() h_out = Add(h, x)",
        "n = Div(h) h_out = Identity()",
        "n = DequantizeLinear() q = QuantizeLinear(h) h_out = DequantizeLinear(q)",
        "h_out = Cast(h)",
        "n = ReduceMean() r = Sqrt(n) h_out = Where(h)",
        "h_out = QLinearAdd()",
    ],
)
def test_nodes_with_too_few_inputs_crash_no_rule(tmp_path, body):
    assert isinstance(codes(graph(tmp_path, body, checked=False), OURS), list)


# ------------------------------------------------------------------ the zoo, and what quantizers make of it


@pytest.mark.parametrize("unit", ["h-cycle", "act-step"])
@pytest.mark.parametrize("name", MODELS)
def test_a_clean_export_of_the_zoo_is_clean(name, unit):
    assert codes(subject(exported(name, unit)), OURS) == []


NAME = "trm-attention-sudoku"
TOWARDS_STATES, NORMS, ON_STATES = ["FG301", "FG301"], ["FG307"], ["FG302", "FG302"]
IN_HALF = ["FG303", "FG303", "FG303"]  # the norms, and one sum a state
EXPECTED = {
    "quantize_static, all operators": TOWARDS_STATES,
    "quantize_static, products": TOWARDS_STATES,
    "quantize_static, products, residual mended": [],
    "quantize_static, products, 16-bit activations": [],
    "quantize_static, QOperator": TOWARDS_STATES,
    "quantize_static, mean squares": [*TOWARDS_STATES, *NORMS],
    "quantize_dynamic": [],
    "MatMulNBits": [],
    "float16": [*ON_STATES, *IN_HALF],
    "float16 inside": IN_HALF,
}


class Made(NamedTuple):
    """One exported step graph, pre-processed, and what collects activation ranges of it."""

    folder: object
    model: object
    carries: list


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the pre-processed graph and the carries of four puzzles over four H-cycles."""
    import onnxruntime
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folder = tmp_path_factory.mktemp("quantized")
    quant_pre_process(str(exported(NAME)), str(folder / "ready.onnx"), skip_symbolic_shape=True)
    model = onnx.load(str(folder / "ready.onnx"))
    del model.graph.value_info[:]  # or quantize_dynamic keeps shapes that are no longer true
    onnx.save(model, str(folder / "ready.onnx"))
    session = onnxruntime.InferenceSession(str(exported(NAME)), providers=["CPUExecutionProvider"])
    start = step_metadata({item.key: item.value for item in model.metadata_props}).initial
    shapes = {item.name: item.shape for item in session.get_inputs()}
    carries = []
    for puzzle in np.load(entry(NAME).calibration)["inputs"][:4]:
        feed = {name: np.broadcast_to(value, shapes[name]).copy() for name, value in start.items()}
        for _ in range(4):
            feed["inputs"] = puzzle[None].astype(np.int32)
            carries.append(dict(feed))
            feed["z_H"], feed["z_L"] = session.run(["z_H_out", "z_L_out"], feed)
    return Made(folder, model, carries)


@pytest.fixture(scope="session")
def quantized(made):
    """Return name of a quantizer -> path of what it makes, each made when it is first asked for."""
    return functools.cache(lambda name: QUANTIZERS[name](made, made.folder / f"{name}.onnx"))


def static(made, path, **kw):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Carries(CalibrationDataReader):
        def __init__(self):
            self.left = iter(made.carries)

        def get_next(self):
            return next(self.left, None)

    options = {"weight_type": QuantType.QInt8, "activation_type": QuantType.QInt8, "per_channel": True, **kw}
    options.setdefault("quant_format", QuantFormat.QDQ)
    quantize_static(str(made.folder / "ready.onnx"), str(path), Carries(), **options)
    return path


def mended(made, path):
    """Round in front of the products alone: every other reader of a rounded activation reads it as it was."""
    model = onnx.load(str(static(made, path, op_types_to_quantize=PRODUCTS)))
    plain = _rounded_of(model.graph)
    assert len(plain) > 20
    for node in model.graph.node:
        if node.op_type not in PRODUCTS:
            node.input[:] = [plain.get(name, name) for name in node.input]
    for name in sorted(plain.keys() & {value.name for value in model.graph.output}):
        swap = {name: f"{name}_rounded", plain[name]: name}
        for side in (side for node in model.graph.node for side in (node.input, node.output)):
            side[:] = [swap.get(each, each) for each in side]
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _rounded_of(graph):
    """Return rounded activation -> what it was before."""
    constants = {item.name for item in graph.initializer}
    quantizers = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    readers = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in quantizers]
    found = {node.output[0]: quantizers[node.input[0]] for node in readers}
    return {name: before for name, before in found.items() if before not in constants}


def mean_squares(made, path):
    adds = [node for node in made.model.graph.node if node.op_type == "Add"]
    means = {name for node in made.model.graph.node if node.op_type == "ReduceMean" for name in node.output}
    norms = [node.name for node in adds if means.intersection(node.input)]
    return static(made, path, op_types_to_quantize=["Add"], nodes_to_quantize=norms)


def products_16(made, path):
    from onnxruntime.quantization import QuantType

    extra = {"UseQDQContribOps": True}  # the standard has 16 bits from opset 21 on
    return static(made, path, op_types_to_quantize=PRODUCTS, activation_type=QuantType.QInt16, extra_options=extra)


def q_operators(made, path):
    from onnxruntime.quantization import QuantFormat

    return static(made, path, quant_format=QuantFormat.QOperator, per_channel=False)


def dynamic(made, path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(str(made.folder / "ready.onnx"), str(path), weight_type=QuantType.QInt8, per_channel=True)
    return path


def n_bits(made, path):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    copy = onnx.ModelProto.FromString(made.model.SerializeToString())
    quantizer = MatMulNBitsQuantizer(copy, block_size=32, is_symmetric=False)
    quantizer.process()
    quantizer.model.save_model_to_file(str(path))
    return path


def half(made, path, *, inside=False):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto.FromString(made.model.SerializeToString())
    model = convert_float_to_float16(copy, keep_io_types=inside)
    _sort(model.graph)
    onnx.save(model, str(path))
    return path


def _sort(graph):
    """Put every node behind those it reads: the converter appends its casts at the end."""
    made = {item.name for items in (graph.initializer, graph.input) for item in items} | {""}
    waiting, done = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if made.issuperset(node.input)]
        waiting = [node for node in waiting if not made.issuperset(node.input)]
        made.update(name for node in ready for name in node.output)
        done += ready
    graph.ClearField("node")
    graph.node.extend(done)


QUANTIZERS = {
    "quantize_static, all operators": static,
    "quantize_static, products": functools.partial(static, op_types_to_quantize=PRODUCTS),
    "quantize_static, products, residual mended": mended,
    "quantize_static, products, 16-bit activations": products_16,
    "quantize_static, QOperator": q_operators,
    "quantize_static, mean squares": mean_squares,
    "quantize_dynamic": dynamic,
    "MatMulNBits": n_bits,
    "float16": half,
    "float16 inside": functools.partial(half, inside=True),
}


@pytest.mark.parametrize("quantizer", EXPECTED)
def test_a_quantizer_leaves_exactly_these_findings(quantized, quantizer):
    opened = subject(quantized(quantizer))
    assert sorted(codes(opened, OURS)) == EXPECTED[quantizer]


def test_a_carry_in_float16_is_held_against_the_reference_too(quantized):
    opened = subject(quantized("float16"), reference=subject(exported(NAME)))
    (one, two) = found(registry.find(ROOM, "FG302")(), opened)
    assert one.message == "the carry is float16, and the reference says float32"
    assert (one.location.name, two.location.name) == ("z_H", "z_L")
    artifact = dataclasses.replace(opened, reference=subject(entry(NAME).weights))
    assert [item.message for item in found(registry.find(ROOM, "FG302")(), artifact)] == [one.message] * 2


def test_the_residual_of_a_static_quantization_is_found_on_both_states(quantized):
    opened = subject(quantized("quantize_static, products"))
    counts = [dict(item.figures) for item in found(QdqOnCarry(), opened)]
    # An H-cycle: z_L is updated twice, z_H once, each by two layers of two products that add to the residual.
    assert [count["added"] for count in counts] == [4, 8]
    assert all(count["state"] > 0 for count in counts)
