"""The whole gate on ONNX candidates: of torch references, of other graphs, and of graphs that are fed frames."""

import json

import numpy as np
import onnx
import pytest
from exported import exported
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from fidelity_gate.cli import answer
from fidelity_gate.zoo.catalog import entry

MODEL = "trm-attention-sudoku"
POLICY = """\
apiVersion: fidelity-gate/v1
name: steps
reference: {{path: {reference}}}
candidates:
  small: {{path: candidate.onnx, uncompressed: {uncompressed}, model: {{{model}}}}}
inputs: {{use: npz, path: {inputs}, count: {count}}}
recursion: {{h_cycles: 2, l_cycles: 2, steps: 8}}
minimum_probes: {count}
checks:
  carry: {{metric: carry_fidelity, options: {{stream: all}}, aggregate: worst, require: {{min: {least}}}}}
  no-lost-token:
    {{metric: carry_fidelity, options: {{stream: all, tokens: worst}}, aggregate: worst, require: {{min: 0.5}}}}
  same-scale: {{metric: carry_norm_ratio, options: {{stream: all}}, aggregate: worst, require: {{min: 0.9, max: 1.1}}}}
  same-answers: {{metric: answer_agreement, options: {{level: puzzle}}, aggregate: mean, require: {{min: 0.9}}}}
  same-halting: {{metric: halt_agreement, aggregate: mean, require: {{min: 0.9}}}}
  one-step: {{metric: step_fidelity, aggregate: worst, require: {{min: {least}}}}}
"""


@pytest.fixture
def gate(tmp_path, capsys, monkeypatch):
    """Run the gate on `candidate.onnx`; return its code, every check's outcome and observed value, and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*, uncompressed=True, model="", count=8, least=0.97, policy=POLICY, reference=None):
        zoo = entry(MODEL)
        text = policy.format(
            reference=reference or zoo.weights,
            inputs=zoo.evaluation,
            uncompressed=str(uncompressed).lower(),
            model=model,
            count=count,
            least=least,
        )
        (tmp_path / "release.yaml").write_text(text)
        code = int(answer(["run", "release.yaml", "--report", "json:verdict.json", "--measurements", "m.json"]))
        report = json.loads((tmp_path / "verdict.json").read_text())
        results = (report.get("verdict") or {}).get("results", [])
        found = {each["check"]["id"]: (each["outcome"], each.get("observed")) for each in results}
        return code, found, capsys.readouterr().err

    return run


def edited(folder, *edits, **kw):
    """Write the export of the reference, changed."""
    model = onnx.load(exported(MODEL, **kw))
    for edit in edits:
        edit(model)
    (folder / "candidate.onnx").write_bytes(model.SerializeToString())


def after(model, output, op, *others, **attributes):
    """Put an operator behind an output of the graph; arrays among its inputs become constants."""
    raw = f"{output}_before"
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == output:
                    names[place] = raw
    names = []
    for place, array in enumerate(others):
        names.append(f"{output}_{place}")
        model.graph.initializer.append(numpy_helper.from_array(array, names[-1]))
    model.graph.node.append(helper.make_node(op, [raw, *names], [output], f"{output}/{op}", **attributes))


# ---------------------------------------------------------------- what is sound passes


@pytest.mark.parametrize("batch", [1, None])
def test_a_torch_reference_and_its_own_export_agree(gate, tmp_path, batch):
    edited(tmp_path, batch=batch)
    code, found, _ = gate(least=0.99999)
    assert code == 0
    assert {outcome for outcome, _ in found.values()} == {"pass"}
    assert found["carry"][1] >= 0.99999
    assert found["same-answers"][1] == 1


def test_an_int8_graph_is_farther_away_than_the_export_it_was_made_of(gate, tmp_path):
    quantize_dynamic(str(exported(MODEL)), str(tmp_path / "candidate.onnx"), weight_type=QuantType.QInt8)
    code, found, _ = gate(uncompressed=False, count=24)
    assert code == 0
    assert 0.97 < found["carry"][1] < 0.9999
    told = json.loads((tmp_path / "m.json").read_text())
    assert dict(told["provenance"]["libraries"])["onnxruntime"]
    (candidate,) = told["candidates"]
    assert candidate["facts"]["claimed_family"] == "trm"
    assert candidate["footprint"]["bytes_per_value"] == 1


# ---------------------------------------------------------------- what would pass elsewhere


def renamed(model):
    next(one for one in model.graph.output if one.name == "z_H_out").name = "y"
    for node in model.graph.node:
        node.output[:] = ["y" if name == "z_H_out" else name for name in node.output]
        node.input[:] = ["y" if name == "z_H_out" else name for name in node.input]


def lost(model):
    outputs = [one for one in model.graph.output if one.name != "z_L_out"]
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def half_precision_state(model):
    for name in ("z_H", "z_L"):
        value = next(one for one in model.graph.input if one.name == name)
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
        for node in model.graph.node:
            node.input[:] = [f"{name}_wide" if one == name else one for one in node.input]
        model.graph.node.insert(0, helper.make_node("Cast", [name], [f"{name}_wide"], f"{name}/Cast", to=1))
        after(model, f"{name}_out", "Cast", to=TensorProto.FLOAT16)
        output = next(one for one in model.graph.output if one.name == f"{name}_out")
        output.type.tensor_type.elem_type = TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("edits", "model", "words"),
    [
        ((renamed,), "", "nothing feeds the input z_H"),
        ((lost,), "", "nothing feeds the input z_L"),
        ((lost,), "constants: {z_L: 0}", "has the streams z_H"),
        ((), "map: {z_X: z_H}", "has the streams z_L, z_X"),
        ((half_precision_state,), "", "is float16, the reference's is float32"),
    ],
)
def test_states_that_are_lost_renamed_or_of_another_type_are_refused(gate, tmp_path, edits, model, words):
    edited(tmp_path, *edits)
    code, _, error = gate(model=model)
    assert code == 2
    assert words in error


def ten_times(model):
    after(model, "z_H_out", "Mul", np.float32(10))


def half_of_it(model):
    after(model, "z_L_out", "Mul", np.repeat([1, 0], 32).astype(np.float32))


def one_token_flipped(model):
    after(model, "z_H_out", "Mul", np.where(np.arange(16) == 3, -1, 1).astype(np.float32)[:, None])


def without_input(model):
    for node in model.graph.node:
        node.input[:] = ["nothing" if name == "inputs" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.int32(0), "zero"))
    model.graph.node.insert(0, helper.make_node("Mul", ["inputs", "zero"], ["nothing"], "nothing"))


def answers_turned(model):
    after(model, "logits", "Neg")


def halting_turned(model):
    after(model, "q_halt", "Neg")


@pytest.mark.parametrize(
    ("edit", "failing"),
    [
        (ten_times, "same-scale"),
        (half_of_it, "carry"),
        (one_token_flipped, "no-lost-token"),
        (without_input, "carry"),
        (answers_turned, "same-answers"),
        (halting_turned, "same-halting"),
    ],
)
def test_damage_inside_the_graph_fails_the_check_that_is_there_for_it(gate, tmp_path, edit, failing):
    edited(tmp_path, edit)
    code, found, _ = gate()
    assert code == 1
    assert found[failing][0] == "fail"


def test_heads_are_judged_apart_from_the_carry(gate, tmp_path):
    edited(tmp_path, answers_turned, halting_turned)
    _, found, _ = gate()
    assert [found[name][0] for name in ("carry", "same-scale", "same-answers", "same-halting")] == [
        *("pass", "pass", "fail", "fail")
    ]


@pytest.mark.parametrize("model", ["state: {z_H: z_L_out, z_L: z_H_out}", "map: {z_H: z_L, z_L: z_H}"])
def test_states_that_are_swapped_fail(gate, tmp_path, model):
    edited(tmp_path)
    code, found, _ = gate(model=model)
    assert code == 1
    assert found["carry"][0] == "fail"


def noisy(model):
    node = helper.make_node("RandomNormalLike", ["z_H_out_before"], ["noise"], "noise", scale=1e-3)
    after(model, "z_H_out", "Add")
    model.graph.node.insert(len(model.graph.node) - 1, node)
    model.graph.node[-1].input.append("noise")


def not_finite(model):
    after(model, "z_H_out", "Log")


@pytest.mark.parametrize(("edit", "words"), [(noisy, "two runs differ"), (not_finite, "not finite")])
def test_what_repeats_differently_or_is_not_finite_decides_nothing(gate, tmp_path, edit, words):
    edited(tmp_path, edit)
    code, found, _ = gate()
    assert code == 3
    assert found["carry"] == ("not-measured", None)
    assert words in (tmp_path / "verdict.json").read_text()


# ---------------------------------------------------------------- guards across formats


def test_a_float_export_under_a_compressed_name_is_refused(gate, tmp_path):
    edited(tmp_path)
    code, _, error = gate(uncompressed=False)
    assert code == 2
    assert "is not compressed" in error


def hidden(model):
    """Add a computed zero to every matrix, so that none is seen to be multiplied with, and one in INT8 for show."""
    graph = model.graph
    zero = numpy_helper.from_array(np.float32(0), "zero")
    shown = [numpy_helper.from_array(np.eye(64, dtype=np.int8), "shown"), numpy_helper.from_array(np.float32(1), "one")]
    nodes = [
        helper.make_node("ReduceSum", ["z_H"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("DequantizeLinear", ["shown", "one"], ["seen"]),
    ]
    matrices = {one.name for one in graph.initializer if len(one.dims) == 2}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in matrices:
            name = f"{node.input[1]}/{node.name}"
            nodes.append(helper.make_node("Add", [node.input[1], "nothing"], [name]))
            node.input[1] = name
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend([zero, *shown])
    after(model, "z_L_out", "MatMul")
    graph.node[-1].input.append("seen")


def test_float_weights_that_hide_behind_a_small_block_are_refused(gate, tmp_path):
    edited(tmp_path, hidden)
    assert gate(uncompressed=True)[0] == 0  # it computes what the reference computes
    code, _, error = gate(uncompressed=False)
    assert code == 2
    assert "is not compressed: what is seen of its block takes 4,100 bytes, and with all else but embeddings" in error


def test_an_export_of_another_family_is_refused(gate, tmp_path):
    (tmp_path / "candidate.onnx").write_bytes(exported("hrm-sudoku").read_bytes())
    code, _, error = gate()
    assert code == 2
    assert "is a hrm, and the reference is a trm" in error


def test_an_export_of_another_depth_is_refused(gate, tmp_path):
    edited(tmp_path)
    code, _, error = gate(policy=POLICY.replace("steps: 8", "steps: 4"), reference=exported(MODEL, batch=None))
    assert code == 2
    assert "declares H=2 L=2 steps=8" in error


def test_the_noise_floor_in_bfloat16_is_refused_for_graphs(gate, tmp_path):
    edited(tmp_path)
    coarse = POLICY.replace("minimum_probes", "noise_floor: {{bf16: true}}\nminimum_probes")
    code, _, error = gate(policy=coarse, reference=exported(MODEL, batch=None))
    assert code == 2
    assert "bfloat16" in error


def test_one_graph_is_gated_against_another(gate, tmp_path):
    edited(tmp_path)
    code, found, _ = gate(least=0.99999, reference=exported(MODEL, batch=None))
    assert code == 0
    assert found["carry"][1] >= 0.99999


# ---------------------------------------------------------------- graphs that are fed frames

STREAMING = """\
apiVersion: fidelity-gate/v1
name: streaming
reference: {path: float.onnx, model: {MODEL}}
candidates:
  int8: {path: int8.onnx, model: {MODEL}}
inputs: {use: frames, path: clips.npz}
recursion: {h_cycles: 1, l_cycles: 1, steps: 20}
minimum_probes: 16
checks:
  carry: {metric: carry_fidelity, options: {stream: all}, aggregate: worst, require: {min: LEAST}}
  same-scale: {metric: carry_norm_ratio, options: {stream: all}, aggregate: worst, require: {min: 0.9, max: 1.1}}
  one-step: {metric: step_fidelity, options: {stream: all}, aggregate: worst, require: {min: LEAST}}
  same-answers: {metric: answer_agreement, aggregate: mean, require: {min: 0.8}}
"""

# A GRU cell: r and z from one product of each kind, the candidate state from the reset one.
GRU = """
drive = MatMul(x, w_x) kept = MatMul(h, w_h) both = Add(drive, kept) gates = Sigmoid(both)
z, r = Split <axis = 1> (gates, halves)
reset = Mul(r, h) new_x = MatMul(x, v_x) new_h = MatMul(reset, v_h) new_sum = Add(new_x, new_h) new = Tanh(new_sum)
step = Sub(new, h) moved = Mul(z, step) hn = Add(h, moved) probs = MatMul(hn, head)
"""
HIDDEN, CHUNK = 48, 24


def gru(path):
    draws = np.random.default_rng(5)
    shapes = {"w_x": (CHUNK, 2 * HIDDEN), "w_h": (HIDDEN, 2 * HIDDEN), "v_x": (CHUNK, HIDDEN), "v_h": (HIDDEN, HIDDEN)}
    shapes["head"] = (HIDDEN, 4)
    signature = f"(float[1,{CHUNK}] x, float[1,{HIDDEN}] h) => (float[1,{HIDDEN}] hn, float[1,4] probs)"
    graph = onnx.parser.parse_graph(f"gru {signature} {{ {GRU} }}")
    for name, shape in shapes.items():
        array = draws.normal(size=shape) / np.sqrt(shape[0])
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    graph.initializer.append(numpy_helper.from_array(np.array([HIDDEN, HIDDEN]), "halves"))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def lstm(path):
    draws = np.random.default_rng(6)
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    arrays = {"W": (1, 4 * HIDDEN, CHUNK), "R": (1, 4 * HIDDEN, HIDDEN), "head": (HIDDEN, 4)}
    constants = {
        name: (draws.normal(size=shape) / np.sqrt(HIDDEN)).astype(np.float32) for name, shape in arrays.items()
    }
    nodes = [
        helper.make_node("LSTM", ["x", "W", "R", "", "", "h", "c"], ["", "hn", "cn"], hidden_size=HIDDEN),
        helper.make_node("MatMul", ["hn", "head"], ["wide"]),
        helper.make_node("Squeeze", ["wide", "axis"], ["probs"]),
    ]
    state = (1, 1, HIDDEN)
    inputs, outputs = (
        [value("x", (1, 1, CHUNK)), value("h", state), value("c", state)],
        [value("hn", state), value("cn", state)],
    )
    tensors = [numpy_helper.from_array(array, name) for name, array in (*constants.items(), ("axis", np.array([0])))]
    graph = helper.make_graph(nodes, "lstm", inputs, [*outputs, value("probs", (1, 4))], initializer=tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.fixture
def streaming(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(9).normal(size=(16, 20, CHUNK)).astype(np.float32)
    np.savez(tmp_path / "clips.npz", frames=values)

    def run(model="logits: probs", least=0.97):
        (tmp_path / "gate.yaml").write_text(STREAMING.replace("MODEL", model).replace("LEAST", str(least)))
        code = int(answer(["run", "gate.yaml", "--report", "json:verdict.json"]))
        report = json.loads((tmp_path / "verdict.json").read_text())
        results = (report.get("verdict") or {}).get("results", [])
        return code, {each["check"]["id"]: each.get("observed") for each in results}, capsys.readouterr().err

    return run


@pytest.mark.parametrize("make", [gru, lstm])
def test_a_recurrent_cell_is_gated_against_its_int8_self(streaming, tmp_path, make):
    make(tmp_path / "float.onnx")
    quantize_dynamic(str(tmp_path / "float.onnx"), str(tmp_path / "int8.onnx"), weight_type=QuantType.QInt8)
    code, found, error = streaming()
    assert (code, error) == (0, "")
    assert 0.97 < found["carry"] < 1
    assert streaming(least=0.9999999)[0] == 1


def test_a_cell_that_forgets_fails(streaming, tmp_path):
    gru(tmp_path / "float.onnx")
    quantize_dynamic(str(tmp_path / "float.onnx"), str(tmp_path / "int8.onnx"), weight_type=QuantType.QInt8)
    model = onnx.load(tmp_path / "int8.onnx")
    after(model, "hn", "Mul", np.repeat([1, 0.2], HIDDEN // 2).astype(np.float32))
    onnx.save(model, tmp_path / "int8.onnx")
    assert streaming()[0] == 1


def test_frames_that_are_fewer_than_the_steps_are_refused(streaming, tmp_path):
    gru(tmp_path / "float.onnx")
    quantize_dynamic(str(tmp_path / "float.onnx"), str(tmp_path / "int8.onnx"), weight_type=QuantType.QInt8)
    np.savez(tmp_path / "clips.npz", frames=np.random.default_rng(1).normal(size=(16, 19, CHUNK)).astype(np.float32))
    code, _, error = streaming()
    assert code == 2
    assert "19 frames, and the recursion 20 steps" in error
