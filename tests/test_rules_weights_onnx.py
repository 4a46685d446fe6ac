"""The rules on weights in step graphs: hand-written graphs, and what onnxruntime's quantizers make of a zoo model."""

import logging

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fidelity_gate.analysis.linting import lint
from fidelity_gate.records import LintSettings, Role
from tests.exported import exported
from tests.lint_made import save_onnx, subject, value

TOKENS, WIDTH = 16, 32
OPSET_OF_INT4 = 21
MICROSOFT = (helper.make_opsetid("com.microsoft", 1),)


def found(subject, *codes):
    settings = LintSettings(select=codes or ("FG1", "FG2"))
    return lint(subject, settings, model="m", candidate="").findings


def codes_of(subject):
    return {finding.code for finding in found(subject)}


def weights(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def graph(folder, nodes, constants, **kw):
    """Write a step `h_out = h + moved` around nodes that make "moved" of "h", and open it."""
    nodes = [*nodes, helper.make_node("Add", ["h", "moved"], ["h_out"])]
    state = [value("h", (1, TOKENS, WIDTH))], [value("h_out", (1, TOKENS, WIDTH))]
    saving = {"opset": OPSET_OF_INT4, "opsets": kw.pop("opsets", ()), "checked": kw.pop("checked", True)}
    return subject(save_onnx(folder, "step", nodes, *state, constants, **saving), **kw)


def four_bits(values, axis=None):
    """Return signed 4-bit integers and their symmetric scales."""
    axes = None if axis is None else tuple(one for one in range(values.ndim) if one != axis)
    scale = np.abs(values).max(axis=axes, keepdims=True) / 7
    numbers = np.clip(np.rint(values / scale), -7, 7).astype(ml_dtypes.int4)
    return numbers, scale.reshape(() if axis is None else -1).astype(np.float32)


def dequantized(values, axis=None, product=("h", "w")):
    numbers, scale = four_bits(values, axis)
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "scale"], ["w"], axis=0 if axis is None else axis),
        helper.make_node("MatMul", list(product), ["moved"]),
    ]
    return nodes, {"w_q": numbers, "scale": scale}


def test_four_bits_with_one_scale_are_found_behind_a_dequantize_linear(tmp_path):
    nodes, constants = dequantized(weights(WIDTH, WIDTH))
    (finding,) = found(graph(tmp_path, nodes, constants), "FG201")
    assert finding.location.name == "w_q"
    assert dict(finding.figures) == {"bits": 4.0, "values": WIDTH * WIDTH}


def test_a_scale_a_channel_passes(tmp_path):
    nodes, constants = dequantized(weights(WIDTH, WIDTH), axis=1)
    assert not codes_of(graph(tmp_path, nodes, constants)) & {"FG201", "FG202", "FG203", "FG209"}


def test_a_weight_left_of_the_tokens_mixes_them(tmp_path):
    mixing = dequantized(weights(TOKENS, TOKENS), product=("w", "h"))
    plain = dequantized(weights(WIDTH, WIDTH), product=("h", "w"))
    assert found(graph(tmp_path, *mixing), "FG202")
    assert not found(graph(tmp_path, *plain), "FG202")


def test_a_weight_between_two_transposes_mixes_tokens_and_those_behind_them_do_not(tmp_path):
    first, scale = four_bits(weights(TOKENS, TOKENS))
    second, _ = four_bits(weights(TOKENS, TOKENS, seed=1))
    third, _ = four_bits(weights(WIDTH, WIDTH, seed=2))
    nodes = [helper.make_node("DequantizeLinear", [f"{name}_q", "scale"], [name], axis=0) for name in ("a", "b", "c")]
    nodes += [
        helper.make_node("Transpose", ["h"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["turned", "a"], ["mixed"]),
        helper.make_node("Sigmoid", ["mixed"], ["gate"]),
        helper.make_node("Mul", ["mixed", "gate"], ["gated"]),
        helper.make_node("MatMul", ["gated", "b"], ["down"]),
        helper.make_node("Transpose", ["down"], ["back"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["back", "c"], ["moved"]),
    ]
    made = graph(tmp_path, nodes, {"a_q": first, "b_q": second, "c_q": third, "scale": scale})
    assert {finding.location.name for finding in found(made, "FG202")} == {"a_q", "b_q"}


def test_the_product_of_two_activations_mixes_no_weight(tmp_path):
    numbers, scale = four_bits(weights(WIDTH, WIDTH))
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "scale"], ["w"], axis=0),
        helper.make_node("Transpose", ["h"], ["keys"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["h", "keys"], ["scores"]),
        helper.make_node("MatMul", ["scores", "h"], ["attended"]),
        helper.make_node("MatMul", ["attended", "w"], ["moved"]),
    ]
    assert not found(graph(tmp_path, nodes, {"w_q": numbers, "scale": scale}), "FG202")


@pytest.mark.parametrize("turned", [False, True])
def test_an_outlier_is_counted_along_the_output_channels_however_the_weight_lies(tmp_path, turned):
    values = weights(WIDTH, WIDTH)
    values[:, 5] *= 10  # an output channel of `h @ w`
    numbers, scale = four_bits(values.T.copy() if turned else values)
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "scale"], ["w_1"], axis=0),
        helper.make_node(*(("Transpose", ["w_1"], ["w"]) if turned else ("Identity", ["w_1"], ["w"]))),
        helper.make_node("MatMul", ["h", "w"], ["moved"]),
    ]
    (finding,) = found(graph(tmp_path, nodes, {"w_q": numbers, "scale": scale}), "FG203")
    assert finding.message.startswith("channel 5 is ")


def n_bits(values, block, *, scale=None, zero=None):
    """Return a MatMulNBits node and its constants for a (K, N) weight."""
    rows = values.T.reshape(values.shape[1], -1, block)  # (N, blocks, block)
    steps = np.abs(rows).max(axis=2) / 7
    codes = (np.clip(np.rint(rows / steps[..., None]), -7, 7) + 8).astype(np.uint8)
    packed = codes[..., ::2] | codes[..., 1::2] << 4
    inputs = ["h", "w_q", "scales"] + (["zeros"] if zero is not None else [])
    attributes = {"K": values.shape[0], "N": values.shape[1], "bits": 4, "block_size": block}
    node = helper.make_node("MatMulNBits", inputs, ["moved"], domain="com.microsoft", **attributes)
    stored = (steps if scale is None else scale).reshape(-1).astype(np.float32)
    return node, {"w_q": packed, "scales": stored, **({} if zero is None else {"zeros": zero})}


def test_blocks_of_a_row_pass_and_stand_twenty_decibels_above_their_rounding(tmp_path):
    node, constants = n_bits(weights(WIDTH, WIDTH), 16)
    made = graph(tmp_path, [node], constants, opsets=MICROSOFT, checked=False)
    assert not found(made)
    grid = made.grid("w_q")
    assert (grid.bits, grid.groups) == (4, 2 * WIDTH)
    assert 18 < 10 * np.log10(grid.power.mean() / grid.noise.mean()) < 24


def test_a_zero_point_outside_four_bits_is_found(tmp_path):
    zero = np.full(2 * WIDTH, 8, dtype=np.float32)
    zero[3], zero[7] = 23, np.inf
    node, constants = n_bits(weights(WIDTH, WIDTH), 16, zero=zero)
    made = graph(tmp_path, [node], constants, opsets=MICROSOFT, checked=False)
    (finding,) = found(made, "FG205")
    assert dict(finding.figures) == {"bad_zero_points": 2, "zero_points": 2 * WIDTH}


def test_scales_of_weights_that_are_none_are_counted_by_kind(tmp_path):
    scale = np.full((WIDTH, 2), 0.1, dtype=np.float32)
    scale[0, 0], scale[1, 0], scale[2, :] = 0, np.nan, -0.1
    node, constants = n_bits(weights(WIDTH, WIDTH), 16, scale=scale)
    made = graph(tmp_path, [node], constants, opsets=MICROSOFT, checked=False)
    (finding,) = found(made, "FG204")
    assert finding.message == f"of {2 * WIDTH} scales: 1 not a number, 1 zero"  # negative ones are MatMulNBits's way


def test_a_negative_scale_of_a_matrix_is_none(tmp_path):
    nodes, constants = dequantized(weights(WIDTH, WIDTH), axis=1)
    constants["scale"][4] *= -1
    (finding,) = found(graph(tmp_path, nodes, constants), "FG204")
    assert finding.message == f"of {WIDTH} scales: 1 negative"


def test_a_block_of_zeros_may_have_the_scale_zero(tmp_path):
    values = weights(WIDTH, WIDTH)
    values[:16, 3] = 0
    with np.errstate(invalid="ignore"):
        node, constants = n_bits(values, 16)
    constants["w_q"][3, 0], constants["scales"] = 0x88, np.nan_to_num(constants["scales"])
    made = graph(tmp_path, [node], constants, opsets=MICROSOFT, checked=False)
    assert (constants["scales"] == 0).sum() == 1
    assert not found(made)


def test_four_bit_integers_that_take_a_byte_each_are_no_four_bits(tmp_path):
    numbers, scale = four_bits(weights(WIDTH, WIDTH), axis=1)
    nodes, constants = dequantized(weights(WIDTH, WIDTH), axis=1)
    wide = graph(tmp_path, nodes, {"w_q": numbers.astype(np.int8), "scale": scale}, claims=("int4",))
    assert {"FG101", "FG207"} <= codes_of(wide)
    assert not found(graph(tmp_path, nodes, constants, claims=("int4",)), "FG101", "FG207")


def test_weights_in_another_file_are_said_to_be_unseen_and_what_the_graph_tells_is_still_told(tmp_path):
    nodes, constants = dequantized(weights(WIDTH, WIDTH))
    plain = graph(tmp_path, nodes, constants)
    assert "FG203" not in codes_of(plain)
    onnx.save(onnx.load(plain.facts.path), tmp_path / "far.onnx", save_as_external_data=True, size_threshold=0)
    far = subject(tmp_path / "far.onnx", claims=("int8",))
    assert codes_of(far) == {"FG201", "FG211"}


# ---------------------------------------------------------------- onnxruntime's quantizers


def through_transposes(source, target):
    """Write a step graph as torch's exporter leaves it: block weights (out, in), each behind a Transpose."""
    model = onnx.load(source)
    stored = {item.name: item for item in model.graph.initializer}
    before, nodes = {}, list(model.graph.node)
    for node in nodes:
        name = node.input[1] if node.op_type == "MatMul" else ""
        if "layers" in name:
            if name not in before:
                stored[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored[name]).T.copy(), name))
                before[name] = helper.make_node("Transpose", [name], [f"{name}_t"], perm=[1, 0])
            node.input[1] = f"{name}_t"
    del model.graph.node[:]
    model.graph.node.extend([*before.values(), *nodes])
    onnx.save(model, target)
    return target


def quantized_nbits(source, target):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=True, bits=4)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target))
    return target


def quantized_dynamic(source, target):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(str(source), str(target), weight_type=QuantType.QInt8)
    return target


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("quantize", "claim"), [(quantized_nbits, "int4"), (quantized_dynamic, "int8")])
def test_a_quantizer_that_follows_no_transpose_is_found_out(tmp_path, quantize, claim, monkeypatch):
    """MatMulNBits converted 1 of 57 products of a raw export: the head, and nothing that recurs."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.ERROR)
    plain = exported("trm-attention-sudoku")
    reference = subject(plain, name="reference")
    blind = quantize(through_transposes(plain, tmp_path / "turned.onnx"), tmp_path / "blind.onnx")
    findings = found(subject(blind, claims=(claim,), reference=reference))
    assert {"FG101", "FG102", "FG103"} <= {finding.code for finding in findings}
    share = next(finding for finding in findings if finding.code == "FG102")
    assert (dict(share.figures)["left"], dict(share.figures)["share"]) == (8, 1.0)

    seeing = subject(quantize(plain, tmp_path / "seeing.onnx"), claims=(claim,), reference=reference)
    assert {tensor.bits for tensor in seeing.facts.tensors if tensor.role is Role.BLOCK and tensor.granularity} <= {
        4,
        8,
    }
    assert not found(seeing)
