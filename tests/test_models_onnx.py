"""ONNX step graphs through the one door: recognised, told, and refused in one line where they cannot be used."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fidelity_gate.errors import ModelRefused, UnsafeContent
from fidelity_gate.models.checkpoint import Checkpoint
from fidelity_gate.models.onnx_step import OnnxStep
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Depth, ModelSpec, Role
from tests.lint_made import save_onnx, value

METADATA = {
    "fidelity_gate.family": "trm",
    "fidelity_gate.unit": "h-cycle",
    "fidelity_gate.h_cycles": "3",
    "fidelity_gate.l_cycles": "6",
    "fidelity_gate.steps": "16",
    "fidelity_gate.reference_digest": "ab" * 32,
}
SHAPE = (1, 4, 8)


def step(folder, name="step", *, outputs=("h_out", "logits"), **kw):
    nodes = [helper.make_node("MatMul", ["h", "w"], [outputs[0]])]
    nodes.append(helper.make_node("MatMul", [outputs[0], "u"], [outputs[1]]))
    constants = {"w": np.eye(8, dtype=np.float32), "u": np.ones((8, 3), np.float32)}
    made = [value(outputs[0], SHAPE), value(outputs[1], (1, 4, 3))]
    return save_onnx(folder, name, nodes, [value("h", SHAPE)], made, constants, **kw)


def opened(path, *options):
    return open_model(ModelSpec("candidate", str(path), tuple(sorted(options))))


def test_a_graph_is_told_by_its_bytes_and_its_operators(tmp_path):
    path = step(tmp_path, metadata=METADATA)
    facts = opened(path).facts
    assert (facts.file_format, facts.family, facts.size_bytes) == ("onnx", "", path.stat().st_size)
    assert facts.claimed_family == "trm"
    assert facts.depth == Depth(3, 6, 16)
    assert facts.geometry is None
    assert {tensor.name: tensor.role for tensor in facts.tensors} == {"w": Role.BLOCK, "u": Role.HEAD}
    assert "says that one run of it is one h-cycle of a trm model" in facts.notes
    assert "state: h_out is fed back into h, float32 1x4x8" in facts.notes


def test_the_digest_is_of_the_file_and_the_weights_are_its_values(tmp_path):
    path = step(tmp_path)
    model = opened(path)
    assert model.facts.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(model.dense()["w"], np.eye(8))
    np.testing.assert_array_equal(model.stored_weights().dense("u"), np.ones((8, 3)))


def test_the_graph_comes_with_its_shapes_and_is_inferred_once(tmp_path):
    nodes = [helper.make_node("Neg", ["h"], ["m"]), helper.make_node("Neg", ["m"], ["h_out"])]
    model = opened(save_onnx(tmp_path, "step", nodes, [value("h", SHAPE)], [value("h_out", SHAPE)]))
    assert model.step_graph().values["m"].shape == SHAPE
    assert model.step_graph() is model.step_graph()


def test_a_graph_without_a_state_says_so(tmp_path):
    facts = opened(step(tmp_path, outputs=("y", "logits")), ("state.h", None)).facts
    assert any(note.startswith("no state is known") for note in facts.notes)
    assert {tensor.role for tensor in facts.tensors} == {Role.BLOCK}


def test_a_policy_says_what_is_fed_back(tmp_path):
    path = step(tmp_path, outputs=("y", "logits"))
    graph = opened(path, ("state.h", "y")).step_graph()
    assert [(pair.input, pair.output) for pair in graph.states] == [("h", "y")]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("state.h", "h_ou"), "did you mean h_out"),
        (("state.hh", "h_out"), "no input 'hh'"),
        (("state.h", 3), "must be none or text"),
        (("num_heads", 8), "no setting 'num_heads'"),
        (("state", "h"), "needs the name of an input"),
    ],
)
def test_what_a_policy_says_wrongly_is_refused(tmp_path, option, words):
    with pytest.raises(ModelRefused) as caught:
        opened(step(tmp_path), option)
    assert words in str(caught.value)


def test_a_depth_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(ModelRefused, match=r"fidelity_gate\.steps"):
        opened(step(tmp_path, metadata=METADATA | {"fidelity_gate.steps": "many"}))


def test_tensors_elsewhere_count_as_they_are_said_to_and_the_notes_say_so(tmp_path):
    path = step(tmp_path)
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": "w.bin", "length": "256"}.items():
        tensor.external_data.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())
    found = opened(path)
    assert found.facts.size_bytes == path.stat().st_size + 256
    assert any("lie in other files, which were not read" in note for note in found.facts.notes)
    told = next(note for note in found.facts.notes if "to have them in one file" in note)
    assert "torch.onnx.export(..., external_data=False)" in told
    assert "onnx.save(onnx.load(FILE), NEW)" in told
    assert found.step_graph().constants["w"].external.location == "w.bin"
    with pytest.raises(ModelRefused, match=r"another file.*external_data=False"):
        found.stored_weights().dense("w")


def test_graphs_within_graphs_are_said_to_be_unseen(tmp_path):
    body = helper.make_graph([helper.make_node("Neg", ["h"], ["n"])], "b", [], [value("n", SHAPE)])
    nodes = [helper.make_node("If", ["flag"], ["h_out"], then_branch=body, else_branch=body)]
    inputs = [value("h", SHAPE), value("flag", (), TensorProto.BOOL)]
    facts = opened(save_onnx(tmp_path, "step", nodes, inputs, [value("h_out", SHAPE)])).facts
    assert any("graphs of their own" in note for note in facts.notes)


# ---------------------------------------------------------------- recognised, or not


def test_a_graph_is_recognised_whatever_its_name(tmp_path):
    path = step(tmp_path).rename(tmp_path / "weights.bin")
    assert opened(path).facts.file_format == "onnx"


def test_what_is_another_format_is_that_format_whatever_its_name():
    torch_start, safetensors_start = b"PK\x03\x04", (8).to_bytes(8, "little") + b"{}      "
    assert not OnnxStep().recognises("model.onnx", torch_start)
    assert Checkpoint().recognises("model.onnx", torch_start)
    assert not OnnxStep().recognises("model.onnx", safetensors_start)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.onnx", b"", "holds zero bytes"),
        ("pointer.onnx", b"version https://git-lfs.github.com/spec/v1\n", "git-LFS"),
        ("page.onnx", b"<!DOCTYPE html><html>", "web page"),
        ("noise.onnx", bytes(range(1, 200)), "not an ONNX model"),
        ("zeros.onnx", bytes(500), "not an ONNX model"),
        ("text.onnx", b"hello, world\n", "not an ONNX model"),
        ("header.onnx", b"\x08\x0a", "no operators"),
        ("noise.bin", bytes(range(1, 200)), "in no model format"),
    ],
)
def test_what_is_no_graph_is_refused_in_one_line(tmp_path, name, data, words):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ModelRefused) as caught:
        opened(path)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_a_hostile_file_is_refused_by_the_command_line_with_code_2(tmp_path):
    path = step(tmp_path)
    model = onnx.load(path)
    model.functions.add(name="f", domain="d")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsafeContent):
        opened(path)
    command = [sys.executable, "-m", "fidelity_gate.cli", "inspect", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


# ---------------------------------------------------------------- what it costs

COST = """
import json, re, sys
from pathlib import Path
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import ModelSpec
model = open_model(ModelSpec("candidate", sys.argv[1]))
graph = model.step_graph()
model.stored_weights().dense("small")
heavy = [name for name in ("torch", "onnxruntime") if name in sys.modules]
peak = re.search("VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())  # ru_maxrss is also the parent's
print(json.dumps({"heavy": heavy, "mib": int(peak[1]) / 1024, "shape": graph.values["m"].shape}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is told by Linux alone")
def test_a_file_of_30_mb_is_held_once_and_loads_neither_torch_nor_a_runtime(tmp_path):
    weights = np.random.default_rng(0).standard_normal((2800, 2800)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["h", "w"], ["m"]), helper.make_node("Add", ["m", "small"], ["h_out"])]
    inputs, outputs = [value("h", (1, 4, 2800))], [value("h_out", (1, 4, 2800))]
    constants = {"w": weights, "small": np.zeros(2800, np.float32)}
    path = save_onnx(tmp_path, "step", nodes, inputs, outputs, constants, checked=False)
    size = path.stat().st_size / 2**20
    assert size > 29
    done = subprocess.run([sys.executable, "-c", COST, str(path)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["heavy"] == []
    assert told["shape"] == [1, 4, 2800]
    assert told["mib"] < 150
    small = step(tmp_path, "small_step", outputs=("m", "logits"))
    model = onnx.load(small)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.float32), "small"))
    small.write_bytes(model.SerializeToString())
    alone = subprocess.run([sys.executable, "-c", COST, str(small)], capture_output=True, text=True, check=True)
    assert told["mib"] - json.loads(alone.stdout)["mib"] < 1.3 * size
