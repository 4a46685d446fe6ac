"""Pairing state outputs with state inputs: by declaration, by name, rarely by shape, and never by guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.states import pair_states
from fidelity_gate.records import GraphValue, StatePair


def value(name, shape=(1, 4, 8), dtype="float32"):
    return GraphValue(name, dtype, shape)


def paired(inputs, outputs, declared=None):
    states, doubts = pair_states(tuple(inputs), tuple(outputs), declared, "step.onnx")
    return {pair.input: pair.output for pair in states}, doubts


def values(names):
    return [value(name) for name in names.split()]


NAMES = [
    ("h", "h_out", {"h": "h_out"}),
    ("state", "stateN", {"state": "stateN"}),
    ("h", "hn", {"h": "hn"}),
    ("h0 c0", "hn cn", {"h0": "hn", "c0": "cn"}),
    ("past_k past_v", "present_k present_v", {"past_k": "present_k", "past_v": "present_v"}),
    ("past_key_values.0.key", "present.0.key", {"past_key_values.0.key": "present.0.key"}),
    ("in_z", "out_z", {"in_z": "out_z"}),
    ("z_in", "z_out", {"z_in": "z_out"}),
    ("x", "x.1", {"x": "x.1"}),
    ("z_H z_L", "z_H_out z_L_out", {"z_H": "z_H_out", "z_L": "z_L_out"}),
    ("z_prev", "z_next", {"z_prev": "z_next"}),
    ("h0 h1", "h0_out h1_out", {"h0": "h0_out", "h1": "h1_out"}),
    ("z", "z", {"z": "z"}),
]


@pytest.mark.parametrize(("inputs", "outputs", "expected"), NAMES)
def test_names_of_one_stem_are_a_state(inputs, outputs, expected):
    found, doubts = paired([*values(inputs), value("tokens", (1, 4), "int64")], [*values(outputs), value("logits")])
    assert found == expected
    assert doubts == ()


def test_the_order_is_that_of_the_inputs():
    states, _ = pair_states(tuple(values("z_L z_H")), tuple(values("z_H_out z_L_out")))
    assert [pair.input for pair in states] == ["z_L", "z_H"]


@pytest.mark.parametrize(
    "other", [value("h_out", (1, 4, 9)), value("h_out", (4, 8)), value("h_out", dtype="float16"), value("h_out", None)]
)
def test_one_name_with_another_type_or_shape_is_no_state_and_is_said(other):
    found, doubts = paired([value("h")], [other])
    assert not found
    assert "cannot be fed back: h float32 1x4x8 and h_out" in doubts[0]


def test_sizes_that_are_not_known_may_be_equal():
    found, _ = paired([value("h", ("batch", 4, 8))], [value("h_out", ("n", 4, None))])
    assert found == {"h": "h_out"}


def test_rivals_are_not_paired_and_are_said():
    found, doubts = paired(values("h"), values("h_out h_next"))
    assert not found
    assert doubts == ("could be states in more than one way: h and h_out, h and h_next",)


def test_a_stronger_name_wins_over_a_weaker_one():
    assert paired(values("h"), values("hn h_out"))[0] == {"h": "h_out"}


def test_without_names_one_float_of_one_shape_is_taken_and_that_is_said():
    found, doubts = paired([value("a"), value("tokens", (1, 4), "int64")], [value("b"), value("c", (1, 4, 3))])
    assert found == {"a": "b"}
    assert doubts == ("a is taken to be fed by b, by type and shape alone",)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([value("tokens", (1, 4), "int64")], [value("answers", (1, 4), "int64")]),
        ([value("one_hot")], [value("logits")]),
        ([value("one_hot")], [value("probabilities")]),
        ([value("a"), value("b")], [value("c")]),
        ([value("a")], [value("c"), value("d")]),
        ([value("a", (8,))], [value("b", (8,))]),
        ([value("a", ("n", 4, 8))], [value("b", (1, 4, 8))]),
    ],
)
def test_tokens_logits_and_whatever_has_a_rival_are_never_paired_by_shape(inputs, outputs):
    assert not paired(inputs, outputs)[0]


def test_where_names_pair_some_states_shapes_pair_no_others():
    found, doubts = paired(values("h x"), values("h_out y"))
    assert found == {"h": "h_out"}
    assert doubts == ("x and y look alike, and neither their names nor the policy pair them",)


def test_a_declared_pair_holds_whatever_its_names_are():
    found, doubts = paired(values("a b"), values("c d"), {"a": "d"})
    assert found == {"a": "d"}
    assert doubts == ("b and c look alike, and neither their names nor the policy pair them",)


def test_a_declared_pair_that_cannot_be_fed_back_holds_and_is_said():
    found, doubts = paired([value("a")], [value("b", dtype="float16")], {"a": "b"})
    assert found == {"a": "b"}
    assert "cannot be fed back" in doubts[0]


def test_an_input_can_be_declared_to_be_no_state():
    assert paired(values("h x"), values("h_out x_out"), {"x": None})[0] == {"h": "h_out"}


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"z_h": "z_H_out"}, r"no input 'z_h' \(did you mean z_L or z_H"),
        ({"z_H": "z_H_ou"}, r"no output 'z_H_ou' \(did you mean z_H_out"),
        ({"z_H": "z_L_out", "z_L": "z_L_out"}, "declared for two inputs"),
    ],
)
def test_a_declared_pair_that_is_not_there_is_refused_with_a_near_name(declared, words):
    with pytest.raises(ModelRefused, match=words) as caught:
        paired(values("z_H z_L"), values("z_H_out z_L_out"), declared)
    assert caught.value.field.startswith("state.z_")


names = st.sampled_from(["h", "h0", "h_in", "h_out", "hn", "h1", "x", "x_out", "xn", "logits", "past_h", "present_h"])
some = st.lists(
    st.builds(value, names, st.sampled_from([(1, 2), ("n", 2), None]), st.sampled_from(["float32", "int64"])),
    unique_by=lambda item: item.name,
)


@given(some, some)
def test_no_input_and_no_output_is_in_two_pairs_and_all_pairs_could_be_fed_back(inputs, outputs):
    states, _ = pair_states(tuple(inputs), tuple(outputs))
    types = {item.name: item.dtype for item in inputs}, {item.name: item.dtype for item in outputs}
    assert len({pair.input for pair in states}) == len({pair.output for pair in states}) == len(states)
    assert all(types[0][pair.input] == types[1][pair.output] for pair in states)
    assert all("logits" not in pair.output for pair in states if pair.input != "logits")


def test_an_input_is_said_to_be_no_state_by_the_word_none():
    values = [GraphValue(name, "float32", (1, 4)) for name in ("h", "x")]
    outputs = (GraphValue("h_out", "float32", (1, 4)), GraphValue("x_out", "float32", (1, 4)))
    pairs, _ = pair_states(tuple(values), outputs, {"x": "none"}, "g.onnx")
    assert pairs == (StatePair("h", "h_out"),)
