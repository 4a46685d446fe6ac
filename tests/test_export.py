"""Exported step graphs: small, clean, the same every time, and the same model as in torch."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fidelity_gate import cli
from fidelity_gate.errors import ModelRefused
from fidelity_gate.exporting import step, verification
from fidelity_gate.exporting.host_loop import HostLoop
from fidelity_gate.exporting.plan import Embed, ExportPlan, is_export
from fidelity_gate.exporting.probing import random_probes
from fidelity_gate.exporting.step import export_step
from fidelity_gate.exporting.verification import Agreement, verify
from fidelity_gate.graphs.step_metadata import Unit
from fidelity_gate.inputs.opening import from_path, open_inputs
from fidelity_gate.models.families.hrm import Hrm
from fidelity_gate.models.families.recurrent_transformer import RecurrentTransformer
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Artifact, ModelSpec, Role
from fidelity_gate.storage.artifact import encode
from fidelity_gate.storage.quantized import dense_tensor
from fidelity_gate.zoo.catalog import entry
from tests.exported import MODELS, embedding_of, exported, kept, loaded
from tests.model_files import weights_of

UNITS = ("h-cycle", "act-step")
EVERY = [(name, unit) for name in MODELS for unit in UNITS]
KEYS = ["family", "h_cycles", "initial.z_H", "initial.z_L", "l_cycles", "reference_digest", "steps", "unit"]
ROPE = Trm(
    hidden_size=32, vocab_size=7, num_heads=2, layers=2, puzzle_emb_ndim=48, puzzle_emb_len=2,
    num_puzzle_identifiers=3, h_cycles=2, l_cycles=2, steps=3,
)  # fmt: skip
CHAOTIC = Hrm(hidden_size=32, vocab_size=7, num_heads=2, h_layers=2, l_layers=1, seq_len=6, h_cycles=2, l_cycles=2)


def reference(name):
    return open_model(ModelSpec("reference", str(entry(name).weights)))


def puzzles(name, count=8):
    return open_inputs(from_path(str(entry(name).evaluation)), ".").rows(0, count)


def written(folder: Path, family, scale=1.0) -> str:
    """Write a model of random weights; small ones make it calm, and large ones chaotic."""
    roles = {name: role for name, (_, role) in family.tensors().items()}
    tensors = tuple(
        dense_tensor(name, roles[name], array * (scale if roles[name] is Role.BLOCK else 1.0))
        for name, array in sorted(weights_of(family).items())
    )
    path = folder / f"{family.name}.safetensors"
    path.write_bytes(encode(Artifact(family.name, family.architecture(), family.declared_depth(), tensors)))
    return str(path)


def graph_of(path: Path):
    return onnx.load(path).graph


def constants_of(graph):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


# ---------------------------------------------------------------- the same model


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_the_host_loop_is_the_torch_carry_over_sixteen_steps(name, unit):
    found = verify(reference(name), loaded(exported(name, unit)), puzzles(name, 4), 16)
    assert found.agreement is Agreement.SAME
    assert found.graph.cosine >= 0.99999
    assert found.graph.flipped == 0
    assert found.graph.answers == 16 * puzzles(name, 4).inputs.size
    assert found.floor.cosine >= 0.99999  # else this says nothing


def test_any_number_of_probes_go_through_a_dynamic_graph_and_each_as_if_alone():
    name = "trm-mlp-sudoku"
    together = HostLoop(loaded(exported(name, batch=None)))
    alone = HostLoop(loaded(exported(name)))
    assert (together.batch, alone.batch) == (0, 1)
    probes = puzzles(name, 3)
    *_, all_three = together.run(probes, 2)
    for row in range(3):
        *_, one = alone.run(probes.rows(row, row + 1), 2)
        for stream in ("z_H", "z_L"):
            assert all_three.carry[stream].shape == (3, 36, 64)
            np.testing.assert_allclose(all_three.carry[stream][row], one.carry[stream][0], atol=1e-4)
        np.testing.assert_array_equal(all_three.logits[row].argmax(-1), one.logits[0].argmax(-1))


def test_a_dynamic_graph_leaves_the_batch_free_and_nothing_else():
    graph = graph_of(exported("trm-mlp-sudoku", batch=None))
    free = {
        size.dim_param
        for value in (*graph.input, *graph.output, *graph.value_info)
        for size in value.type.tensor_type.shape.dim
        if not size.HasField("dim_value")
    }
    assert free == {"batch"}
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in (*graph.input, *graph.output)} == {"batch"}


@pytest.fixture(scope="module")
def rotary(tmp_path_factory):
    """Return a TRM with rotary positions, puzzle embeddings and no length of its own, and its export."""
    model = open_model(ModelSpec("reference", written(tmp_path_factory.mktemp("rope"), ROPE, scale=0.1)))
    plan = ExportPlan(Unit.ACT_STEP, 3, embed=Embed.OUTSIDE, seq_len=6)
    return model, kept(model.facts.path, plan, label="rope")


def test_an_embedding_outside_is_a_graph_of_its_own_and_makes_what_torch_makes(rotary):
    model, path = rotary
    outside = loaded(path)
    facts = dataclasses.replace(model.facts, architecture=(*model.facts.architecture, ("seq_len", 6)))
    found = verify(model, outside, random_probes(facts, 4), 3)  # the last run of three is filled up
    assert found.agreement is Agreement.SAME
    names = set(constants_of(graph_of(path)))
    assert not any("emb" in name for name in names)
    inside = constants_of(graph_of(embedding_of(path)))
    assert {"embed_tokens.embedding_weight", "puzzle_emb.weights"} <= set(inside)
    assert outside.metadata.embedding_digest == step.sha256_hex(embedding_of(path).read_bytes())


def test_rotary_tables_are_stored_once(rotary):
    _, path = rotary
    tables = {name: array for name, array in constants_of(graph_of(path)).items() if array.shape == (8, 16)}
    assert sorted(tables) == ["rotary_cos", "rotary_sin"]
    # Four layer calls a cycle and two cycles would be 24 rotated queries and keys: 24 kB of tables.
    weights = sum(array.nbytes for name, array in constants_of(graph_of(path)).items() if name.endswith(".weight"))
    assert path.stat().st_size < weights + 2 * 8 * 16 * 4 + 120_000


def test_a_length_that_nobody_knows_is_asked_for(rotary):
    model, _ = rotary
    with pytest.raises(ModelRefused, match="seq_len"):
        random_probes(model.facts, 1)
    with pytest.raises(ModelRefused, match="one number of tokens"):
        export_step(model, ExportPlan())


# ---------------------------------------------------------------- verification can fail


def bias_moved(model):
    named(model, "q_head.bias", lambda array: array + 1.0)


def head_permuted(model):
    named(model, "lm_head.weight", lambda array: np.roll(array, 1, axis=1))


def block_scaled(model):
    named(model, "L_level.layers.0.mlp.down_proj.weight", lambda array: array * np.float32(1.01))


def starts_elsewhere(model):
    for item in model.metadata_props:
        if item.key == "fidelity_gate.initial.z_L":
            item.value = next(each.value for each in model.metadata_props if each.key.endswith("z_H"))


def one_nan(model):
    named(model, "lm_head.weight", lambda array: array * np.float32("nan"))


def named(model, name, change):
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))


def tampered(folder: Path, change) -> step.ExportedStep:
    model = onnx.load(exported("trm-attention-sudoku"))
    change(model)
    path = folder / "tampered.onnx"
    onnx.save(model, path)
    return loaded(path)


@pytest.mark.parametrize("change", [bias_moved, head_permuted, block_scaled, starts_elsewhere, one_nan])
def test_a_graph_that_is_not_the_model_is_told_from_it(tmp_path, change):
    name = "trm-attention-sudoku"
    found = verify(reference(name), tampered(tmp_path, change), puzzles(name, 2), 4)
    assert found.agreement is Agreement.DIFFERENT


def test_a_bar_that_is_missed_says_nothing_where_torch_misses_it_too():
    near, far = verification.Closeness(1), verification.Closeness(1)
    for found, cosine in ((near, 1.0), (far, 0.9999)):
        found.answers = 4
        found._cosines |= {(1, "z_H"): [cosine], (1, "z_L"): [cosine]}
    said = {
        (graph, floor): verification.Verification(graph=first, floor=second, probes=1).agreement
        for graph, first in (("near", near), ("far", far))
        for floor, second in (("near", near), ("far", far))
    }
    assert said == {
        ("near", "near"): Agreement.SAME,
        ("near", "far"): Agreement.SAME,
        ("far", "near"): Agreement.DIFFERENT,
        ("far", "far"): Agreement.INCONCLUSIVE,
    }
    far._cosines[1, "z_L"] = [float("nan")]
    assert verification.Verification(near, far, 1).agreement is Agreement.INCONCLUSIVE


def test_a_comparison_that_is_not_whole_is_no_agreement():
    half = verification.Closeness(2, answers=4)
    half._cosines |= {(1, "z_H"): [1.0], (1, "z_L"): [1.0]}
    assert not half.close
    assert not dataclasses.replace(half, steps=1, answers=0).close
    assert dataclasses.replace(half, steps=1).close


# ---------------------------------------------------------------- a good file


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_the_file_is_valid_and_every_size_in_it_is_known(name, unit):
    model = onnx.load(exported(name, unit))
    onnx.checker.check_model(model, full_check=True)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 18)]
    assert model.ir_version == 10
    assert [value.name for value in model.graph.output] == ["z_H_out", "z_L_out", "logits", "q_halt"]
    assert [value.name for value in model.graph.input] == ["z_H", "z_L", "inputs"]
    known = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    assert all(size.dim_value >= 1 for value in known for size in value.type.tensor_type.shape.dim)
    made = {output for node in model.graph.node for output in node.output}
    assert made == {value.name for value in (*model.graph.output, *model.graph.value_info)}


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_every_weight_is_there_once_under_its_official_name(name, unit):
    model, graph = reference(name), graph_of(exported(name, unit))
    roles = {tensor.name: tensor.role for tensor in model.facts.tensors}
    official = {key: array for key, array in model.dense().items() if key not in ("H_init", "L_init")}
    stored = constants_of(graph)
    for key, array in official.items():
        turned = array.T if roles[key] in (Role.BLOCK, Role.HEAD) and array.ndim == 2 else array
        np.testing.assert_array_equal(stored[key], turned)
    assert all(array.size <= 8 for key, array in stored.items() if key not in official)  # shapes, scales, axes
    contents = Counter((array.dtype.str, array.shape, array.tobytes()) for array in stored.values())
    assert set(contents.values()) == {1}
    metadata = 4 * 64 * 1024
    assert exported(name, unit).stat().st_size < sum(array.nbytes for array in official.values()) + metadata


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_products_read_their_weights_directly(name, unit):
    graph = graph_of(exported(name, unit))
    constants = constants_of(graph)
    assert not [node.name for node in graph.node if node.op_type == "Transpose" and node.input[0] in constants]
    assert not [node.name for node in graph.node if node.op_type in ("Gemm", "Identity", "Constant", "Cast")]
    weighted = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in constants]
    depth = entry(name).depth
    updates = (depth.l_cycles + 1) * (depth.h_cycles if unit == "act-step" else 1)
    block_layers = int(entry(name).card.recipe["layers"])
    assert len(weighted) == updates * block_layers * 4 + 2
    assert weighted[0].name == f"{weighted[0].input[1].removesuffix('.weight')}/0"
    assert len({node.name for node in graph.node}) == len(graph.node)


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_nothing_tells_of_the_machine_or_of_the_exporter(name, unit):
    path = exported(name, unit)
    data = path.read_bytes()
    told = [str(Path.cwd()), str(Path.home()), "site-packages", ".py", "torch", "aten", "Traceback", "stack_trace"]
    assert [text for text in told if text.encode() in data] == []
    model = onnx.load(path)
    assert (model.producer_name, model.graph.name) == ("fidelity-gate", "step")
    graph = model.graph
    assert not any(item.doc_string or item.metadata_props for item in (*graph.node, *graph.value_info, graph))
    assert sorted(item.key for item in model.metadata_props) == [f"fidelity_gate.{key}" for key in KEYS]


def test_the_metadata_says_depth_origin_and_the_initial_carry():
    name = "trm-mlp-sudoku"
    said, facts = loaded(exported(name)).metadata, reference(name).facts
    assert (said.family, said.unit, said.depth) == ("trm", Unit.H_CYCLE, facts.depth)
    assert said.reference_digest == facts.digest == entry(name).card.digest
    assert said.runs == 3 * 8
    assert loaded(exported(name, "act-step")).metadata.runs == 8
    dense = reference(name).dense()
    np.testing.assert_array_equal(said.initial["z_H"], dense["H_init"])
    np.testing.assert_array_equal(said.initial["z_L"], dense["L_init"])


# ---------------------------------------------------------------- quantizers, without pre-processing


def dynamic_int8(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8)


def int4(source: Path, target: Path) -> None:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("quantize", "becomes"), [(dynamic_int8, "MatMulInteger"), (int4, "MatMulNBits")])
def test_quantizers_take_every_product_without_pre_processing(tmp_path, name, quantize, becomes):
    source, target = exported(name), tmp_path / "small.onnx"
    before = graph_of(source)
    weighted = sum(node.op_type == "MatMul" and node.input[1] in constants_of(before) for node in before.node)
    quantize(source, target)
    after = graph_of(target)
    found = Counter(node.op_type for node in after.node)
    assert found[becomes] == weighted
    assert found["MatMul"] == sum(node.op_type == "MatMul" for node in before.node) - weighted
    assert target.stat().st_size < 0.5 * source.stat().st_size
    # The carry still starts where it should: what nobody reads would have been dropped from the initializers.
    assert loaded(target).metadata.initial.keys() == {"z_H", "z_L"}
    *_, last = HostLoop(loaded(target)).run(puzzles(name, 1), 2)
    assert np.isfinite(last.carry["z_H"]).all()


# ---------------------------------------------------------------- the command


def ran(capsys, *args: str) -> tuple[int, str, str]:
    code = cli.answer(["export", *args])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *args: str) -> str:
    code, out, err = ran(capsys, *args)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    return line.removeprefix("fidelity-gate: error: ")


def test_the_command_writes_a_verified_file_the_same_bytes_every_time_and_says_what_it_is(tmp_path, capsys):
    target = tmp_path / "step.onnx"
    code, out, err = ran(capsys, "zoo:trm-addition", "-o", str(target))
    assert (code, err) == (0, "")
    assert target.read_bytes() == exported("trm-addition").read_bytes()
    assert list(tmp_path.iterdir()) == [target]
    said = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert said["sha256"] == step.sha256_hex(target.read_bytes())
    assert said["verified"] == "4 probes, 2 ACT steps, trm-addition.evaluation.npz"
    assert "24 of 24 answers the same" in said["graph"]  # two steps of four probes of three tokens
    assert said["inputs"] == "z_H float32 1x3x128, z_L float32 1x3x128, inputs int32 1x3"
    assert said["runs"] == "2 a probe (H=1 L=2 steps=2)"


@pytest.fixture
def instant(monkeypatch):
    """Exports take no time here: the command is given a graph that was made before."""

    def give(made: step.ExportedStep) -> None:
        monkeypatch.setattr(step, "export_step", lambda *_, **__: made)

    return give


def test_a_graph_that_is_not_the_model_is_not_written(tmp_path, capsys, instant):
    instant(tampered(tmp_path, block_scaled))
    target = tmp_path / "step.onnx"
    target.write_bytes(exported("trm-attention-sudoku").read_bytes())  # yesterday's
    code, out, err = ran(capsys, "zoo:trm-attention-sudoku", "-o", str(target), "--steps", "4")
    assert (code, err) == (1, "")
    assert "NOT WRITTEN" in out
    assert not target.exists()


def test_a_chaotic_model_says_nothing_about_its_export(tmp_path, capsys, instant):
    target, model = tmp_path / "step.onnx", written(tmp_path, CHAOTIC)
    instant(loaded(kept(model, ExportPlan(), label="chaotic")))  # as exported: nothing is wrong with the graph
    code, out, err = ran(capsys, model, "-o", str(target))
    assert (code, out) == (3, "")
    assert "inconclusive" in err
    assert len(err.splitlines()) == 1
    assert not target.exists()


def test_both_files_of_an_embedding_outside_are_written(tmp_path, capsys, instant, rotary):
    model, path = rotary
    instant(loaded(path))
    puzzle = tmp_path / "six.npz"
    rows = np.random.default_rng(0).integers(0, 7, (5, 6)).astype(np.int32)
    np.savez(puzzle, inputs=rows, identifiers=np.array([0, 1, 2, 0, 1], np.int32))
    target = tmp_path / "step.onnx"
    args = (model.facts.path, "-o", str(target), "--embed", "outside", "--batch", "3", "--inputs", str(puzzle))
    code, out, err = ran(capsys, *args)
    assert (code, err) == (0, "")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["six.npz", "step.embed.onnx", "step.onnx"]
    assert target.read_bytes() == path.read_bytes()
    assert (tmp_path / "step.embed.onnx").read_bytes() == embedding_of(path).read_bytes()
    assert "4 probes, 3 ACT steps" in out


def test_several_models_go_into_a_folder_by_their_names(tmp_path, capsys, instant):
    again, graphs = tmp_path / "step_5000.safetensors", [tmp_path / "trm-addition.onnx", tmp_path / "step_5000.onnx"]
    again.write_bytes(entry("trm-addition").weights.read_bytes())
    instant(loaded(exported("trm-addition")))
    code, out, err = ran(capsys, "zoo:trm-addition", str(again), "-o", str(tmp_path), "--steps", "1")
    assert (code, err) == (0, "")
    assert [f"file           {graph}" in out for graph in graphs] == [True, True]
    assert [is_export(graph.read_bytes()) for graph in graphs] == [True, True]


@pytest.mark.parametrize(
    ("models", "output", "says"),
    [
        (("zoo:trm-addition", "zoo:hrm-sudoku"), "a.onnx", "is no folder (2 models: name a folder"),
        (("zoo:trm-addition", "zoo:trm-addition"), ".", "is the file of two models (export them one by one)"),
        (("zoo:trm-addition",), "none/", "its folder does not exist"),
    ],
)
def test_a_file_belongs_to_one_model(tmp_path, monkeypatch, capsys, models, output, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused(capsys, *models, "-o", output)
    assert not list(tmp_path.iterdir())


def test_what_it_reads_and_what_is_not_its_own_is_never_overwritten(tmp_path, capsys):
    ours, model = tmp_path / "ours.onnx", tmp_path / "model.onnx"
    ours.write_bytes(entry("trm-addition").weights.read_bytes())
    assert "is read by this command" in refused(capsys, str(ours), "-o", str(ours))
    model.write_bytes(b"somebody's work")
    assert "no export of ours" in refused(capsys, "zoo:trm-addition", "-o", str(model))
    assert model.read_bytes() == b"somebody's work"
    beside = tmp_path / "step.embed.onnx"
    beside.write_bytes(b"somebody's work")
    line = refused(capsys, "zoo:trm-addition", "-o", str(tmp_path / "step.onnx"), "--embed", "outside")
    assert line.startswith(str(beside))


def test_an_older_export_is_told_from_other_models():
    data = exported("trm-addition").read_bytes()
    assert is_export(data[:64])
    other = onnx.load_from_string(data)
    other.producer_name = "pytorch"
    assert not is_export(other.SerializeToString()[:64])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("-o", "step.bin"), "must end in .onnx"),
        (("-o", "nowhere/step.onnx"), "its folder does not exist"),
        (("-o", "step.onnx", "--batch", "0"), "'0' is no number of probes (1 to 4096, or dynamic)"),
        (("-o", "step.onnx", "--batch", "many"), "'many' is no number of probes"),
        (("-o", "step.onnx", "--opset", "9"), "9 is not in the range 18<=x<=23"),
        (("-o", "step.onnx", "--unit", "token"), "'token' is not one of"),
        (("-o", "step.onnx", "--inputs", "absent.npz"), "there is no such file"),
        ((), "Missing option '-o'"),
    ],
)
def test_bad_options_are_one_line(tmp_path, monkeypatch, capsys, args, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused(capsys, "zoo:trm-addition", *args)
    assert list(tmp_path.iterdir()) == []


def test_models_without_a_step_graph_are_refused(tmp_path, capsys):
    target = str(tmp_path / "step.onnx")
    other = RecurrentTransformer(hidden_size=8, vocab_size=5, answer_size=5, num_heads=2, seq_len=6, mlp_size=16)
    said = refused(capsys, written(tmp_path, other), "-o", target)
    assert "is a model of recurrent-transformer, which export cannot unroll (it knows hrm and trm)" in said
    shallow = dataclasses.replace(ROPE, seq_len=6, h_cycles=0)
    assert "h_cycles: is not declared in the file" in refused(capsys, written(tmp_path, shallow), "-o", target)
    step_graph = str(exported("trm-addition"))
    assert "export cannot unroll" in refused(capsys, step_graph, "-o", target)


@pytest.mark.parametrize("library", ["torch", "onnxscript"])
def test_a_missing_library_is_named_with_what_to_install(tmp_path, monkeypatch, capsys, library):
    monkeypatch.setitem(sys.modules, library, None)
    code, out, err = ran(capsys, "zoo:trm-addition", "-o", str(tmp_path / "step.onnx"))
    assert (code, out) == (3, "")
    assert f"{library} is not installed, and export needs it (pip install 'fidelity-gate[torch]')" in err


def test_matrices_with_an_arithmetic_of_their_own_are_refused():
    from fidelity_gate.exporting.modules import Step
    from fidelity_gate.models.families._two_stream import TwoStream
    from fidelity_gate.records import Depth, RunSpec

    model = reference("trm-addition")
    core = model.load(RunSpec()).core
    name = "L_level.layers.0.mlp.down_proj.weight"
    weights = {**core.weights, name: lambda x: x}
    roles = {tensor.name: tensor.role for tensor in model.facts.tensors}
    with pytest.raises(ModelRefused, match=r"LLM\.int8"):
        Step(TwoStream(core.blueprint, weights, core.dtype), roles, Depth(), 3)
