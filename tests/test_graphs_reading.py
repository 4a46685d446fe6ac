"""Reading ONNX bytes: what is there is read exactly, and any bytes at all are a graph or one clear refusal."""

import contextlib
import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fidelity_gate.errors import ModelRefused, Refused, UnsafeContent
from fidelity_gate.graphs import checking, wire
from fidelity_gate.graphs.element_types import element_types, stored_size, values_of
from fidelity_gate.graphs.reading import read_graph, read_onnx
from fidelity_gate.graphs.shapes import skeleton_of
from fidelity_gate.graphs.weights import GraphWeights
from fidelity_gate.graphs.wire import lighten
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import StatePair

FLOAT = TensorProto.FLOAT


def value(name, shape=(1, 4), dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes=None, *, inputs=None, outputs=None, tensors=(), **kw):
    nodes = [helper.make_node("MatMul", ["h", "w"], ["h_out"])] if nodes is None else nodes
    inputs = [value("h")] if inputs is None else inputs
    outputs = [value("h_out")] if outputs is None else outputs
    given_tensors = tensors or [numpy_helper.from_array(np.ones((4, 4), np.float32), "w")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=given_tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=kw.get("ir_version", 10))


def constants_model(nodes, names):
    """A model whose outputs are these constants, made by these nodes."""
    passed = [helper.make_node("Identity", [name], [f"{name}_seen"]) for name in names]
    return model([*nodes, *passed], outputs=[helper.make_empty_tensor_value_info(f"{name}_seen") for name in names])


def refusal(proto, kind=ModelRefused):
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    with pytest.raises(kind) as caught:
        read_graph(data, "step.onnx")
    assert caught.value.where == "step.onnx"
    return str(caught.value)


# ---------------------------------------------------------------- what is read


def test_a_graph_is_read_as_the_file_says():
    proto = model()
    proto.producer_name, proto.producer_version = "tests", "1"
    helper.set_model_props(proto, {"unit": "step"})
    graph = read_graph(proto.SerializeToString(), "step.onnx")
    assert [node.op for node in graph.nodes] == ["MatMul"]
    assert graph.nodes[0].name == "MatMul_0"
    assert graph.inputs[0].shape == (1, 4)
    assert graph.values["h_out"].dtype == "float32"
    assert graph.constants["w"].stored_bytes == 64
    assert (graph.opsets, graph.ir_version, graph.producer) == ({"": 18}, 10, "tests 1")
    assert graph.metadata == {"unit": "step"}
    assert graph.states == (StatePair("h", "h_out"),)


def test_sizes_that_are_not_numbers_stay_what_they_are():
    proto = model(inputs=[value("h", ("batch", None))], outputs=[helper.make_empty_tensor_value_info("h_out")])
    graph = read_graph(proto.SerializeToString(), "step.onnx")
    assert graph.inputs[0].shape == ("batch", None)
    assert graph.outputs[0].shape is None
    assert not graph.inputs[0].static


def test_large_tensors_are_windows_into_the_file_and_are_not_copied():
    weights = np.arange(4096, dtype=np.float32).reshape(64, 64)
    proto = model(tensors=[numpy_helper.from_array(weights, "w")], inputs=[value("h", (1, 64))])
    data = proto.SerializeToString()
    file = read_onnx(data, "step.onnx")
    held = file.contents["w"].data
    assert isinstance(held, memoryview)
    assert held.obj is data
    assert len(file.skeleton) < 1024
    np.testing.assert_array_equal(file.contents["w"].values(), weights)


def test_a_skeleton_keeps_all_but_large_tensors_documentation_and_traces():
    proto = model(tensors=[numpy_helper.from_array(np.ones((64, 64), np.float32), "w")])
    proto.doc_string = proto.graph.doc_string = proto.graph.node[0].doc_string = "a long story"
    proto.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/me/secret.py")
    light = lighten(proto.SerializeToString(), "step.onnx")
    found = onnx.ModelProto.FromString(light.skeleton)
    assert b"story" not in light.skeleton
    assert b"secret" not in light.skeleton
    assert light.held(found.graph.initializer[0].raw_data).nbytes == 64 * 64 * 4
    found.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data
    proto.ClearField("doc_string")
    proto.graph.ClearField("doc_string")
    proto.graph.node[0].ClearField("doc_string")
    del proto.graph.node[0].metadata_props[:]
    assert found == proto


def test_bytes_of_the_file_that_look_like_a_mark_stand_for_themselves():
    tensor = numpy_helper.from_array(np.arange(24, dtype=np.uint8), "w")
    content = read_onnx(model(tensors=[tensor]).SerializeToString(), "step.onnx").contents["w"]
    np.testing.assert_array_equal(content.values(), np.arange(24))


def test_equal_tensors_have_equal_digests_however_they_are_spelled():
    values = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    listed = helper.make_tensor("v", FLOAT, (4, 4), values.ravel())
    proto = model(tensors=[numpy_helper.from_array(values, "w"), listed])
    constants = read_graph(proto.SerializeToString(), "step.onnx").constants
    assert constants["w"].digest == constants["v"].digest
    flat = model(tensors=[numpy_helper.from_array(values.ravel(), "w"), listed])
    assert read_graph(flat.SerializeToString(), "s").constants["w"].digest != constants["w"].digest


def test_every_form_of_a_constant_node_is_read():
    words = ("a", "bc")
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("v", FLOAT, (1,), [2.0]), helper.make_tensor("i", TensorProto.INT64, (1,), [3]), [8]
    )
    forms = {
        "value": helper.make_tensor("t", TensorProto.INT8, (2,), [1, -2]),
        "value_float": 0.5,
        "value_floats": [0.5, 1.5],
        "value_int": -3,
        "value_ints": [1, 2, 3],
        "value_string": "text",
        "value_strings": list(words),
        "sparse_value": sparse,
    }
    nodes = [helper.make_node("Constant", [], [name], **{name: form}) for name, form in forms.items()]
    file = read_onnx(constants_model(nodes, tuple(forms)).SerializeToString(), "step.onnx")
    found = {name: (constant.dtype, constant.shape) for name, constant in file.graph.constants.items() if name != "w"}
    assert found == {
        "value": ("int8", (2,)),
        "value_float": ("float32", ()),
        "value_floats": ("float32", (2,)),
        "value_int": ("int64", ()),
        "value_ints": ("int64", (3,)),
        "value_string": ("string", ()),
        "value_strings": ("string", (2,)),
        "sparse_value": ("float32", (8,)),
    }
    assert [file.contents[name].values().tolist() for name in ("value", "value_float", "value_floats")] == [
        *([1, -2], 0.5, [0.5, 1.5]),
    ]
    assert file.contents["value_ints"].values().tolist() == [1, 2, 3]
    assert file.graph.constants["value_strings"].stored_bytes == 3
    assert file.graph.constants["value"].from_node == "Constant_0"
    for name in ("value_string", "sparse_value"):
        with pytest.raises(ModelRefused):
            file.contents[name].values()


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2"])
@pytest.mark.parametrize("raw", [True, False])
def test_packed_integers_are_unpacked_as_onnx_unpacks_them(name, raw):
    code = next(code for code, element in element_types().items() if element.name == name)
    low, high = element_types()[code].limits
    values = np.random.default_rng(0).integers(low, high + 1, 15)
    tensor = helper.make_tensor("w", code, (3, 5), values)
    if raw:
        tensor = numpy_helper.from_array(numpy_helper.to_array(tensor), "w")
    content = read_onnx(model(tensors=[tensor]).SerializeToString(), "step.onnx").contents["w"]
    assert content.constant.dtype == name
    assert content.constant.stored_bytes == math.ceil(15 * element_types()[code].bits / 8)
    np.testing.assert_array_equal(content.values(), values.reshape(3, 5))
    np.testing.assert_array_equal(numpy_helper.to_array(tensor).astype(np.int64), values.reshape(3, 5))


NARROW = ["bfloat16", "float8_e4m3", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1", "float8_e8m0"]


@pytest.mark.parametrize("name", NARROW)
def test_narrow_floats_are_read_as_onnx_reads_them(name):
    code = next(code for code, element in element_types().items() if element.name == name)
    tensor = TensorProto(name="w", data_type=code, dims=[2, 8])
    size = stored_size(element_types()[code], 16)
    tensor.raw_data = np.random.default_rng(1).integers(0, 256, size, np.uint8).tobytes()
    content = read_onnx(model(tensors=[tensor]).SerializeToString(), "step.onnx").contents["w"]
    ours = content.values().astype(np.float32)
    np.testing.assert_array_equal(ours, numpy_helper.to_array(tensor).astype(np.float32))


@pytest.mark.parametrize("code", [code for code, element in element_types().items() if element.bits >= 8])
def test_listed_values_are_those_of_raw_bytes(code):
    element = element_types()[code]
    if element.library or element.name == "float16":
        array = np.array([0, 1, 2, 4])  # the floats that even the narrowest types have
    else:
        array = np.array([0, 1, 1, 0] if element.name == "bool" else [0, 1, 2, 100]).astype(element.name)
    if element.name == "float8_e8m0":
        array = np.array([1, 2, 4, 8])
    tensor = helper.make_tensor("w", code, (4,), array)
    content = read_onnx(model(tensors=[tensor]).SerializeToString(), "step.onnx").contents["w"]
    np.testing.assert_array_equal(content.values().astype(np.complex128), array.astype(np.complex128))


def test_external_tensors_are_told_and_not_read():
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, text in {"location": "../w.bin", "offset": "8", "length": "64", "checksum": "ab"}.items():
        tensor.external_data.add(key=key, value=text)
    file = read_onnx(model(tensors=[tensor]).SerializeToString(), "step.onnx")
    constant = file.graph.constants["w"]
    assert (constant.external.location, constant.external.offset, constant.external.length) == ("../w.bin", 8, 64)
    assert (constant.external.checksum, constant.digest, constant.stored_bytes) == ("ab", "", 64)
    with pytest.raises(ModelRefused, match="another file"):
        file.contents["w"].values()


def test_bodies_are_counted_and_what_they_read_of_the_graph_is_an_edge_of_it():
    product = helper.make_node("MatMul", ["h", "w"], ["inside"])
    body = helper.make_graph([product], "then", [], [helper.make_empty_tensor_value_info("inside")])
    nodes = [helper.make_node("If", ["flag"], ["h_out"], then_branch=body, else_branch=body)]
    proto = model(nodes, inputs=[value("h"), value("flag", (), TensorProto.BOOL)])
    graph = read_graph(proto.SerializeToString(), "step.onnx")
    assert graph.nodes[0].subgraphs == 2
    assert graph.nodes[0].captures == ("h", "w")
    assert [node.op for node in Wiring(graph).carry_path] == ["If"]


def test_initializers_that_had_to_be_inputs_in_old_files_are_constants():
    old = model(inputs=[value("h"), value("w", (4, 4))], ir_version=3)
    graph = read_graph(old.SerializeToString(), "step.onnx")
    assert [item.name for item in graph.inputs] == ["h"]


# ---------------------------------------------------------------- what is refused


def changed(change):
    proto = model()
    change(proto)
    return proto


def tensor(**kw):
    found = TensorProto(name="w", data_type=FLOAT, dims=[4, 4])
    for key, item in kw.items():
        if key in ("dims", "float_data", "int32_data"):
            found.ClearField(key)
            getattr(found, key).extend(item)
        else:
            setattr(found, key, item)
    return model(tensors=[found])


def with_external(**told):
    found = TensorProto(name="w", data_type=FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, text in told.items():
        found.external_data.add(key=key, value=text)
    return model(tensors=[found])


TWICE = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
RAW = np.ones(16, np.float32).tobytes()
MATMUL = helper.make_node("MatMul", ["h", "w"], ["h_out"])

REFUSED = {
    "no nodes": (model([], outputs=[value("h")]), "no operators"),
    "no opset": (changed(lambda m: m.ClearField("opset_import")), "opset"),
    "opset 0": (changed(lambda m: setattr(m.opset_import[0], "version", 0)), "opset"),
    "opset twice": (changed(lambda m: m.opset_import.add(domain="ai.onnx", version=19)), "twice"),
    "no outputs": (model(outputs=[]), "no outputs"),
    "value made twice": (model([MATMUL, MATMUL]), "made twice"),
    "input made again": (model([helper.make_node("MatMul", ["h", "w"], ["h"])], outputs=[value("h")]), "made twice"),
    "constant made again": (model([helper.make_node("Neg", ["h"], ["w"]), MATMUL]), "made twice"),
    "read before it is made": (
        model([helper.make_node("Neg", ["later"], ["h_out"]), helper.make_node("Neg", ["h"], ["later"])]),
        "nothing makes it before",
    ),
    "output nobody makes": (model(outputs=[value("h_out"), value("lost")]), "nothing makes it before"),
    "initializer twice": (model(tensors=[TWICE, TWICE]), "initializer twice"),
    "input twice": (model(inputs=[value("h"), value("h")]), "input twice"),
    "output twice": (model(outputs=[value("h_out"), value("h_out")]), "output twice"),
    "initializer and input": (model(inputs=[value("h"), value("w", (4, 4))]), "an initializer and an input"),
    "attribute twice": (
        changed(lambda m: m.graph.node[0].attribute.extend([helper.make_attribute("a", 1)] * 2)),
        "attribute of",
    ),
    "metadata twice": (
        changed(lambda m: [m.metadata_props.add(key="k", value=v) for v in "ab"] and None),
        "under one key twice",
    ),
    "described twice": (
        changed(lambda m: m.graph.value_info.extend([value("x", (1,)), value("x", (2,))])),
        "described twice",
    ),
    "sparse initializer": (changed(lambda m: m.graph.sparse_initializer.add()), "sparse"),
    "text as a weight": (model(tensors=[helper.make_tensor("w", TensorProto.STRING, (1,), [b"a"])]), "text"),
    "escape in a name": (changed(lambda m: setattr(m.graph.node[0], "name", "a\x1b[2J")), r"a\x1b[2J"),
    "direction mark in an operator": (changed(lambda m: setattr(m.graph.node[0], "op_type", "Mat‮Mul")), "shown"),
    "endless name": (changed(lambda m: setattr(m.graph.node[0], "name", "n" * 1001)), "shown"),
    "escape in the name of a size": (model(inputs=[value("h", ("n\x1b", 4))]), r"n\x1b"),
    "negative input": (model(inputs=[value("h", (1, -4))]), "dimension of -4"),
    "absurd input": (model(inputs=[value("h", (1, 1 << 50))]), "dimension of"),
    "unknown input type": (model(inputs=[value("h", dtype=99)]), "element type 99"),
    "negative tensor": (tensor(dims=[-4, 4], raw_data=RAW), "dimension of -4"),
    "25 dimensions": (tensor(dims=[1] * 25, raw_data=RAW[:4]), "25 dimensions"),
    "nothing, many times over": (tensor(dims=[0, 1 << 40, 1 << 40]), "more values than can be counted"),
    "too few bytes": (tensor(raw_data=RAW[:60]), "60 bytes"),
    "no bytes": (tensor(), "0 bytes"),
    "petabytes in name only": (tensor(dims=[1 << 30, 1 << 20], raw_data=RAW), "64 bytes"),
    "both spellings": (tensor(raw_data=RAW, float_data=[1.0] * 16), "raw data and float_data"),
    "wrong spelling": (tensor(int32_data=[1] * 16), "int32_data"),
    "value too large for its type": (tensor(data_type=TensorProto.INT8, int32_data=[300] * 16), "cannot hold"),
    "unknown tensor type": (tensor(data_type=99, raw_data=RAW), "element type 99"),
    "no tensor type": (tensor(data_type=0, raw_data=RAW), "element type 0"),
    "6-bit floats": (tensor(data_type=27, raw_data=RAW), "float6"),
    "external offset no number": (with_external(location="w", offset="1e9"), "1e9"),
    "external length of 5,000 digits": (with_external(location="w", length="9" * 5000), "999"),
    "constant without value": (model([helper.make_node("Constant", [], ["c"]), MATMUL]), "exactly one value"),
    "constant of an unknown form": (
        model([helper.make_node("Constant", [], ["c"], value_later=1), MATMUL]),
        "value_later",
    ),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_contradicts_itself_is_refused_in_one_line(name):
    proto, words = REFUSED[name]
    told = refusal(proto)
    assert words in told
    assert len(told) <= 200
    assert told.isprintable()


def test_local_functions_are_refused_before_anything_follows_them():
    proto = changed(lambda m: m.functions.add(name="f", domain="d"))
    assert "local functions" in refusal(proto, UnsafeContent)


def test_more_nodes_than_can_be_looked_at_are_refused_before_they_take_memory(monkeypatch):
    monkeypatch.setattr(wire, "MOST_NODES", 3)
    nodes = [helper.make_node("Neg", ["h"], [f"n{index}"]) for index in range(4)]
    assert "more than 3 nodes" in refusal(model(nodes, outputs=[value("n3")]), UnsafeContent)


def test_two_byte_pieces_that_become_large_in_memory_are_counted(monkeypatch):
    monkeypatch.setattr(wire, "MOST_FIELDS", 1000)
    bomb = b"\x3a\x84\x10" + b"\x0a\x00" * 1026  # a graph of empty nodes
    assert "more than 1,000 pieces" in refusal(bomb, UnsafeContent)


def test_integers_of_one_byte_that_become_eight_are_counted(monkeypatch):
    monkeypatch.setattr(wire, "MOST_VARINT_BYTES", 1000)
    found = helper.make_tensor("w", TensorProto.INT64, (2000,), [0] * 2000)
    assert "bytes of integers" in refusal(model(tensors=[found]), UnsafeContent)


def test_interfaces_of_thousands_are_refused(monkeypatch):
    monkeypatch.setattr(checking, "MOST_INPUTS", 3)
    proto = model(inputs=[value("h"), *(value(f"x{index}") for index in range(3))])
    assert "more than 3 inputs" in refusal(proto, UnsafeContent)


def test_graphs_within_graphs_without_end_are_refused():
    body = helper.make_graph([helper.make_node("Neg", ["h"], ["b0"])], "b", [], [value("b0")])
    for index in range(1, 10):
        node = helper.make_node("If", ["flag"], [f"b{index}"], then_branch=body, else_branch=body)
        body = helper.make_graph([node], "b", [], [value(f"b{index}")])
        if index > 5:
            del body.node[0].attribute[1]  # else 2 ** 9 bodies
    node = helper.make_node("If", ["flag"], ["h_out"], then_branch=body)
    assert "graphs within one another" in refusal(model([node], inputs=[value("h"), value("flag", ())]), UnsafeContent)


@pytest.mark.parametrize("cut", [1, 7, 40, 100])
def test_a_file_that_was_cut_short_is_refused(cut):
    data = model().SerializeToString()
    assert "cannot be decoded" in refusal(data[:-cut])


def test_text_that_is_not_utf8_is_refused_in_names_and_shown_elsewhere():
    data = model().SerializeToString()
    assert "not UTF-8" in refusal(data.replace(b"h_out", b"h\xff\xfeut"))
    proto = model()
    proto.producer_name = "tests"
    shown = read_graph(proto.SerializeToString().replace(b"tests", b"te\xffts"), "step.onnx")
    assert shown.producer == r"te\xffts"


# ---------------------------------------------------------------- any bytes at all


def survives(data):
    with contextlib.suppress(Refused):
        file = read_onnx(data, "step.onnx")
        wiring, weights = Wiring(file.graph), GraphWeights(file, "step.onnx")
        assert all(wiring.describe(node).isprintable() for node in wiring.carry_path)
        assert skeleton_of(file)
        for fact in weights.facts():
            with contextlib.suppress(Refused):
                assert weights.dense(fact.name).shape == fact.shape
                weights.quantized(fact.name)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_graph_or_a_refusal(data):
    survives(data)


def rich():
    """A small file with every kind of thing in it."""
    tensors = [
        numpy_helper.from_array(np.ones((4, 4), np.float32), "w"),
        helper.make_tensor("i4", TensorProto.INT4, (4,), [1, -2, 3, 4]),
        numpy_helper.from_array(np.ones((20, 20), np.float32), "big"),
        numpy_helper.from_array(np.ones((4, 1, 8), np.uint8), "packed"),
        numpy_helper.from_array(np.ones(4, np.float32), "scales"),
    ]
    body = helper.make_graph([helper.make_node("Neg", ["h"], ["n"])], "then", [], [value("n")])
    nodes = [
        helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0]),
        helper.make_node("Constant", [], ["t"], value=helper.make_tensor("t", TensorProto.INT64, (2,), [1, 4])),
        helper.make_node("Reshape", ["h", "t"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["m"]),
        helper.make_node("If", ["flag"], ["b"], then_branch=body, else_branch=body),
        helper.make_node("DequantizeLinear", ["i4", "scales"], ["dq"], axis=0, block_size=1),
        helper.make_node(
            "MatMulNBits", ["b", "packed", "scales"], ["p"], domain="com.microsoft", N=4, K=4, block_size=16
        ),
        helper.make_node("Gather", ["big", "t"], ["rows"]),
        helper.make_node("Add", ["m", "p"], ["h_out"], axes=[1, 2], mode="x", alpha=0.5),
    ]
    proto = model(nodes, inputs=[value("h", ("batch", 4)), value("flag", (), TensorProto.BOOL)], tensors=tensors)
    proto.graph.value_info.append(value("m"))
    helper.set_model_props(proto, {"k": "v"})
    return proto.SerializeToString()


RICH = rich()


def test_the_file_that_is_mutated_below_is_read():
    assert len(read_graph(RICH, "step.onnx").nodes) == 7


edits = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "copy"]), st.integers(0, len(RICH) - 1), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


@given(edits)
@settings(max_examples=800, deadline=None)
def test_any_damage_to_a_file_is_a_graph_or_a_refusal(changes):
    data = bytearray(RICH)
    for kind, place, number in changes:
        if kind == "set":
            data[place : place + 1] = bytes([number])
        elif kind == "cut":
            del data[place : place + number % 32]
        else:
            data[place:place] = RICH[number : number + 24]
    survives(bytes(data))


@given(st.sampled_from([name for name in element_types().values() if name.bits]), st.data())
@settings(max_examples=60, deadline=None)
def test_raw_bytes_of_every_type_have_as_many_values_as_their_shape(element, data):
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    raw = data.draw(st.binary(min_size=(size := stored_size(element, math.prod(shape))), max_size=size))
    assert values_of(element, raw, shape).shape == shape


def test_nodes_out_of_order_are_refused_with_the_way_to_sort_them():
    nodes = [helper.make_node("Neg", ["b"], ["c"]), helper.make_node("Neg", ["a"], ["b"])]
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 2)) for name in ("a", "c")]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]))
    with pytest.raises(ModelRefused) as caught:
        read_graph(model.SerializeToString(), "x.onnx")
    assert "topological_sort" in caught.value.hint
