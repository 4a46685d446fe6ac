from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fakes import DEPTH, some_facts

from fidelity_gate import registry
from fidelity_gate.analysis.footprint import footprint
from fidelity_gate.errors import NotMeasured, PolicyError
from fidelity_gate.records import Compute, Direction, Evidence, Linted, ModelRecord, Probes, Role, StepState, TensorFact
from fidelity_gate.tracing.pairs import AlignedPair, Side

B, L, D, V = 3, 4, 5, 6
RNG = np.random.default_rng(3)


def probes(labels=None, inputs=None, **changes):
    inputs = np.zeros((B, L), np.int32) if inputs is None else np.asarray(inputs, np.int32)
    labels = None if labels is None else np.asarray(labels, np.int32)
    return Probes(inputs, labels, np.zeros(len(inputs), np.int32), "e" * 64, "test", **changes)


def logits_for(answers):
    return np.eye(V, dtype=np.float32)[np.asarray(answers)]


def states(count, seed=0, **heads):
    rng = np.random.default_rng(seed)
    return [StepState({name: rng.normal(size=(B, L, D)) for name in ("z_H", "z_L")}, **heads) for _ in range(count)]


def pairs(references, candidates, batch=None, first_probe=0):
    """The pairs that a trace of these states shows, one batch."""
    ours = theirs = None
    count, other = len(references), len(candidates)
    for step in range(1, max(count, other) + 1):
        ours = Side(references[step - 1], step, ours) if step <= count else ours
        theirs = Side(candidates[step - 1], step, theirs) if step <= other else theirs
        last = step == max(count, other)
        if last or step <= min(count, other):
            yield AlignedPair(ours, theirs, batch or probes(), first_probe, last=last)


def measure(metric, references, candidates, batch=None, **options):
    accumulator = registry.build("metrics", metric, options.items()).accumulator(DEPTH)
    for pair in pairs(references, candidates, batch):
        accumulator.observe(pair)
    return accumulator.finish()


def cosine(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


# ---------------------------------------------------------------- carry_fidelity and step_fidelity


def test_carry_fidelity_is_the_mean_token_cosine_at_the_last_step():
    ours, theirs = states(3, 1), states(3, 2)
    expected = cosine(ours[2].carry["z_H"], theirs[2].carry["z_H"])
    found = measure("carry_fidelity", ours, theirs)
    assert np.allclose(found.values, expected.mean(axis=1), atol=1e-15)
    assert [point.step for point in found.curve] == [1, 2, 3]
    assert found.curve[2].mean == pytest.approx(expected.mean())
    assert found.curve[2].worst == pytest.approx(expected.mean(axis=1).min())
    assert found.detail == "stream z_H"
    worst = measure("carry_fidelity", ours, theirs, tokens="worst")
    assert np.allclose(worst.values, expected.min(axis=1), atol=1e-15)


def test_streams_are_chosen_by_name_by_order_or_all_of_them():
    ours, theirs = states(2, 1), states(2, 2)
    high, low = (np.array(measure("carry_fidelity", ours, theirs, stream=name).values) for name in ("z_H", "z_L"))
    assert (high != low).all()
    assert measure("carry_fidelity", ours, theirs, stream="first").values == tuple(high)
    assert measure("carry_fidelity", ours, theirs, stream="all").values == tuple(np.minimum(high, low))
    with pytest.raises(PolicyError, match="no stream 'z_X'"):
        measure("carry_fidelity", ours, theirs, stream="z_X")


def test_a_step_or_each_probes_worst_step_can_be_asked_for():
    ours, theirs = states(4, 1), states(4, 2)
    every = np.array([cosine(a.carry["z_H"], b.carry["z_H"]).mean(axis=1) for a, b in zip(ours, theirs, strict=True)])
    assert np.allclose(measure("carry_fidelity", ours, theirs, at=2).values, every[1])
    assert np.allclose(measure("carry_fidelity", ours, theirs, at="worst").values, every.min(axis=0))
    assert np.allclose(measure("step_fidelity", ours, theirs).values, every.mean(axis=0))
    with pytest.raises(NotMeasured, match=r"nothing to compare at step 5 .* 1 to 4"):
        measure("carry_fidelity", ours, theirs, at=5)


def test_the_worst_of_all_steps_counts_last_states_that_are_not_aligned():
    ours = states(1, 1) * 2
    theirs = [ours[0], ours[0], replace(ours[0], carry={name: -each for name, each in ours[0].carry.items()})]
    assert measure("carry_fidelity", ours, theirs, at="worst").values == (-1.0,) * B
    assert len(measure("carry_fidelity", ours, theirs, at="worst").curve) == 2


@pytest.mark.parametrize("metric", ["carry_fidelity", "step_fidelity", "carry_norm_ratio", "answer_agreement"])
def test_no_step_comes_before_the_first(metric):
    with pytest.raises(PolicyError, match="there is no step 0"):
        registry.build("metrics", metric, [("at", 0)])


def test_an_accumulator_that_saw_nothing_has_not_measured():
    with pytest.raises(NotMeasured):
        registry.build("metrics", "carry_fidelity", ()).accumulator(DEPTH).finish()


# ---------------------------------------------------------------- norms and ranges


def scaled(state, factors):
    factors = np.reshape(factors, (-1, 1, 1))
    return replace(state, carry={name: each * factors for name, each in state.carry.items()})


def test_the_norm_ratio_sees_what_cosines_cannot():
    ours = states(2, 1)
    theirs = [ours[0], scaled(ours[1], [1, 10, 0.5])]
    assert np.allclose(measure("carry_fidelity", ours, theirs).values, 1.0)
    assert np.allclose(measure("carry_norm_ratio", ours, theirs).values, [1, 10, 0.5])


def test_the_worst_norm_ratio_is_the_one_furthest_from_one_by_factor():
    ours = states(3, 1)
    theirs = [scaled(ours[0], [0.25, 1.1, 0]), scaled(ours[1], [3, 0.95, 2]), ours[2]]
    assert np.allclose(measure("carry_norm_ratio", ours, theirs, at="worst").values, [0.25, 1.1, 0])
    both = measure("carry_norm_ratio", ours, theirs, at=1)
    assert both.curve[0].worst == 0.0
    assert measure("carry_norm_ratio", ours, theirs, stream="all").values == pytest.approx((1.0,) * B)


def test_the_range_is_the_largest_value_over_all_steps():
    ours = [scaled(states(1, 1)[0], [1, 1, 1]), scaled(states(1, 1)[0], [2, 2, 2])]
    theirs = [scaled(ours[0], [1, 1, 8]), scaled(ours[0], [4, 1, 1])]
    assert np.allclose(measure("carry_range", ours, theirs).values, [2, 0.5, 4])
    assert np.allclose(measure("carry_range", ours, theirs, against="first-step").values, [4, 1, 1])
    told = measure("carry_range", ours, theirs).detail
    assert told.startswith("largest |z_H| by step, candidate/reference: 1: ")
    curve = measure("carry_range", ours, theirs).curve
    assert [point.worst for point in curve] == pytest.approx([8, 2])


def test_a_range_over_a_first_step_of_zeros_is_not_measured():
    ours = states(2, 1)
    with pytest.raises(NotMeasured, match="all zero after step 1 for probe 2"):
        measure("carry_range", ours, [scaled(ours[0], [1, 1, 0]), ours[1]], against="first-step")


def test_a_long_range_is_told_at_eight_steps():
    ours = states(40, 1)
    told = measure("carry_range", ours, ours).detail
    assert told.count("/") == 9
    assert "  40: " in told


# ---------------------------------------------------------------- consecutive_similarity


def test_consecutive_similarity_is_of_the_candidate_alone():
    ours, theirs = states(3, 1), states(3, 2)
    carries = [state.carry["z_H"] for state in theirs]
    every = np.array([cosine(a, b).mean(axis=1) for a, b in pairwise(carries)])
    found = measure("consecutive_similarity", ours, theirs)
    assert np.allclose(found.values, every.mean(axis=0))
    assert [point.step for point in found.curve] == [2, 3]
    assert "reference" in found.detail
    assert np.allclose(measure("consecutive_similarity", ours, theirs, at="last").values, every[-1])
    assert measure("consecutive_similarity", states(3, 7), theirs).values == found.values


def test_consecutive_similarity_needs_two_steps():
    with pytest.raises(NotMeasured, match="two consecutive steps"):
        measure("consecutive_similarity", states(1, 1), states(1, 2))


# ---------------------------------------------------------------- answers


RIGHT = [[1, 2, 3, 4], [1, 1, 1, 1], [5, 4, 3, 2]]
CLOSE = [[1, 2, 3, 4], [1, 1, 1, 2], [0, 0, 0, 0]]


def answering(answers, **heads):
    return [replace(state, logits=logits_for(answers), **heads) for state in states(2, 1)]


def test_answers_agree_by_cell_or_by_whole_puzzle():
    ours, theirs = answering(RIGHT), answering(CLOSE)
    assert measure("answer_agreement", ours, theirs).values == (1.0, 0.75, 0.0)
    assert measure("answer_agreement", ours, theirs, level="puzzle").values == (1.0, 0.0, 0.0)
    sliced = probes(answer_slice=(0, 3))
    assert measure("answer_agreement", ours, theirs, sliced).values == (1.0, 1.0, 0.0)


def test_answers_at_every_step_can_be_averaged():
    ours, theirs = answering(RIGHT), [*answering(RIGHT)[:1], *answering(CLOSE)[1:]]
    assert measure("answer_agreement", ours, theirs, at="mean").values == (1.0, 0.875, 0.5)
    assert measure("answer_agreement", ours, theirs, at="mean", level="puzzle").values == (1.0, 0.5, 0.5)


def test_cells_whose_label_is_ignored_are_no_answers_to_agree_on():
    ours, theirs = answering(RIGHT), answering(CLOSE)
    ignoring = probes([[1, 2, 3, 4], [1, 1, 1, -100], [1, 1, 1, -100]])  # the only cells in which the second differs
    assert measure("answer_agreement", ours, theirs, ignoring).values == (1.0, 1.0, 0.0)
    assert measure("answer_agreement", ours, theirs, ignoring, level="puzzle").values == (1.0, 1.0, 0.0)


def test_logits_after_the_last_step_alone_are_enough():
    def late(answers):
        return [replace(each, logits=None) for each in states(2, 1)] + answering(answers)[:1]

    batch = probes(RIGHT)
    for metric in ("answer_agreement", "cell_accuracy", "cell_accuracy_drop"):
        found = measure(metric, late(RIGHT), late(CLOSE), batch)
        assert found.values == measure(metric, answering(RIGHT), answering(CLOSE), batch).values
        assert [point.step for point in found.curve] == [3]
    shallower = [*late(CLOSE)[1:]]
    assert measure("answer_agreement", late(RIGHT), shallower, batch).values == (1.0, 0.75, 0.0)
    with pytest.raises(NotMeasured, match="nothing to compare at step 1"):
        measure("answer_agreement", late(RIGHT), late(CLOSE), batch, at=1)


def test_answers_need_logits_that_reach_the_answer():
    with pytest.raises(NotMeasured, match="no logits"):
        measure("answer_agreement", states(2, 1), states(2, 1))
    with pytest.raises(NotMeasured, match="tokens 2 to 6"):
        measure("answer_agreement", answering(RIGHT), answering(RIGHT), probes(answer_slice=(2, 7)))


def test_halting_agrees_where_both_halt_or_neither_does():
    def halting(*decisions):
        return [
            replace(s, halt=np.array([[d, 0.0] for d in each])) for s, each in zip(states(2, 1), decisions, strict=True)
        ]

    ours, theirs = halting([1, 1, -1], [1, -1, -1]), halting([2, -1, -3], [1, -1, 1])
    found = measure("halt_agreement", ours, theirs)
    assert found.values == (1.0, 0.5, 0.5)
    assert measure("halt_agreement", ours, theirs, at="last").values == (1.0, 1.0, 0.0)
    unsure = [replace(state, halt=np.array([[-1.0, -5.0]] * B)) for state in ours]  # above an untrained logit, below 0
    assert measure("halt_agreement", ours, unsure, at="last").values == (0.0, 1.0, 1.0)
    assert measure("halt_agreement", ours, unsure, at="last", rule="above-continue").values == (1.0, 0.0, 0.0)
    with pytest.raises(NotMeasured, match="no halting head"):
        measure("halt_agreement", states(2, 1), states(2, 1))


def test_accuracy_counts_labelled_cells_only():
    labels = [[1, 2, 3, 4], [1, 1, 1, -100], [-100, -100, 3, 2]]
    ours, theirs = answering(RIGHT), answering(CLOSE)
    batch = probes(labels, inputs=[[1, 2, 0, 0], [1, 1, 0, 0], [0, 0, 3, 0]])
    assert measure("cell_accuracy", ours, theirs, batch).values == (1.0, 1.0, 0.0)
    assert measure("puzzle_exact", ours, theirs, batch).values == (1.0, 1.0, 0.0)
    assert measure("cell_accuracy_drop", ours, theirs, batch).values == (0.0, 0.0, 1.0)
    assert measure("puzzle_exact_drop", ours, theirs, batch).values == (0.0, 0.0, 1.0)
    assert measure("puzzle_exact_drop", theirs, ours, batch).values == (0.0, 0.0, -1.0)
    told = measure("cell_accuracy", ours, theirs, batch).detail
    assert told == "candidate 0.6667, reference 1.0000, copying the input 0.5556 (means)"


@pytest.mark.parametrize("metric", ["puzzle_exact_drop", "cell_accuracy_drop"])
def test_of_a_reference_that_gets_nothing_right_nothing_is_lost_and_no_drop_passes(metric):
    ours, collapsed = answering(RIGHT), answering(CLOSE)
    wrong = probes([[(cell + 1) % V for cell in row] for row in RIGHT], inputs=RIGHT)
    with pytest.raises(NotMeasured, match="gets nothing right on these probes"):
        measure(metric, ours, collapsed, wrong)


def test_of_a_reference_that_is_worse_than_copying_the_input_no_drop_passes():
    labels = [[1, 2, 3, 4], [1, 1, 1, 1], [2, 2, 3, 2]]
    mostly_right = probes(labels, inputs=[labels[0], labels[1], [*labels[2][:3], 3]])
    with pytest.raises(NotMeasured, match=r"the reference \(0\.\d+\) is worse than copying the input \(0\.9167\)"):
        measure("cell_accuracy_drop", answering(CLOSE), answering(RIGHT), mostly_right)


def test_changed_cells_are_those_whose_label_is_not_the_input():
    labels = [[1, 2, 3, 4], [1, 1, 1, 1], [5, 4, 3, 2]]
    batch = probes(labels, inputs=[[1, 2, 0, 0], [1, 1, 1, 0], [5, 4, 3, 0]])
    found = measure("changed_cell_accuracy", answering(RIGHT), answering(CLOSE), batch)
    assert found.values == (1.0, 0.0, 0.0)
    assert "copying the input 0.0000" in found.detail


def test_accuracy_needs_labels_that_line_up_and_count():
    ours = answering(RIGHT)
    with pytest.raises(NotMeasured, match="no labels"):
        measure("cell_accuracy", ours, ours)
    with pytest.raises(NotMeasured, match="no logits"):
        measure("cell_accuracy", states(2, 1), states(2, 1), probes(RIGHT))
    with pytest.raises(NotMeasured, match="decodes 4 cells a probe, and there are 2 labels"):
        measure("cell_accuracy", ours, ours, probes([[1, 2]] * B))
    with pytest.raises(NotMeasured, match="probe 1 has no cell with a label"):
        measure("puzzle_exact", ours, ours, probes([[1, 2, 3, 4], [-100] * 4, [1] * 4]))
    with pytest.raises(NotMeasured, match="probe 0 has no cell that its answer changes"):
        measure("changed_cell_accuracy", ours, ours, probes([[0] * 4] * B))


def test_labels_of_a_span_are_compared_with_that_span():
    batch = probes([[4], [1], [2]], answer_slice=(3, 4))
    assert measure("puzzle_exact", answering(RIGHT), answering(CLOSE), batch).values == (1.0, 0.0, 0.0)


# ---------------------------------------------------------------- files


def record(name, **facts):
    found = some_facts(name, **facts)
    compute = Compute(1e6, 3e6, 12e6, DEPTH, "closed form")
    return ModelRecord(name, found, DEPTH, footprint(found), linted=Linted(checked=("FG101",)), compute=compute)


def of_files(metric, candidate, reference=None, **options):
    plug = registry.build("metrics", metric, options.items())
    return plug.measure(reference or record("reference"), candidate)


def test_file_metrics_are_of_the_candidate():
    int8 = record("int8", bits=8.0)
    assert of_files("sram_peak", int8).values == (float(int8.footprint.streaming),)
    assert of_files("sram_peak", int8, scenario="full_load").values == (float(int8.footprint.full_load),)
    assert of_files("sram_peak", int8, scenario="host_compressed").values == (float(int8.footprint.host_compressed),)
    assert of_files("model_size", int8).values == (float(int8.facts.size_bytes),)
    assert "of the reference's" in of_files("model_size", int8).detail


def test_the_compressed_share_is_weighted_by_values_and_by_block_weights_only():
    block = Role.BLOCK
    tensors = (
        TensorFact("a", block, (10, 10), "int4", 4.0, 50),
        TensorFact("b", block, (30, 10), "bfloat16", 16.0, 600),
        TensorFact("c", Role.EMBEDDING, (1000,), "int8", 8.0, 1000),
    )
    assert of_files("compressed_share", record("x", tensors=tensors)).values == (0.25,)
    assert of_files("compressed_share", record("x")).values == (0.0,)
    with pytest.raises(NotMeasured, match="recursive block"):
        of_files("compressed_share", record("x", tensors=tensors[2:]))


def test_a_file_that_says_too_little_is_not_measured():
    with pytest.raises(NotMeasured, match="geometry"):
        of_files("sram_peak", record("x", geometry=None))
    with pytest.raises(NotMeasured, match="weighed"):
        of_files("model_size", record("x", size_bytes=0))


# ---------------------------------------------------------------- every metric


def test_identical_models_have_the_best_value_of_every_comparison():
    ours = answering(RIGHT, halt=np.ones((B, 2)))
    batch = probes(RIGHT)
    best = {Direction.HIGHER: 1.0, Direction.LOWER: 0.0, Direction.BOTH: 1.0}
    for name in sorted(registry.table_of("metrics")):
        plug = registry.build("metrics", name, ())
        if hasattr(plug, "measure") or hasattr(plug, "measured") or name == "consecutive_similarity":
            continue
        assert set(measure(name, ours, ours, batch).values) == {best[plug.direction]}, name


def test_every_value_lies_within_the_stated_limits():
    ours, theirs = (
        [replace(s, logits=RNG.normal(size=(B, L, V)), halt=RNG.normal(size=(B, 2))) for s in states(4, seed)]
        for seed in (1, 2)
    )
    batch = probes(ours[-1].logits.argmax(axis=-1).tolist())  # a reference that gets something right: it can be lost
    for name in sorted(registry.table_of("metrics")):
        plug = registry.find("metrics", name)
        if plug.evidence not in (Evidence.FREE, Evidence.FORCED, Evidence.FILE):
            continue  # what a device says has tests of its own
        plug = registry.build("metrics", name, ())
        found = (
            of_files(name, record("x", bits=8.0)) if hasattr(plug, "measure") else measure(name, ours, theirs, batch)
        )
        low, high = plug.limits
        assert all((low is None or value >= low) and (high is None or value <= high) for value in found.values), name
        assert len(found.values) == (B if plug.per_probe else 1), name
