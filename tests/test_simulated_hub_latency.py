"""The latency model of the simulated hub says what its page says: FLOPs, bytes, precision, units, memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fidelity_gate.errors import ModelRefused
from fidelity_gate.simulated_hub import Latency
from fidelity_gate.simulated_hub.anatomy import Anatomy, Layer, anatomy_of
from fidelity_gate.simulated_hub.catalog import matching
from fidelity_gate.simulated_hub.profiling import Setting, profile_of, unit_asked
from tests.exported import exported
from tests.hubs import tiny_model

if TYPE_CHECKING:
    from pathlib import Path

STILL = Latency(jitter=0.0, runs=3)
NPU = Setting("npu", 0, "key")


def quantized_model(*, weight: int = TensorProto.INT8, activations: bool = True) -> bytes:
    """Return x (4, 16) times a quantized w (16, 8), with activations rounded as well or not."""
    nodes = [helper.make_node("DequantizeLinear", ["w", "s", "wz"], ["wf"])]
    if activations:
        nodes.append(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]))
        nodes.append(helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xf"]))
    nodes.append(helper.make_node("MatMul", ["xf" if activations else "x", "wf"], ["y"]))
    constants = [
        helper.make_tensor("w", weight, (16, 8), np.arange(128) % 7),
        helper.make_tensor("wz", weight, (), [0]),
        numpy_helper.from_array(np.array(0, np.int8), "z"),
        numpy_helper.from_array(np.array(0.1, np.float32), "s"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, s]) for n, s in (("x", 16), ("y", 8))]
    graph = helper.make_graph(nodes, "quantized", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


def test_the_layers_of_a_graph_have_their_flops_and_bytes(tmp_path: Path) -> None:
    found = anatomy_of(tiny_model(tmp_path).read_bytes(), "tiny")
    first, between, second = found.layers
    assert (first.flops, between.flops, second.flops) == (2 * 4 * 16 * 32, 0, 2 * 4 * 32 * 8)
    assert first.float_bytes == 4 * (4 * 16 + 16 * 32 + 4 * 32)
    assert between.float_bytes == 4 * (4 * 32 + 4 * 32)
    assert (found.weight_bytes, found.precision, found.unknown) == (4 * (16 * 32 + 32 * 8), "float", 0)
    assert found.activation_bytes == 4 * (
        4 * 16 + 4 * 32
    )  # what goes in and what the first product makes; Relu in place


def test_a_run_takes_what_the_page_says(tmp_path: Path) -> None:
    found = anatomy_of(tiny_model(tmp_path).read_bytes(), "tiny")
    latency = replace(STILL, overhead_us=500, layer_us=100, npu_float_gflops=1e-3, bandwidth_gbs=0.1)
    compute = sum(layer.flops for layer in found.layers) / 1e6 * 1e6
    moved = sum(layer.float_bytes for layer in found.layers) / 2 / 0.1e9 * 1e6
    assert set(profile_of(found, latency, NPU).times) == {round(500 + 3 * 100 + compute + moved)}
    on_cpu = profile_of(found, replace(latency, cpu_gflops=1e-3), Setting("cpu", 0, "key"))
    assert set(on_cpu.times) == {round(500 + 3 * 100 + compute + 2 * moved)}


@pytest.mark.parametrize(
    ("weight", "activations", "precision", "named"),
    [
        (TensorProto.INT8, True, "int8", "w8a8"),
        (TensorProto.INT4, True, "int4", "w8a8"),
        (TensorProto.INT8, False, "float", "float"),
    ],
)
def test_a_product_is_of_integers_only_where_both_sides_are(
    weight: int, activations: bool, precision: str, named: str
) -> None:
    found = anatomy_of(quantized_model(weight=weight, activations=activations), "quantized")
    assert [(layer.operator, layer.precision) for layer in found.layers] == [("MatMul", precision)]
    assert found.precision == named


def test_a_unit_that_lacks_a_precision_leaves_it_to_the_cpu() -> None:
    found = anatomy_of(quantized_model(), "quantized")
    assert {layer.unit for layer in profile_of(found, STILL, NPU).layers} == {"npu"}
    lacking = profile_of(found, replace(STILL, npu_int8_gflops=0), NPU)
    assert {layer.unit for layer in lacking.layers} == {"cpu"}


def test_an_exported_step_is_looked_into_whole() -> None:
    found = anatomy_of(exported("trm-mlp-sudoku").read_bytes(), "step")
    assert found.unknown == 0
    assert all(layer.float_bytes + layer.other_bytes for layer in found.layers)
    names = {layer.operator for layer in found.layers}
    assert "MatMul" in names
    assert not names & {"QuantizeLinear", "DequantizeLinear", "Constant"}


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(ModelRefused):
        anatomy_of(onnx.ModelProto().SerializeToString() + b"\x00", "nothing")


LAYERS = st.builds(
    Layer,
    name=st.just("n"),
    operator=st.sampled_from(["MatMul", "NonZero", "Add"]),
    flops=st.integers(0, 10**12),
    float_bytes=st.integers(0, 10**9),
    other_bytes=st.integers(0, 10**9),
    precision=st.sampled_from(["float", "int8", "int4"]),
    foreign=st.booleans(),
)


@given(layers=st.lists(LAYERS, max_size=5), unit=st.sampled_from(["npu", "gpu", "cpu"]), runs=st.integers(0, 20))
def test_every_figure_of_every_profile_is_positive_and_repeatable(layers: list[Layer], unit: str, runs: int) -> None:
    found = Anatomy(tuple(layers), 0, 0, (), (), "float", 0)
    setting = Setting(unit, runs, "key")
    profile = profile_of(found, Latency(runs=7), setting)
    assert len(profile.times) == (runs or 7)
    figures = (*profile.times, profile.first_load, profile.warm_load, profile.process_peak, *profile.inference_peak)
    assert min(figures) > 0
    assert all(layer.microseconds for layer in profile.layers)
    assert profile == profile_of(found, Latency(runs=7), setting)


@pytest.mark.parametrize(
    ("asked", "unit"), [([""], "npu"), (["all"], "npu"), (["cpu"], "cpu"), (["gpu", "cpu"], "gpu"), (["?"], "npu")]
)
def test_the_first_unit_that_is_asked_for_counts(asked: list[str], unit: str) -> None:
    assert unit_asked(asked) == unit


def test_no_device_without_a_name_is_found_by_an_empty_list() -> None:
    assert matching((), "", "", ()) == ()
