"""What the rules on target fit and on drift say, number by number, on made graphs and on the zoo."""

from dataclasses import replace

import pytest
from onnx import helper

from fidelity_gate.analysis.linting import lint
from fidelity_gate.records import Depth, LintSettings, Target
from fidelity_gate.zoo.catalog import entry, names
from tests.lint_examples import fg504, fg505
from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION, MLP
from tests.step_graphs import dynamic_product, step

NPU = Target("hexagon", static_only=True, tile=16, int8_min_tokens=128, operators=("MatMul",), max_opset=17)
MCU = Target("mcu", sram_bytes=2**20)


def found(subject, *codes):
    settings = LintSettings(select=codes or ("FG4", "FG5"))
    return lint(subject, settings, model="m", candidate="").findings


def test_every_target_of_a_candidate_is_held_against_it_by_its_name(tmp_path):
    nodes, constants = dynamic_product()
    second = replace(NPU, name="second")
    made = step(tmp_path, product=nodes, constants=constants, targets=(NPU, MCU, second))
    assert [finding.target for finding in found(made, "FG401")] == ["hexagon", "second"]


def test_dynamic_operators_are_counted_by_kind(tmp_path):
    nodes, constants = dynamic_product()
    (finding,) = found(step(tmp_path, product=nodes, constants=constants, targets=(NPU,)), "FG401")
    assert finding.message == (
        "2 operators quantized dynamically (1 DynamicQuantizeLinear, 1 MatMulInteger), first here"
    )
    assert "DynamicQuantizeLinear(mixed" in finding.location.context


def test_an_operator_outside_the_standard_is_named_with_its_domain(tmp_path):
    nodes = [helper.make_node("FusedMatMul", ["mixed", "w"], ["moved"], domain="com.microsoft")]
    opsets = (helper.make_opsetid("com.microsoft", 1),)
    able = replace(NPU, operators=("Add", "com.microsoft.FusedMatMul"))
    unable = replace(NPU, operators=("Add", "FusedMatMul"))
    made = step(tmp_path, product=nodes, opsets=opsets, checked=False, targets=(able, unable))
    (finding,) = found(made, "FG405")
    assert "com.microsoft.FusedMatMul" in finding.message


def test_matrices_of_one_shape_are_one_finding(tmp_path):
    family = replace(ATTENTION, layers=3)
    shapes = {
        tensor.shape: 3 * sum(other.shape == tensor.shape for other in facts.tensors if "layers.0" in other.name)
        for facts in [subject(save_artifact(tmp_path, "m", family)).facts]
        for tensor in facts.tensors
        if "layers.0" in tensor.name
    }
    made = subject(tmp_path / "m.safetensors", targets=(Target("npu", tile=10_000),))
    told = found(made, "FG403")
    assert len(told) == len(shapes)
    assert sum(int(finding.message.split()[0]) for finding in told) == sum(shapes.values())


def test_the_embedding_budget_is_what_the_streamed_block_leaves(tmp_path):
    from fidelity_gate.analysis.footprint import footprint

    family = replace(ATTENTION, num_puzzle_identifiers=1000)
    facts = subject(save_artifact(tmp_path, "m", family)).facts
    table = next(tensor for tensor in facts.tensors if tensor.name == "puzzle_emb.weights")
    exact = footprint(facts).streaming + table.stored_bytes
    path = tmp_path / "m.safetensors"
    assert not found(subject(path, targets=(Target("mcu", sram_bytes=exact),)), "FG407")
    (finding,) = found(subject(path, targets=(Target("mcu", sram_bytes=exact - 1),)), "FG407")
    assert "one row takes 32 B" in finding.message
    assert dict(finding.figures) == {"table_bytes": table.stored_bytes}


def test_a_student_is_told_field_by_field(tmp_path):
    assert {f.location.name: f.message for f in found(fg504.failing(tmp_path), "FG504")} == {
        "layers": "layers is 1, and 2 in its reference"
    }


def test_a_smaller_graph_is_told_by_its_weights(tmp_path):
    (finding,) = found(fg504.failing_graph(tmp_path), "FG504")
    assert "64 weight values, 12.5% of its reference's 512" in finding.message


def test_zero_rows_are_counted_beyond_the_references_own(tmp_path):
    (finding,) = found(fg505.failing_rows(tmp_path), "FG505")
    assert finding.message == "25.0% of its rows are all zero (0.0% in the reference)"
    assert finding.location.name == fg505.MATRIX


def test_a_mixer_that_changed_is_attention_replaced_and_never_the_reverse(tmp_path):
    attention = subject(save_artifact(tmp_path, "a", ATTENTION))
    mlp = subject(save_artifact(tmp_path, "m", MLP))
    assert [f.code for f in found(replace(mlp, reference=attention), "FG503")] == ["FG503"]
    assert not found(replace(attention, reference=mlp), "FG503")


@pytest.mark.parametrize(("calls", "depth", "count"), [(6, Depth(2, 2, 8), 0), (7, Depth(2, 2, 8), 1), (24, None, 0)])
def test_a_graph_is_unrolled_from_one_use_more_than_an_act_step_makes(tmp_path, calls, depth, count):
    names = ["mixed", *(f"x{call}" for call in range(1, calls)), "moved"]
    nodes = [helper.make_node("MatMul", [names[call], "w"], [names[call + 1]]) for call in range(calls)]
    assert len(found(step(tmp_path, product=nodes, depth=depth), "FG508")) == count


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("recipe", ["fp16", "int8", "int4-naive"])
def test_zoo_artifacts_have_not_drifted(tmp_path, name, recipe):
    from fidelity_gate.storage.artifact import encode
    from fidelity_gate.verbs.compress import compressed

    _, artifact = compressed(str(entry(name).weights), recipe, pairs=(), calibration=None)
    path = tmp_path / "c.safetensors"
    path.write_bytes(encode(artifact))
    reference = subject(entry(name).weights, name="reference")
    assert not found(subject(path, reference=reference), "FG5")
