"""Ifs whose condition is known are decided before a graph runs; all others are refused, with what stands in the way."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_steps import CONSTANTS, FRAME, WIDTH, frames, opened, states, stepper, write

from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.graphs.folding import folded
from fidelity_gate.graphs.reading import read_graph
from fidelity_gate.records import Role, RunSpec

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "without_if.py"
SIGNATURE = f"(float[1,{FRAME}] x, float[1,{WIDTH}] h, int64 sr) => (float[1,{WIDTH}] hn, float[1,3] probs)"
# Two networks, one for each sample rate; both branches use the names of the other, and one of the graph around them.
THEN = "drive = MatMul(x, u) kept = MatMul(h, w) s = Add(drive, kept) y = Tanh(s) p = MatMul(y, head)"
ELSE = THEN.replace("Tanh(s)", "Sigmoid(s)")
RESULTS = f"() => (float[1,{WIDTH}] y, float[1,3] p)"


def two_rates(condition="c = Equal(sr, rate)", then=THEN, other=ELSE, before=""):
    """Return the body of a graph that chooses between two networks."""
    return (
        f"{before} {condition} hn, probs = If (c) <then_branch = fast {RESULTS} {{ {then} }}, "
        f"else_branch = slow {RESULTS} {{ {other} }}>"
    )


def graph(folder, body=None, signature=SIGNATURE, **constants):
    needed = {name: CONSTANTS[name] for name in ("u", "w", "head")} | {"rate": np.int64(16000)} | constants
    return write(folder, body or two_rates(), signature, constants=needed)


def by_runtime(path, probes, rate, steps=4):
    """Return the states that onnxruntime makes of the file itself, Ifs and all."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = []
    for frame in probes.inputs:
        state = np.zeros((1, WIDTH), np.float32)
        for step in range(steps):
            feeds = {"x": frame[step][None], "h": state, "sr": np.array(rate)}
            state = session.run(["hn"], feeds)[0]
            found.append(state[0])
    return np.reshape(found, (len(probes.inputs), steps, WIDTH))


@pytest.mark.parametrize("rate", [16000, 8000])
def test_the_branch_that_the_constants_choose_runs_as_the_file_itself_would(tmp_path, rate):
    path, probes = graph(tmp_path), frames()
    carries = [state.carry["h"][:, 0] for state in states(stepper(path, constants__sr=rate), probes)]
    np.testing.assert_allclose(np.stack(carries, axis=1), by_runtime(path, probes, rate), atol=1e-6)


def test_it_passes_the_trial_and_the_digest_is_that_of_the_file(tmp_path):
    path = graph(tmp_path)
    model = opened(path, constants__sr=16000)
    assert len(states(model.load(RunSpec()), frames(), 2)) == 2
    assert model.facts.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.data == path.read_bytes() != model.running
    assert [note for note in model.facts.notes if "If" in note] == [
        "If_1 is an If; its then_branch runs in its place, as sr is 16000"
    ]


def test_the_weights_of_the_branch_are_counted_as_the_blocks(tmp_path):
    roles = {tensor.name: tensor.role for tensor in opened(graph(tmp_path), constants__sr=16000).facts.tensors}
    assert (roles["w"], roles["u"], roles["head"]) == (Role.BLOCK, Role.BLOCK, Role.HEAD)


def test_without_the_constant_it_is_refused_and_the_line_says_what_to_write(tmp_path):
    model = opened(graph(tmp_path))
    with pytest.raises(ModelRefused) as caught:
        model.load(RunSpec())
    assert "If_1 is an If, and its condition depends on sr" in str(caught.value)
    assert "model: {constants: {sr: VALUE}}" in str(caught.value)


def test_what_the_policy_calls_a_constant_and_the_graph_a_state_decides_nothing(tmp_path):
    body = two_rates("top = ReduceMax <keepdims = 0> (h) c = Greater(top, least)")
    path = graph(tmp_path, body, SIGNATURE.replace(", int64 sr", ""), least=np.float32(0.5))
    with pytest.raises(ModelRefused, match="depends on h"):
        opened(path, constants__h=1.0).load(RunSpec())


@pytest.mark.parametrize(
    "condition",
    [
        "flatly = Reshape(sr, flat) single = Gather(flatly, at) c = Equal(single, rate)",
        "wide = Cast <to = 7> (sr) c1 = Less(wide, rate) c = Not(c1)",
        "a = GreaterOrEqual(sr, rate) b = LessOrEqual(sr, rate) c = And(a, b)",
        "a = Greater(sr, rate) b = Equal(sr, rate) d = Or(a, b) c = Identity(d)",
        "a = Unsqueeze(sr, axes) b = Squeeze(a, axes) c = Equal(b, rate)",
        "sizes = Shape(x) width = Gather(sizes, at1) a = Equal(width, four) b = Equal(sr, rate) c = And(a, b)",
        "c = Constant <value = bool {1}> ()",
        "kind = Cast <to = 9> (sr) b = Equal(sr, rate) d = Xor(kind, b) c = Not(d)",
    ],
)
def test_conditions_as_exporters_write_them_are_computed_as_the_runtime_does(tmp_path, condition):
    more = {
        "flat": np.array([-1]),
        "at": np.int64(0),
        "at1": np.int64(1),
        "axes": np.array([0]),
        "four": np.int64(FRAME),
    }
    path, probes = graph(tmp_path, two_rates(condition), **more), frames(count=1)
    for rate in (16000, 8000):
        mine = np.stack([s.carry["h"][:, 0] for s in states(stepper(path, constants__sr=rate), probes)], axis=1)
        np.testing.assert_allclose(mine, by_runtime(path, probes, rate), atol=1e-6)


NESTED = (
    f"again = Equal(sr, rate) z = If (again) <then_branch = a () => (float[1,{WIDTH}] t) "
    "{ drive = MatMul(x, u) kept = MatMul(h, w) s = Add(drive, kept) t = Tanh(s) }, "
    f"else_branch = b () => (float[1,{WIDTH}] t) {{ t = Identity(h) }}> "
    f"y = If (again) <then_branch = d () => (float[1,{WIDTH}] t) {{ s = Add(z, h) t = Tanh(s) }}, "
    f"else_branch = e () => (float[1,{WIDTH}] t) {{ t = Identity(h) }}> p = MatMul(y, head)"
)


def test_ifs_within_branches_are_decided_too_and_equal_names_stay_apart(tmp_path):
    # `s` and `t` are made in two branches that both run, and the branch for other rates hands on what is around it.
    body = two_rates(before="around = Neg(h)", then=NESTED, other="y = Identity(around) p = MatMul(y, head)")
    path, probes = graph(tmp_path, body), frames()
    for rate in (16000, 8000):
        recursion = stepper(path, constants__sr=rate)
        mine = np.stack([state.carry["h"][:, 0] for state in states(recursion, probes)], axis=1)
        np.testing.assert_allclose(mine, by_runtime(path, probes, rate), atol=1e-6)


def test_a_branch_may_hand_on_a_constant_of_its_own_or_a_value_from_around(tmp_path):
    body = two_rates(other="p = MatMul(h, head) y = Constant <value = float[1,6] {1, 2, 3, 4, 5, 6}> ()")
    path, probes = graph(tmp_path, body), frames(count=1)
    model = onnx.load(path)
    branch = next(item.g for item in model.graph.node[1].attribute if item.name == "else_branch")
    branch.initializer.append(numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(1, 6), "mine"))
    branch.output[0].name = "mine"
    del branch.node[1]
    onnx.save(model, path)
    mine = states(stepper(path, constants__sr=8000), probes, 2)
    np.testing.assert_allclose([one.carry["h"][0, 0] for one in mine], by_runtime(path, probes, 8000, 2)[0])


def test_an_if_on_what_is_heard_is_refused_even_within_a_branch_that_is_known(tmp_path):
    heard = NESTED.replace("Equal(sr, rate)", "Greater(loudest, least)")
    body = two_rates(then="loudest = ReduceMax <keepdims = 0> (x) " + heard)
    model = opened(graph(tmp_path, body, least=np.float32(0)), constants__sr=16000)
    with pytest.raises(ModelRefused, match=r"condition depends on x \(docs/streaming.md"):
        model.load(RunSpec())
    assert any("condition depends on x" in note for note in model.facts.notes)
    assert opened(graph(tmp_path, body, least=np.float32(0)), constants__sr=8000).load(RunSpec())  # never reached


def test_a_loop_in_the_branch_that_is_taken_is_refused(tmp_path):
    path = graph(tmp_path)
    model = onnx.load(path)
    branch = next(item.g for item in model.graph.node[1].attribute if item.name == "then_branch")
    value = helper.make_tensor_value_info
    inside = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Neg", ["v"], ["w2"])],
        "inside",
        [value("i", TensorProto.INT64, ()), value("on", TensorProto.BOOL, ()), value("v", 1, (1, WIDTH))],
        [value("still", TensorProto.BOOL, ()), value("w2", 1, (1, WIDTH))],
    )
    branch.node.append(helper.make_node("Loop", ["rate", "", "y"], ["turned"], body=inside))
    branch.output[0].name = "turned"
    onnx.save(model, path)
    with pytest.raises(ModelRefused, match="is a Loop, which holds a graph of its own"):
        opened(path, constants__sr=16000).load(RunSpec())


@pytest.mark.parametrize(("rate", "words"), [(1.5, "1.5 is no int64"), (True, "True is no int64")])
def test_a_constant_of_another_kind_than_the_input_decides_nothing(tmp_path, rate, words):
    model = opened(graph(tmp_path), constants__sr=rate)
    assert model.running == model.data
    with pytest.raises(ModelRefused):
        model.load(RunSpec())
    plain = write(
        tmp_path,
        "k = Cast <to = 1> (sr) y = Mul(x, k) drive = MatMul(y, u) hn = Add(drive, h) probs = MatMul(hn, head)",
        SIGNATURE,
    )
    with pytest.raises(ModelRefused, match=words):
        stepper(plain, constants__sr=rate)


def test_equal_files_are_folded_to_equal_bytes(tmp_path):
    data = graph(tmp_path).read_bytes()
    assert folded(data, {"sr": 16000}) == folded(data, {"sr": 16000})
    assert folded(data, {"sr": 16000}).data != folded(data, {"sr": 8000}).data


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_inside_a_branch_is_refused_and_never_a_traceback(tmp_path_factory, damage):
    model = onnx.load(graph(tmp_path_factory.mktemp("damaged")))
    branch = next(item.g for item in model.graph.node[1].attribute if item.name == "then_branch")
    names = [*{name for node in branch.node for name in (*node.input, *node.output)}, "", "sr", "hn", "rate"]
    node = damage.draw(st.sampled_from(list(branch.node)))
    place = damage.draw(st.sampled_from([node.input, node.output]))
    place[damage.draw(st.integers(0, len(place) - 1))] = damage.draw(st.sampled_from(names))
    try:
        made = folded(model.SerializeToString(), {"sr": 16000})
        if made.data:
            read_graph(made.data, "step.onnx")
    except GateError:
        return
    assert made.data or made.obstacle


def without_if():
    spec = importlib.util.spec_from_file_location("without_if", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_of_the_page_writes_a_graph_whose_conditions_on_sizes_are_decided(tmp_path):
    signature = SIGNATURE.replace(f"float[1,{FRAME}] x", f"float[N,{FRAME}] x")
    body = two_rates("sizes = Shape(x) n = Gather(sizes, at) d = Equal(n, single) e = Equal(sr, rate) c = And(d, e)")
    path = graph(tmp_path, body, signature, at=np.int64(0), single=np.int64(1))
    with pytest.raises(ModelRefused, match=r"depends on x \(docs/streaming.md, on graphs with If"):
        opened(path, constants__sr=16000).load(RunSpec())
    flat = tmp_path / "flat.onnx"
    assert without_if().without_if(str(path), str(flat), {"x": [1, FRAME]}, {"sr": 16000}) == []
    probes = frames()
    mine = np.stack([state.carry["h"][:, 0] for state in states(stepper(flat), probes)], axis=1)
    np.testing.assert_allclose(mine, by_runtime(path, probes, 16000), atol=1e-6)


def test_the_script_says_what_it_could_not_decide(tmp_path):
    body = two_rates(
        "loudest = ReduceMax <keepdims = 0> (x) d = Greater(loudest, least) e = Equal(sr, rate) c = And(d, e)"
    )
    path = graph(tmp_path, body, least=np.float32(0))
    assert without_if().without_if(str(path), str(tmp_path / "flat.onnx"), {}, {"sr": 16000})
