"""Step graphs under onnxruntime: what is fed where, what is fed back, and what is refused in one line."""

import hashlib
import os

import numpy as np
import pytest
from exported import embedding_of, exported
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_steps import (
    CELL,
    CELL_OF_ANY,
    CELL_OF_ONE,
    CONSTANTS,
    FRAME,
    REASONER,
    WIDTH,
    frames,
    opened,
    reasoner,
    states,
    stepper,
    tokens,
    write,
)
from safetensors.numpy import save_file

from fidelity_gate.errors import GateError, InputsRefused, ModelRefused, OutOfMemory, OutOfTime
from fidelity_gate.inputs.checking import check_probes, take
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.models import onnx_trial
from fidelity_gate.models.onnx_layout import from_tokens, to_tokens
from fidelity_gate.models.onnx_plan import Slot, State
from fidelity_gate.models.onnx_start import Starts, shaken
from fidelity_gate.models.onnx_trial import DOMAINS
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Depth, ModelSpec, RunSpec
from fidelity_gate.zoo.catalog import entry

METADATA = {
    "fidelity_gate.unit": "h-cycle",
    "fidelity_gate.h_cycles": "2",
    "fidelity_gate.l_cycles": "1",
    "fidelity_gate.steps": "4",
}


def by_hand(probes, start=0.0):
    """Return the cell's states after every frame, computed by numpy: (T, N, WIDTH)."""
    state, found = np.full((len(probes), WIDTH), start, np.float32), []
    for frame in probes.inputs.swapaxes(0, 1):
        state = np.tanh(frame @ CONSTANTS["u"] + state @ CONSTANTS["w"])
        found.append(state)
    return np.array(found)


def refused(kind=ModelRefused):
    return pytest.raises(kind)


# ---------------------------------------------------------------- the loop


@pytest.mark.parametrize(
    "signature", [CELL_OF_ONE, CELL_OF_ANY, CELL_OF_ANY.replace("N", "2"), CELL_OF_ANY.replace("N", "8")]
)
def test_every_step_is_fed_its_own_frame_however_many_probes_a_run_takes(tmp_path, signature):
    probes = frames(count=5)
    found = states(stepper(write(tmp_path, signature=signature)), probes, 5)
    carry = np.array([state.carry["h"] for state in found])
    assert carry.shape == (5, 5, 1, WIDTH)
    np.testing.assert_allclose(carry[:, :, 0], by_hand(probes), atol=1e-6)


@pytest.mark.parametrize("rows", ["1", "N", "2"])
def test_tokens_are_the_same_at_every_step(tmp_path, rows):
    probes = tokens(count=3)
    recursion = stepper(write(tmp_path, REASONER, reasoner(rows)))
    state, embedded = np.zeros((3, 7, WIDTH), np.float32), CONSTANTS["table"][probes.inputs]
    for found in states(recursion, probes, 3):
        state = np.tanh(embedded + state @ CONSTANTS["w"])
        np.testing.assert_allclose(found.carry["z"], state, atol=1e-6)
        np.testing.assert_allclose(found.logits, state @ CONSTANTS["head"], atol=1e-5)


def test_tokens_are_given_in_the_type_that_the_graph_takes(tmp_path):
    wide, narrow = (
        states(stepper(write(tmp_path, REASONER, reasoner(dtype=dtype), name=dtype)), tokens(), 2)[-1]
        for dtype in ("int64", "int32")
    )
    np.testing.assert_array_equal(wide.carry["z"], narrow.carry["z"])


def test_a_carry_that_is_sent_in_replaces_the_models_own(tmp_path):
    recursion, probes = stepper(write(tmp_path)), frames(count=2)
    free = states(recursion, probes, 3)
    run = recursion.run(probes, Depth(steps=3))
    next(run)
    same = run.send(free[0].carry)
    np.testing.assert_array_equal(same.carry["h"], free[1].carry["h"])
    other = run.send({"h": np.zeros((2, 1, WIDTH), np.float32)})
    np.testing.assert_allclose(other.carry["h"][:, 0], np.tanh(probes.inputs[:, 2] @ CONSTANTS["u"]), atol=1e-6)


def test_runs_may_be_interleaved_and_what_was_yielded_never_changes(tmp_path):
    recursion, probes = stepper(write(tmp_path, signature=CELL_OF_ANY)), frames(count=4)
    alone = [state.carry["h"].copy() for state in recursion.run(probes, Depth(steps=4))]
    both = list(zip(recursion.run(probes, Depth(steps=4)), recursion.run(probes, Depth(steps=4)), strict=True))
    for expected, (one, other) in zip(alone, both, strict=True):
        np.testing.assert_array_equal(one.carry["h"], expected)
        np.testing.assert_array_equal(other.carry["h"], expected)


def test_an_h_cycle_runs_as_often_as_the_depth_says_and_an_act_step_once(tmp_path):
    probes = tokens()
    cycle = stepper(write(tmp_path, REASONER, reasoner(), metadata=METADATA | {}, constants={"spare": np.zeros(3)}))
    plain = states(stepper(write(tmp_path, REASONER, reasoner(), name="plain")), probes, 4)
    for found, expected in zip(states(cycle, probes, depth=Depth(2, 1, 2)), plain[1::2], strict=True):
        np.testing.assert_array_equal(found.carry["z"], expected.carry["z"])
    declared = stepper(write(tmp_path, REASONER, reasoner(), name="declared"), unit="h-cycle")
    np.testing.assert_array_equal(states(declared, probes, depth=Depth(4, 1, 1))[0].carry["z"], plain[3].carry["z"])


# ---------------------------------------------------------------- layouts


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.data())
def test_every_layout_goes_to_tokens_and_back(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found = to_tokens(array, axis)
    assert found.ndim == 3
    assert len(found) == shape[axis]
    np.testing.assert_array_equal(from_tokens(found, tuple(shape), axis), array)


LSTM = "y, hn, cn = LSTM <hidden_size = 6> (x, W, R, , , h, c)"


def lstm(folder, rows, name="lstm"):
    shape = f"float[1,{rows},{WIDTH}]"
    draws = np.random.default_rng(3)
    weights = {"W": draws.normal(size=(1, 4 * WIDTH, FRAME)), "R": draws.normal(size=(1, 4 * WIDTH, WIDTH)) / 2}
    constants = {key: array.astype(np.float32) for key, array in weights.items()}
    signature = f"(float[1,{rows},{FRAME}] x, {shape} h, {shape} c) => ({shape} hn, {shape} cn)"
    return write(folder, LSTM, signature, name=name, constants=constants)


def test_an_operator_with_layers_before_probes_is_told_by_the_name_of_the_size(tmp_path):
    probes = frames(count=3, shape=(1, FRAME))
    alone = states(stepper(lstm(tmp_path, "1", "one")), probes, 4)
    any_number = states(stepper(lstm(tmp_path, "batch", "any")), probes, 4)
    fixed = states(stepper(lstm(tmp_path, "2", "two"), batch_axis=1, batch_axis__x=1), probes, 4)
    for one, other, two in zip(alone, any_number, fixed, strict=True):
        assert set(one.carry) == {"h", "c"}
        for stream in ("h", "c"):
            assert one.carry[stream].shape == (3, 1, WIDTH)
            np.testing.assert_allclose(one.carry[stream], other.carry[stream], atol=1e-6)
            np.testing.assert_allclose(one.carry[stream], two.carry[stream], atol=1e-6)


def test_two_axes_of_one_size_are_not_guessed_between(tmp_path):
    square = reasoner("7")
    with refused() as caught:
        stepper(write(tmp_path, REASONER, square))
    assert "several axes of 7x7x6 could count probes" in str(caught.value)
    assert "batch_axis: {z: 0}" in str(caught.value)
    assert states(stepper(write(tmp_path, REASONER, square), batch_axis=0), tokens(4), 2)[0].carry["z"].shape == (
        4,
        7,
        WIDTH,
    )


def test_an_axis_of_size_one_in_a_frame_may_come_and_go(tmp_path):
    probes = frames(count=2)
    flat = states(stepper(lstm(tmp_path, "1")), probes, 2)
    deep = states(stepper(lstm(tmp_path, "1")), frames(count=2, shape=(1, FRAME)), 2)
    np.testing.assert_array_equal(flat[-1].carry["h"], deep[-1].carry["h"])


def test_integer_states_are_fed_back_and_not_compared(tmp_path):
    body = "step = Cast <to = 1> (count) d = MatMul(x, u) hn = Add(d, step) count_out = Add(count, tick)"
    signature = (
        f"(float[1,{FRAME}] x, float[1,{WIDTH}] h, int64[1,1] count) => (float[1,{WIDTH}] hn, int64[1,1] count_out)"
    )
    path = write(tmp_path, body, signature, constants={"tick": np.array([[1]])})
    recursion, probes = stepper(path, state__h="hn", state__count="count_out"), frames(count=2)
    assert recursion.streams == ("h",)
    found = [state.carry["h"][:, 0] for state in states(recursion, probes, 3)]
    np.testing.assert_allclose(found[2], probes.inputs[:, 2] @ CONSTANTS["u"] + 2, atol=1e-6)


# ---------------------------------------------------------------- where states start


def test_a_state_that_only_keeps_samples_is_not_the_one_that_checks_look_at(tmp_path):
    body = (
        "both = Concat <axis = 1> (cache, x) cache_new = Slice(both, four, end, second) drive = MatMul(x, u) "
        "kept = MatMul(h, w) sum = Add(drive, kept) hn = Tanh(sum)"
    )
    signature = (
        f"(float[1,{FRAME}] x, float[1,{FRAME}] cache, float[1,{WIDTH}] h) => "
        f"(float[1,{FRAME}] cache_new, float[1,{WIDTH}] hn)"
    )
    path = write(tmp_path, body, signature, constants={"four": np.array([FRAME]), "end": np.array([2 * FRAME])})
    assert stepper(path).streams == ("h", "cache")
    assert any(note.startswith("cache only keeps what was fed") for note in opened(path).facts.notes)
    assert not any("only keeps" in note for note in opened(write(tmp_path, name="cell")).facts.notes)


def test_states_start_at_zero_a_constant_a_file_or_where_metadata_says(tmp_path):
    probes, start = frames(count=2), np.linspace(-1, 1, WIDTH, dtype=np.float32)
    path = write(tmp_path, constants={"h0": start})
    save_file({"h": start}, tmp_path / "start.safetensors")
    zero, own, given_file = (
        states(stepper(path, **said), probes, 1)[0].carry["h"][:, 0]
        for said in ({}, {"initial": "h0"}, {"initial__h": "start.safetensors"})
    )
    np.testing.assert_allclose(zero, by_hand(probes)[0], atol=1e-6)
    np.testing.assert_allclose(own, by_hand(probes, start)[0], atol=1e-6)
    np.testing.assert_array_equal(own, given_file)
    assert not np.allclose(zero, own)


def test_an_npz_file_of_initial_states_is_read_as_a_safetensors_file_is(tmp_path):
    probes, start = frames(count=2), np.linspace(-1, 1, WIDTH, dtype=np.float32)
    path = write(tmp_path)
    np.savez(tmp_path / "start.npz", h=start[None])
    np.savez_compressed(tmp_path / "packed.npz", h=start)
    save_file({"h": start}, tmp_path / "start.safetensors")
    found = [
        states(stepper(path, initial=f"{name}"), probes, 2)[1].carry["h"]
        for name in ("start.npz", "packed.npz", "start.safetensors")
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert opened(path, initial="start.npz").facts.digest != opened(path, initial="packed.npz").facts.digest


STARTS = {
    "float64": ({"h": np.zeros(WIDTH)}, "starts from float64, and the state is float32"),
    "another shape": ({"h": np.zeros((WIDTH, 1), np.float32)}, "starts from 6x1"),
    "one value for all": ({"h": np.float32(1)}, "starts from scalar"),
    "another name": ({"h0": np.zeros(WIDTH, np.float32)}, "holds no tensor 'h'"),
    "more than states": ({"h": np.zeros(WIDTH, np.float32), "c": np.zeros(3)}, "unknown state 'c'"),
    "not finite": ({"h": np.full(WIDTH, np.inf, np.float32)}, "not finite"),
    "objects": ({"h": np.array([{}], object)}, "Python objects"),
}


@pytest.mark.parametrize(("arrays", "words"), STARTS.values(), ids=STARTS)
def test_a_file_of_initial_states_that_does_not_fit_is_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "start.npz", **arrays)
    with pytest.raises(GateError) as caught:
        states(stepper(write(tmp_path), initial="start.npz"), frames(count=1), 1)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_start_is_of_the_layers_and_never_of_the_probes():
    # (2 layers, 2 probes, 3): numpy alone would lay the start of two layers along the probes.
    state = State("h", Slot("h", "float32", (2, "N", 3), 1), "hn")
    start = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = Starts({"h": start}, "step.onnx").of(state, 2)
    np.testing.assert_array_equal(found[:, 0], start)
    np.testing.assert_array_equal(found[:, 1], start)
    with refused() as caught:
        Starts({"h": np.zeros((1, 3), np.float32)}, "step.onnx").of(state, 2)
    assert "the state of one probe, 2x3" in str(caught.value)


def test_one_constant_for_several_states_is_refused(tmp_path):
    with refused() as caught:
        stepper(lstm(tmp_path, "1"), initial="W")
    assert "initial: {h: W}" in str(caught.value)


def test_a_file_of_initial_states_counts_into_digest_and_size(tmp_path):
    path = write(tmp_path)
    save_file({"h": np.ones(WIDTH, np.float32)}, tmp_path / "start.safetensors")
    alone, beside = opened(path).facts, opened(path, initial="start.safetensors").facts
    assert alone.digest == hashlib.sha256(path.read_bytes()).hexdigest() != beside.digest
    assert beside.size_bytes - alone.size_bytes == (tmp_path / "start.safetensors").stat().st_size


@given(st.integers(1, 3), st.floats(0.01, 100), st.integers(0, 5))
@settings(max_examples=30)
def test_noise_is_relative_to_the_state_and_absolute_where_it_is_zero(count, level, seed):
    size = 1e-2
    state = np.full((count, 400, 50), level)
    for tokens_, expected in ((state, size * level), (np.zeros_like(state), size)):
        moved = shaken(tokens_, size, np.random.default_rng(seed)) - tokens_
        np.testing.assert_allclose(moved.std(), expected, rtol=0.05)


def test_a_perturbed_run_differs_by_its_seed_alone(tmp_path):
    recursion, probes = stepper(write(tmp_path)), frames()
    first, again, other = (
        states(recursion, probes, 1, perturbation=1e-2, seed=seed)[0].carry["h"] for seed in (1, 1, 2)
    )
    plain = states(recursion, probes, 1)[0].carry["h"]
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    assert 1e-4 < np.abs(first - plain).max() < 0.1


# ---------------------------------------------------------------- exports


def puzzles(count):
    with np.load(entry("trm-attention-sudoku").evaluation) as data:
        return make_probes(data["inputs"][:count].astype(np.int32), None, source="tests")


def test_an_export_that_takes_embeddings_is_fed_by_the_graph_beside_it(tmp_path):
    inside, outside = (exported("trm-attention-sudoku", embed=where) for where in ("inside", "outside"))
    depth, probes = Depth(2, 2, 3), puzzles(3)
    one, other = (states(stepper(path), probes, depth=depth)[-1] for path in (inside, outside))
    np.testing.assert_allclose(one.carry["z_H"], other.carry["z_H"], atol=1e-5)
    moved = tmp_path / "small.onnx"
    moved.write_bytes(outside.read_bytes())
    with refused(InputsRefused) as caught:
        states(stepper(moved), probes, depth=depth)
    assert "probes are tokens, and the graph's x is float32" in str(caught.value)
    assert "model: {embedding: STEP.embed.onnx}" in caught.value.hint
    (tmp_path / "embed.onnx").write_bytes(embedding_of(outside).read_bytes())
    found = states(stepper(moved, embedding="embed.onnx"), probes, depth=depth)[-1]
    np.testing.assert_array_equal(found.carry["z_H"], other.carry["z_H"])
    (tmp_path / "embed.onnx").write_bytes(inside.read_bytes())
    with refused() as caught:
        opened(moved, embedding="embed.onnx")
    assert "not the embedding that the step graph was exported with" in str(caught.value)


def test_other_cycles_than_those_inside_the_graph_are_refused():
    step, whole = exported("trm-attention-sudoku"), exported("trm-attention-sudoku", unit="act-step")
    for path, depth in ((step, Depth(2, 3, 2)), (whole, Depth(3, 2, 2)), (whole, Depth(2, 3, 2))):
        with refused() as caught:
            states(stepper(path), puzzles(2), depth=depth)
        assert "the graph holds the cycles of" in str(caught.value)
    assert len(states(stepper(step), puzzles(2), depth=Depth(1, 2, 2))) == 2


# ---------------------------------------------------------------- heads


def test_an_output_that_the_policy_names_is_decoded(tmp_path):
    path, probes = write(tmp_path), frames()
    assert states(stepper(path), probes, 1)[0].logits is None
    assert states(stepper(path, logits="probs"), probes, 1)[0].logits.shape == (3, 1, 3)


def test_a_state_may_be_decoded_too(tmp_path):
    found = states(stepper(write(tmp_path), logits="hn"), frames(), 1)[0]
    np.testing.assert_array_equal(found.logits, found.carry["h"])


def test_one_value_an_answer_needs_a_threshold(tmp_path):
    body, signature = CELL.replace("head", "one_head"), CELL_OF_ANY.replace("float[N,3]", "float[N,1]")
    path = write(tmp_path, body, signature, constants={"one_head": CONSTANTS["head"][:, :1]})
    with refused() as caught:
        states(stepper(path, logits="probs"), frames(), 1)
    assert "threshold" in str(caught.value)
    found = states(stepper(path, logits="probs", threshold=0.25), frames(20), 1)[0]
    yes = found.carry["h"][:, 0] @ CONSTANTS["head"][:, 0] > 0.25
    np.testing.assert_array_equal(found.logits[:, 0].argmax(-1), yes)
    assert 0 < yes.sum() < 20


def test_an_output_called_halt_of_another_shape_is_no_halting(tmp_path):
    body, signature = CELL.replace("probs", "halt"), CELL_OF_ANY.replace("probs", "halt")
    path = write(tmp_path, body, signature)
    assert states(stepper(path), frames(), 1)[0].halt is None
    with refused():
        states(stepper(path, halt="halt"), frames(), 1)


# ---------------------------------------------------------------- what a policy says


RATE = f"(float[1,{FRAME}] x, float[1,{WIDTH}] h, int64 sr) => (float[1,{WIDTH}] hn, float[1,3] probs)"
RATED = "rate = Cast <to = 1> (sr) louder = Mul(x, rate) " + CELL.replace("MatMul(x", "MatMul(louder")


def test_the_word_none_says_of_a_head_that_there_is_none(tmp_path):
    path = write(tmp_path, REASONER, reasoner())
    assert states(stepper(path), tokens(), 1)[0].logits is not None
    assert states(stepper(path, logits="none", halt="none"), tokens(), 1)[0].logits is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"constants__h": 1.0}, "constants.h: is a state"),
        ({"constants__k": 1 << 40}, f"{1 << 40} is no int32"),
        ({"constants__k": 0.5}, "0.5 is no int32"),
    ],
)
def test_a_constant_that_the_input_cannot_take_is_refused_before_anything_runs(tmp_path, said, words):
    body = "k1 = Cast <to = 1> (k) more = Mul(x, k1) " + CELL.replace("MatMul(x", "MatMul(more")
    path = write(tmp_path, body, CELL_OF_ONE.replace(") =>", ", int32 k) =>"))
    with refused() as caught:
        stepper(path, **({"constants__k": 2} | said))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_constant_input_is_given_as_the_policy_says(tmp_path):
    path, probes = write(tmp_path, RATED, RATE), frames()
    with refused() as caught:
        stepper(path)
    assert "nothing feeds the input sr" in str(caught.value)
    loud = states(stepper(path, constants__sr=3), probes, 1)[0].carry["h"]
    np.testing.assert_allclose(loud[:, 0], np.tanh(3 * probes.inputs[:, 0] @ CONSTANTS["u"]), atol=1e-5)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"constants__sr": 2.5}, "2.5 is no int64"),
        ({"constants__sr": True}, "True is no int64"),
        ({"constants__rate": 1}, "has no input 'rate'"),
        ({"constants__sr": 1, "input": "h"}, "is a state"),
        ({"constants__sr": 1, "map__z": "hm"}, "did you mean h"),
        ({"constants__sr": 1, "batch_axis__y": 0}, "no input or output 'y'"),
        ({"constants__sr": 1, "batch_axis__h": 2}, "has no axis 2"),
        ({"constants__sr": 1, "logits": "prob"}, "did you mean probs"),
        ({"constants__sr": 1, "initial": "h1"}, "has no constant 'h1'"),
        ({"constants__sr": 1, "initial__g": "zeros"}, "has no state 'g'"),
        ({"constants__sr": 1, "optimisation": "all"}, "did you mean optimization"),
        ({"constants__sr": 1, "optimization": "most"}, "all, extended, basic, off"),
        ({"constants__sr": 1, "threshold": "half"}, "must be a finite number"),
        ({"constants": 1}, "needs the name of an input"),
    ],
)
def test_what_a_policy_says_wrongly_is_refused(tmp_path, said, words):
    with refused(GateError) as caught:
        states(stepper(write(tmp_path, RATED, RATE), **said), frames(), 1)
    assert words in str(caught.value)


def test_a_state_has_the_references_name_where_the_policy_maps_it(tmp_path):
    for name in ("h", "hn"):
        assert stepper(write(tmp_path), map__z_H=name).streams == ("z_H",)


def test_the_level_of_optimization_is_told(tmp_path):
    notes = opened(write(tmp_path), optimization="basic").facts.notes
    assert "onnxruntime rewrites it before it runs: optimization basic" in notes


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_another_precision_than_its_own_is_refused(tmp_path, dtype):
    with refused() as caught:
        opened(write(tmp_path)).load(RunSpec(dtype=dtype))
    assert f"precision is its own, and {dtype} is asked for" in str(caught.value)


# ---------------------------------------------------------------- what is missing


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (CELL_OF_ONE.replace(f"float[1,{WIDTH}] h)", "float[1,5] h)"), "cannot be fed back"),
        (CELL_OF_ONE.replace(f"float[1,{WIDTH}] h)", f"float16[1,{WIDTH}] h)"), "cannot be fed back"),
        (
            CELL_OF_ANY.replace(f"float[N,{FRAME}]", f"float[3,{FRAME}]").replace("N", "2"),
            "different numbers of probes",
        ),
    ],
)
def test_states_that_cannot_be_fed_back_are_refused(tmp_path, signature, words):
    with refused() as caught:
        stepper(write(tmp_path, signature=signature), state__h="hn", batch_axis=0)
    assert words in str(caught.value)


def test_a_graph_without_a_state_or_without_an_input_is_refused(tmp_path):
    renamed = CELL_OF_ONE.replace("hn", "y").replace("probs", "p")
    with refused() as caught:
        stepper(write(tmp_path, CELL.replace("hn", "y").replace("probs", "p"), renamed), state__h=None, input="x")
    assert "nothing feeds the input h" in str(caught.value)
    alone = f"(float[1,{WIDTH}] h) => (float[1,{WIDTH}] hn)"
    with refused() as caught:
        stepper(write(tmp_path, "hn = MatMul(h, w)", alone))
    assert "no input that probes could be fed to" in str(caught.value)


@pytest.mark.parametrize(
    ("probes", "steps", "words"),
    [
        (tokens(), 2, "probes are tokens, and the graph's x is float32"),
        (frames(steps=3), 4, "probes have 3 frames, and the recursion 4 steps"),
        (frames(shape=(FRAME + 1,)), 2, "a frame has the shape 5, and the graph's x takes 4"),
        (frames(shape=(2, FRAME)), 2, "a frame has the shape 2x4"),
    ],
)
def test_probes_that_do_not_fit_are_refused(tmp_path, probes, steps, words):
    with refused(InputsRefused) as caught:
        states(stepper(write(tmp_path)), probes, steps)
    assert words in str(caught.value)


def test_token_graphs_refuse_frames_other_lengths_and_other_vocabularies(tmp_path):
    recursion = stepper(write(tmp_path, REASONER, reasoner()))
    with refused(
        InputsRefused,
    ) as caught:
        states(recursion, frames(), 2)
    assert "the graph's inputs takes tokens" in str(caught.value)
    with refused(InputsRefused) as caught:
        states(recursion, tokens(length=6), 2)
    assert "probes have 6 tokens, the graph takes 7" in str(caught.value)
    with refused() as caught:
        states(recursion, make_probes(tokens().inputs + 40, None, source="tests"), 2)
    assert "onnxruntime fails to run it" in str(caught.value)


def test_cycles_need_to_be_told_and_frames_have_none(tmp_path):
    with refused() as caught:
        states(stepper(write(tmp_path, REASONER, reasoner())), tokens(), depth=Depth(2, 1, 2))
    assert "unit: h-cycle" in str(caught.value)
    with refused() as caught:
        states(stepper(write(tmp_path), unit="h-cycle"), frames(), depth=Depth(2, 1, 2))
    assert "no frame for each" in str(caught.value)


# ---------------------------------------------------------------- files nobody may trust


def test_a_graph_is_tried_out_once_and_then_known(tmp_path, monkeypatch):
    model = opened(write(tmp_path, constants={"own": np.arange(17)}))
    model.load(RunSpec())

    def no_child(*_args, **_kw):
        raise AssertionError("a second child")

    monkeypatch.setattr(onnx_trial, "run_limited", no_child)
    probes = frames()
    found = states(model.load(RunSpec()), probes, 5)
    np.testing.assert_allclose(found[-1].carry["h"][:, 0], by_hand(probes)[-1], atol=1e-6)


def test_the_bytes_that_were_hashed_run_whatever_became_of_the_file(tmp_path):
    path, probes = write(tmp_path), frames()
    model = opened(path)
    path.write_bytes(b"something else")
    np.testing.assert_allclose(
        states(model.load(RunSpec()), probes, 1)[0].carry["h"][:, 0], by_hand(probes)[0], atol=1e-6
    )


def _nested(model):
    body = helper.make_graph(
        [helper.make_node("Neg", ["sum"], ["n"])], "b", [], [helper.make_tensor_value_info("n", 1, (1, WIDTH))]
    )
    node = next(node for node in model.graph.node if node.op_type == "Tanh")
    node.op_type = "If"
    node.input[0] = "flag"
    node.attribute.extend([helper.make_attribute("then_branch", body), helper.make_attribute("else_branch", body)])
    model.graph.node.insert(3, helper.make_node("Greater", ["highest", "one"], ["flag"]))
    model.graph.node.insert(3, helper.make_node("ReduceMax", ["x"], ["highest"], keepdims=0))
    model.graph.initializer.append(helper.make_tensor("one", TensorProto.FLOAT, (), [1.0]))


def _foreign(model):
    model.graph.node[3].domain = "some.vendor"
    model.opset_import.add(domain="some.vendor", version=1)


def _elsewhere(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")


def _precompiled(model):
    model.graph.node[3].op_type, model.graph.node[3].domain = "EPContext", "com.microsoft"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_nested, "is an If, and its condition depends on x"),
        (_foreign, "some.vendor"),
        (_precompiled, "EPContext"),
        (_elsewhere, "lies in another file"),
        (_elsewhere, "torch.onnx.export(..., external_data=False)"),
    ],
)
def test_control_flow_vendors_operators_and_other_files_are_never_run(tmp_path, edit, words):
    model = opened(write(tmp_path, edit=edit))
    with refused() as caught:
        model.load(RunSpec())
    assert words in str(caught.value)
    assert set(DOMAINS) == {"", "com.microsoft"}


def _attribute(model):
    model.graph.node[3].attribute.append(helper.make_attribute("alpha", 1.0))  # Tanh has none


def _type(model):
    model.graph.node[3].op_type = "Bernoully"


@pytest.mark.parametrize(("edit", "words"), [(_attribute, "alpha"), (_type, "Bernoully")])
def test_what_the_checker_or_the_runtime_refuses_is_refused_in_one_line(tmp_path, edit, words):
    model = opened(write(tmp_path, edit=edit))
    with refused() as caught:
        model.load(RunSpec())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_graph_that_asks_for_endless_memory_or_time_decides_nothing(tmp_path, monkeypatch):
    bomb = "huge = ConstantOfShape(size) total = ReduceSum <keepdims = 0> (huge) more = Add(x, total) "
    path = write(tmp_path, bomb + CELL.replace("MatMul(x", "MatMul(more"), constants={"size": np.array([1 << 36])})
    with refused(OutOfMemory):
        opened(path).load(RunSpec())
    slow = "z0 = ConstantOfShape(size) " + " ".join(f"z{i + 1} = MatMul(z{i}, z{i})" for i in range(40))
    slow += " total = ReduceSum <keepdims = 0> (z40) more = Add(x, total) "
    path = write(
        tmp_path,
        slow + CELL.replace("MatMul(x", "MatMul(more"),
        name="slow",
        constants={"size": np.array([3000, 3000])},
    )
    monkeypatch.setattr(onnx_trial, "_SECONDS", 3)
    with refused(OutOfTime):
        opened(path, optimization="off").load(RunSpec())


def test_a_model_cannot_choose_its_own_session_options(tmp_path, monkeypatch):
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    broken = {"ort_config": '{"session_options": {"graph_optimization_level": 12345}}'}
    recursion = stepper(write(tmp_path, metadata=broken))
    assert len(states(recursion, frames(), 1)) == 1
    assert os.environ["ORT_LOAD_CONFIG_FROM_MODEL"] == "1"


# ---------------------------------------------------------------- probes of frames


def test_frames_are_told_apart_by_their_values_and_their_shape():
    probes = frames(count=3, steps=4)
    check_probes(probes)
    other = make_probes(probes.inputs.reshape(3, 2, 8), None, source="tests")
    zero = make_probes(np.where(probes.inputs < 0, -0.0, probes.inputs).astype(np.float32), None, source="tests")
    plus = make_probes(np.where(probes.inputs < 0, 0.0, probes.inputs).astype(np.float32), None, source="tests")
    assert len({probes.digest, other.digest, zero.digest}) == 3
    assert zero.digest == plus.digest
    assert take(probes, 1, 3).digest == make_probes(probes.inputs[1:], None, source="x").digest
    assert probes.rows(0, 2).frames


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.__setitem__((1, 2), np.nan), "row 1, frame 2 is not finite"),
        (lambda values: values.__setitem__(2, values[0]), "row 2 repeat earlier probes"),
        (lambda values: values.__setitem__(1, 0.5), "row 1: every value of a probe is the same"),
    ],
)
def test_frames_that_say_nothing_are_refused(change, words):
    values = frames(count=3).inputs.copy()
    change(values)
    with refused(InputsRefused) as caught:
        check_probes(make_probes(values, None, source="tests"))
    assert words in str(caught.value)


def test_frames_have_neither_a_vocabulary_nor_labels():
    with refused(InputsRefused):
        check_probes(frames(), vocab=5)
    labels = np.ones((3, 2), np.int32)
    with refused(InputsRefused) as caught:
        check_probes(make_probes(frames().inputs, labels, source="tests"))
    assert "labels: speaks about tokens" in str(caught.value)


def test_a_torch_family_refuses_frames_in_one_line():
    recursion = open_model(ModelSpec("reference", str(entry("trm-attention-sudoku").weights))).load(RunSpec())
    with refused(InputsRefused) as caught:
        states(recursion, frames(), depth=Depth(2, 2, 2))
    assert "probes are frames, the model takes tokens" in str(caught.value)
