"""FLOPs of architectures: the paper's figures, and torch's own counter over the real recursion as the judge."""

from __future__ import annotations

import sys
from dataclasses import replace
from subprocess import run

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_files import ATTENTION, MLP

from fidelity_gate.analysis.closed_form import Architecture, architecture_of, closed_form
from fidelity_gate.analysis.compute import compute_of, family_compute
from fidelity_gate.errors import NotMeasured
from fidelity_gate.models.families.hrm import Hrm
from fidelity_gate.models.families.recurrent_transformer import RecurrentTransformer
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Depth, ModelSpec, Probes, RunSpec
from fidelity_gate.zoo.catalog import entry

ZOO = ("hrm-sudoku", "trm-addition", "trm-attention-sudoku", "trm-mlp-sudoku")
ARC = Trm(hidden_size=512, vocab_size=12, num_heads=8, layers=2, seq_len=900)
EMBEDDED = replace(ARC, puzzle_emb_ndim=512, puzzle_emb_len=16, num_puzzle_identifiers=50_911)
HRM = Hrm(hidden_size=8, vocab_size=5, num_heads=2, seq_len=6, h_layers=1, l_layers=3)
GIGA = 1e9


def form(family, depth):
    model = Architecture(family.name, family.tensors(), family.geometry(), family.architecture())
    return closed_form(model, depth)


def blank(tokens: int) -> Probes:
    return Probes(np.zeros((1, tokens), np.int32), None, np.zeros(1, np.int32), "", "zeros")


def zoo(name):
    return open_model(ModelSpec(name, str(entry(name).weights)))


def by_hand(recursion, tokens: int, depth: Depth) -> int:
    """Count one ACT step with torch's own counter and nothing of ours."""
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    assert torch is not None
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        next(recursion.run(blank(tokens), Depth(depth.h_cycles, depth.l_cycles, 1)))
    return counter.get_total_flops()


# ---------------------------------------------------------------- the paper


def test_the_papers_arc_step_is_187_gflop_and_its_puzzles_3000_and_500():
    full, reduced = form(ARC, Depth(3, 3, 16)), form(ARC, Depth(1, 3, 8))
    assert round(full.step / GIGA) == 187
    assert round(full.puzzle / GIGA, -2) == 3000
    assert round(reduced.puzzle / GIGA, -2) == 500
    assert full.puzzle / reduced.puzzle == pytest.approx(6, rel=1e-3)


def test_a_block_call_is_two_flops_a_weight_and_token_and_4_l_l_d_a_layer():
    geometry = ARC.geometry()
    matrices = 2 * geometry.layers * geometry.layer_values * 900
    assert form(ARC, Depth(3, 3, 16)).block_call == matrices + 2 * 4 * 900**2 * 512


def test_tokens_of_the_puzzle_embedding_are_computed_on_and_not_answered():
    plain, embedded = (dict(form(family, Depth(3, 3, 16)).by_operator) for family in (ARC, EMBEDDED))
    assert embedded["attention"] / plain["attention"] == pytest.approx((916 / 900) ** 2)
    assert embedded["matrices"] / plain["matrices"] == pytest.approx(916 / 900)
    assert embedded["heads"] == plain["heads"]


# ---------------------------------------------------------------- torch's counter


@pytest.mark.parametrize("name", ZOO)
def test_the_closed_form_of_a_zoo_model_is_what_torch_counts_over_its_real_recursion(name):
    opened = zoo(name)
    depth = opened.facts.depth
    found = compute_of(opened)
    tokens = dict(opened.facts.architecture)["seq_len"]
    assert found.counted_by == "closed form"
    assert found.step == by_hand(opened.load(RunSpec()), tokens, depth)
    assert found.puzzle == depth.steps * found.step
    assert found.depth == depth
    assert sum(cost for _, cost in found.by_operator) == found.step


@pytest.mark.parametrize("name", ZOO)
def test_one_more_update_costs_one_more_block_call(name):
    opened, depth = zoo(name), Depth(1, 2, 1)
    tokens = dict(opened.facts.architecture)["seq_len"]
    recursion = opened.load(RunSpec())
    more = by_hand(recursion, tokens, Depth(1, 3, 1)) - by_hand(recursion, tokens, depth)
    assert compute_of(opened, depth).block_call == more


SIZES = {"hidden_size": st.sampled_from([8, 16]), "vocab_size": st.integers(2, 9), "seq_len": st.integers(1, 9)}
TRMS = st.builds(
    Trm,
    **SIZES,
    mixer=st.sampled_from(["attention", "mlp"]),
    num_heads=st.just(2),
    layers=st.integers(1, 3),
    positions=st.sampled_from(["learned", "none"]),
    expansion=st.sampled_from([2.0, 4.0]),
    puzzle_emb_ndim=st.just(8),
    puzzle_emb_len=st.integers(1, 3),
    num_puzzle_identifiers=st.just(2),
)
HRMS = st.builds(Hrm, **SIZES, num_heads=st.just(2), h_layers=st.integers(1, 3), l_layers=st.integers(1, 3))
DEPTHS = st.builds(Depth, st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(TRMS | HRMS, DEPTHS)
def test_every_architecture_and_depth_comes_to_what_torch_counts_without_memory(family, depth):
    pytest.importorskip("torch")
    from fidelity_gate.analysis.torch_flops import family_flops

    counted, formed = family_flops(family, depth), form(family, depth)
    assert (counted.step, counted.puzzle) == (formed.step, formed.puzzle)
    assert counted.not_counted == ()
    assert formed.block_call * depth.h_cycles * (depth.l_cycles + 1) < formed.step


def test_the_arc_architecture_is_counted_by_torch_without_its_99_megabytes_of_embedding():
    pytest.importorskip("torch")
    from fidelity_gate.analysis.torch_flops import family_flops

    counted = family_flops(EMBEDDED, Depth(3, 3, 16))
    assert counted.step == form(EMBEDDED, Depth(3, 3, 16)).step
    assert round(counted.step / GIGA, 1) == 191.1
    assert counted.counted_by == "torch FlopCounterMode"


def test_a_block_call_of_a_model_with_unequal_blocks_is_their_mean_over_a_step():
    found = form(HRM, Depth(2, 3, 1))
    high, low = (form(replace(HRM, h_layers=n, l_layers=n), Depth(2, 3, 1)).block_call for n in (1, 3))
    assert found.block_call == (2 * high + 6 * low) / 8


@pytest.mark.shared_models
@pytest.mark.parametrize(
    ("path", "options", "tokens"),
    [
        (
            "hrm-cpu/hrm_final_model.pth",
            {"num_heads": 4, "seq_len": 900, "h_cycles": 2, "l_cycles": 2, "steps": 6},
            900,
        ),
        ("recurrent-transformer-sp4x4/sp4x4_base.pt", {"num_heads": 4}, 40),
    ],
)
def test_checkpoints_of_others_come_to_what_torch_counts(shared, path, options, tokens):
    opened = open_model(ModelSpec("real", str(shared / "models" / path), tuple(sorted(options.items()))))
    assert compute_of(opened).step == by_hand(opened.load(RunSpec()), tokens, opened.facts.depth)


def test_a_recurrent_transformer_has_one_stream_and_one_block_call_a_step():
    family = RecurrentTransformer(
        hidden_size=8, vocab_size=4, answer_size=2, num_heads=2, seq_len=5, mlp_size=16, layers=2
    )
    found = form(family, Depth(steps=32))
    assert found.block_call == 2 * (2 * 5 * (4 * 8 * 8 + 2 * 8 * 16) + 4 * 5 * 5 * 8)
    assert found.step == found.block_call + 2 * 5 * 2 * 8
    with pytest.raises(NotMeasured, match="no cycles"):
        form(family, Depth(2, 1, 32))


# ---------------------------------------------------------------- what is not known


def test_without_a_number_of_tokens_or_a_depth_nothing_is_said():
    with pytest.raises(NotMeasured, match="tokens"):
        family_compute(replace(ARC, seq_len=0), Depth(3, 3, 16))
    opened = zoo("trm-addition")
    lost = replace(opened, facts=replace(opened.facts, depth=None))
    with pytest.raises(NotMeasured, match="depth"):
        compute_of(lost)
    assert compute_of(lost, Depth(1, 2, 2)) == compute_of(opened)


@pytest.mark.parametrize("family", [ATTENTION, MLP], ids=["attention", "mlp"])
def test_facts_that_lack_a_tensor_are_not_guessed_around(family):
    model = Architecture(family.name, family.tensors(), family.geometry(), family.architecture())
    headless = {name: told for name, told in model.tensors.items() if name != "lm_head.weight"}
    with pytest.raises(NotMeasured, match="lm_head"):
        closed_form(replace(model, tensors=headless), Depth(1, 1, 1))
    with pytest.raises(NotMeasured, match="recursive block"):
        closed_form(replace(model, tensors={}), Depth(1, 1, 1))


def test_a_compressed_model_has_the_flops_of_its_reference(tmp_path):
    from fidelity_gate.cli import answer

    target = str(tmp_path / "c.safetensors")
    assert answer(["compress", "zoo:trm-mlp-sudoku", "--recipe", "int4-naive", "-o", target]) == 0
    compressed, reference = open_model(ModelSpec("c", target)), zoo("trm-mlp-sudoku")
    assert compute_of(compressed) == compute_of(reference)
    assert architecture_of(compressed.facts).tensors == architecture_of(reference.facts).tensors


def test_no_torch_is_imported_for_a_file_of_a_known_family():
    code = (
        "import sys\n"
        "from fidelity_gate.analysis.compute import compute_of\n"
        "from fidelity_gate.models.opening import open_model\n"
        "from fidelity_gate.records import ModelSpec\n"
        f"assert compute_of(open_model(ModelSpec('m', {str(entry('trm-addition').weights)!r}))).step\n"
        "assert not {'torch', 'onnxruntime', 'onnx'} & set(sys.modules)\n"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
