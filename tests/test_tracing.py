import gc
import weakref
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fakes import (
    DEPTH,
    FakeRecursion,
    Recorded,
    Unsteady,
    blind,
    frozen,
    nan_at,
    one_token_flipped,
    renamed,
    scaled,
    some_probes,
    without,
    zero_carry,
)

from fidelity_gate.errors import ModelRefused, NotMeasured, Undecided
from fidelity_gate.metrics.carry_fidelity import CarryFidelity
from fidelity_gate.metrics.step_fidelity import StepFidelity
from fidelity_gate.records import Depth, Measured, StepState
from fidelity_gate.tracing.lockstep import Entrant, Plan, trace, walk

PROBES = some_probes()


@dataclass
class Seen:
    """An accumulator that notes what it is shown."""

    pairs: list = field(default_factory=list)
    refuses: str = ""

    def observe(self, pair):
        if self.refuses:
            raise NotMeasured(self.refuses)
        self.pairs.append((pair.first_probe, pair.step, pair.reference.state, pair.candidate.state, pair))

    def finish(self):
        return Measured((float(len(self.pairs)),))

    def steps(self, first_probe=0):
        shown = [entry[4] for entry in self.pairs if entry[0] == first_probe]
        return [(pair.reference.step, pair.candidate.step, pair.aligned, pair.last) for pair in shown]


def fidelity(**options):
    return CarryFidelity(**options).accumulator(DEPTH)


def run(candidate, *, free=(), forced=(), reference=None, probes=PROBES, **settings):
    """Trace one candidate and return what came of it."""
    depths = {"depth": settings.pop("depth", DEPTH), "reference_depth": settings.pop("reference_depth", DEPTH)}
    lead = Entrant("reference", reference or FakeRecursion(), depths["reference_depth"])
    perturbation = settings.pop("perturbation", 0.0)
    entrant = Entrant("int4", candidate, depths["depth"], tuple(free), tuple(forced), perturbation)
    plan = Plan(**{"batch": 16, **settings})
    return trace(lead, (entrant,), probes, plan, Recorded())[0]


# ---------------------------------------------------------------- lockstep


def test_every_accumulator_sees_every_aligned_pair_once_and_in_order():
    seen = Seen()
    run(FakeRecursion(error=0.1), free=[seen])
    assert [(row, step) for row, step, *_ in seen.pairs] == [(r, s) for r in (0, 16, 32) for s in range(1, 7)]
    assert [pair.last for *_, pair in seen.pairs] == [False] * 5 + [True] + [False] * 5 + [True] + [False] * 5 + [True]
    assert all(len(pair.batch) == len(pair.candidate.state.carry["z_H"]) for *_, pair in seen.pairs)


def test_all_candidates_share_one_pass_of_the_reference():
    reference = FakeRecursion()
    rivals = tuple(
        Entrant(name, FakeRecursion(error=error), DEPTH, (fidelity(),)) for name, error in (("a", 0.0), ("b", 0.1))
    )
    plan = Plan(batch=40, repeat=False)
    same, worse = trace(Entrant("reference", reference, DEPTH), rivals, PROBES, plan, Recorded())
    assert reference.runs == 1
    assert set(same.free[0].measured.values) == {1.0}
    assert max(worse.free[0].measured.values) < 1.0


def test_a_candidate_among_others_has_the_figures_it_has_alone():
    alone = run(FakeRecursion(error=0.1), free=[fidelity()])
    rivals = tuple(Entrant(f"{e}", FakeRecursion(error=e), DEPTH, (fidelity(),)) for e in (0.05, 0.1, 0.2))
    among = trace(Entrant("reference", FakeRecursion(), DEPTH), rivals, PROBES, Plan(batch=16), Recorded())[1]
    assert among.free == alone.free


def test_splitting_batches_differently_changes_nothing_but_rounding():
    coarse, fine = (run(FakeRecursion(error=0.1), free=[fidelity()], batch=batch).free[0].measured for batch in (40, 7))
    assert np.allclose(coarse.values, fine.values, atol=1e-6)
    assert len(fine.values) == len(PROBES)


def test_two_identical_runs_give_identical_numbers():
    first, second = (run(FakeRecursion(error=0.2), free=[fidelity(at="worst")], perturbation=1e-6) for _ in range(2))
    assert first == second


def test_no_state_outlives_its_successor():
    alive: list[weakref.ref] = []
    most = 0

    def watch(state, step):
        nonlocal most
        carry = {name: each.copy() for name, each in state.carry.items()}
        alive.append(weakref.ref(carry["z_H"]))
        most = max(most, sum(reference() is not None for reference in alive))
        return replace(state, carry=carry)

    deep = replace(DEPTH, steps=30)
    settings = {"depth": deep, "reference_depth": deep, "repeat": False}
    gc.disable()  # nothing may hang on a cycle until the collector comes by
    try:
        forced = StepFidelity().accumulator(deep)
        run(FakeRecursion(error=0.1, warp=watch), free=[fidelity()], forced=[forced], **settings)
    finally:
        gc.enable()
    assert len(alive) == 2 * 30 * 3
    assert most <= 6  # now and before, free and forced, and the one a generator still holds


def test_progress_counts_every_step_of_every_batch_and_ends():
    progress = Recorded()
    rivals = (Entrant("a", FakeRecursion(error=0.1), DEPTH),)
    trace(Entrant("reference", FakeRecursion(), DEPTH), rivals, PROBES, Plan(batch=16), progress)
    assert progress.told[0] == ("start", "stepping", 18)
    assert progress.told.count(("advance", 1)) == 18
    assert progress.told[-1] == ("done",)


def test_progress_ends_after_an_error_too():
    progress = Recorded()
    with pytest.raises(ModelRefused):
        trace(Entrant("reference", FakeRecursion(warp=zero_carry), DEPTH), (), PROBES, Plan(), progress)
    assert progress.told[-1] == ("done",)


# ---------------------------------------------------------------- depth


def test_a_shallower_candidate_is_aligned_by_step_and_its_last_state_against_the_last():
    seen = Seen()
    run(FakeRecursion(error=0.1), free=[seen], depth=replace(DEPTH, steps=4))
    assert seen.steps() == [(s, s, True, False) for s in (1, 2, 3, 4)] + [(6, 4, False, True)]


def test_a_deeper_candidate_is_aligned_the_same_way():
    seen = Seen()
    run(FakeRecursion(error=0.1), free=[seen], depth=replace(DEPTH, steps=8))
    assert seen.steps() == [(s, s, True, False) for s in range(1, 7)] + [(6, 8, False, True)]


def test_unaligned_last_states_are_in_the_values_and_not_in_the_curve():
    traced = run(FakeRecursion(), free=[fidelity()], depth=replace(DEPTH, steps=4))
    measured = traced.free[0].measured
    assert [point.step for point in measured.curve] == [1, 2, 3, 4]
    assert all(point.mean == 1.0 for point in measured.curve)
    assert max(measured.values) < 1.0


@pytest.mark.parametrize(("extra", "words"), [(-2, "stops after 4 steps, and its depth has 6"), (1, "more than the 6")])
@pytest.mark.parametrize("who", ["reference", "int4"])
def test_a_model_that_makes_other_steps_than_declared_is_refused_with_both_numbers(extra, words, who):
    wrong, good = FakeRecursion(extra_steps=extra), FakeRecursion()
    models = {"reference": wrong, "candidate": good} if who == "reference" else {"candidate": wrong, "reference": good}
    with pytest.raises(ModelRefused, match=words) as caught:
        run(**models)
    assert caught.value.field == who


# ---------------------------------------------------------------- what is compared


@pytest.mark.parametrize(
    ("candidate", "field", "words"),
    [
        (FakeRecursion(warp=without("z_L")), "int4", "yields the streams z_H"),
        (FakeRecursion(warp=renamed), "int4", "z_H_out, z_L_out"),
        (FakeRecursion(streams=("z_H",)), "int4", "has the streams z_H"),
        (FakeRecursion(streams=("z_H", "z_l")), "int4", "z_l"),
        (FakeRecursion(streams=("z_H", "z_l")), "int4", "by model: {map: {REFERENCE: GRAPH}}"),
        (FakeRecursion(width=8), "int4.z_H", "has shape"),
        (FakeRecursion(dtype="float64"), "int4.z_H", "is float64, the reference's is float32"),
        (FakeRecursion(vocab=7), "int4.logits", "has shape"),
        (FakeRecursion(warp=lambda s, t: replace(s, logits=None)), "int4.logits", "only the reference has it"),
        (FakeRecursion(warp=lambda s, t: replace(s, halt=s.halt[:1])), "int4.halt", "has shape"),
        (
            FakeRecursion(warp=lambda s, t: replace(s, carry={k: v[:, :1] for k, v in s.carry.items()})),
            "int4.z_H",
            "has shape",
        ),
        (
            FakeRecursion(warp=lambda s, t: replace(s, carry={k: v[:, 0] for k, v in s.carry.items()})),
            "int4.z_H",
            "has shape",
        ),
        (FakeRecursion(warp=lambda s, t: replace(s, carry={k: [1.0] for k in s.carry})), "int4.z_H", "not a tensor"),
    ],
)
def test_a_lost_renamed_or_reshaped_output_is_refused_by_name(candidate, field, words):
    with pytest.raises(ModelRefused, match=words) as caught:
        run(candidate, free=[fidelity()])
    assert caught.value.field == field


class InTorch(FakeRecursion):
    """The fake with torch tensors outside, as a runtime of another kind has them; insists on its own kind."""

    def run(self, batch, depth, *, perturbation=0.0, seed=0):
        torch = pytest.importorskip("torch")
        states = super().run(batch, depth, perturbation=perturbation, seed=seed)
        state, step = next(states), 1
        while True:
            inside = {name: torch.from_numpy(each) for name, each in state.carry.items()}
            sent = yield StepState(inside, torch.from_numpy(state.logits), torch.from_numpy(state.halt))
            if sent is not None:
                assert all(isinstance(each, torch.Tensor) for each in sent.values())
                sent = {name: each.numpy() for name, each in sent.items()}
            if step == depth.steps:
                return
            state, step = states.send(sent), step + 1


@pytest.mark.parametrize(("reference", "candidate"), [(FakeRecursion, InTorch), (InTorch, FakeRecursion)])
def test_a_torch_model_and_a_numpy_model_are_compared_as_two_of_one_kind_are(reference, candidate):
    alike = run(FakeRecursion(error=0.1), free=[fidelity()], forced=[StepFidelity().accumulator(DEPTH)])
    mixed = run(
        candidate(error=0.1), reference=reference(), free=[fidelity()], forced=[StepFidelity().accumulator(DEPTH)]
    )
    for ours, theirs in zip((*alike.free, *alike.forced), (*mixed.free, *mixed.forced), strict=True):
        assert ours.measured.values == pytest.approx(theirs.measured.values, abs=1e-9)
        assert 0 < min(ours.measured.values) < 0.9999


# ---------------------------------------------------------------- dead and broken


@pytest.mark.parametrize(
    ("warp", "words"),
    [
        (nan_at(3, 5), "z_H is not finite at step 3 for probe 5"),
        (nan_at(2, 4, "z_L"), "z_L is not finite at step 2 for probe 4"),
        (nan_at(6, 1, "logits"), "logits are not finite at step 6 for probe 1"),
        (zero_carry, "z_H is all zero at step 1 for probe 0, token 0"),
        (frozen, "the carry z_H never moves"),
        (blind, "the carry z_H ignores the input"),
    ],
)
def test_a_broken_or_dead_reference_is_refused(warp, words):
    with pytest.raises(ModelRefused, match=words) as caught:
        run(FakeRecursion(), reference=FakeRecursion(warp=warp))
    assert caught.value.field == "reference"


def test_the_probe_of_a_later_batch_is_named_by_its_row():
    def late(state, step):
        return nan_at(3, 5)(state, step) if len(state.logits) == 8 else state

    traced = run(FakeRecursion(warp=late), free=[fidelity()])  # batches of 16, 16 and 8
    assert traced.free[0].reason == "z_H is not finite at step 3 for probe 37"


def test_a_candidate_with_nan_has_no_figures_and_a_reason_and_others_go_on():
    rivals = (
        Entrant("broken", FakeRecursion(warp=nan_at(3, 5)), DEPTH, (fidelity(), fidelity(at=1))),
        Entrant("fine", FakeRecursion(error=0.1), DEPTH, (fidelity(),)),
    )
    broken, fine = trace(Entrant("reference", FakeRecursion(), DEPTH), rivals, PROBES, Plan(), Recorded())
    assert [reading.measured for reading in broken.free] == [None, None]
    assert {reading.reason for reading in broken.free} == {"z_H is not finite at step 3 for probe 5"}
    assert broken.stopped == "z_H is not finite at step 3 for probe 5"
    assert len(fine.free[0].measured.values) == len(PROBES)


def test_a_candidate_whose_carry_never_moves_or_ignores_its_input_is_told():
    assert "z_H never moves" in run(FakeRecursion(warp=frozen), free=[fidelity()]).fault
    assert "z_H ignores the input" in run(FakeRecursion(warp=blind), free=[fidelity()]).fault
    assert run(FakeRecursion(error=0.1), free=[fidelity()]).fault == ""


def test_a_candidate_of_zeros_has_fidelity_zero_and_says_so():
    traced = run(FakeRecursion(warp=zero_carry), free=[fidelity()])
    assert set(traced.free[0].measured.values) == {0.0}
    assert "all zero count as cosine 0" in traced.note
    assert "never moves" in traced.fault


def test_one_probe_or_one_step_cannot_show_a_dead_carry_and_is_no_fault():
    one_probe = run(FakeRecursion(error=0.1), probes=PROBES.rows(0, 1))
    one_step = replace(DEPTH, steps=1)
    one = run(FakeRecursion(error=0.1), depth=one_step, reference_depth=one_step)
    assert one_probe.fault == one.fault == ""


def test_two_runs_that_differ_are_undecided():
    with pytest.raises(Undecided, match="two runs of the reference differ: z_H at step 1"):
        run(FakeRecursion(), reference=Unsteady())
    traced = run(Unsteady(), free=[fidelity()])
    assert traced.free[0].reason == "two runs differ: z_H at step 1"
    assert run(Unsteady(), free=[fidelity()], repeat=False).stopped == ""


def test_the_noise_floor_is_not_run_twice_again():
    reference, other = FakeRecursion(), FakeRecursion(error=0.1)
    lead = Entrant("reference", reference, DEPTH)
    floor = Entrant("noise floor", reference, DEPTH, (fidelity(),), perturbation=1e-6)
    traced = trace(lead, (Entrant("int4", other, DEPTH, (fidelity(),)), floor), PROBES, Plan(batch=40), Recorded())
    assert [one.stopped for one in traced] == ["", ""]
    assert (reference.runs, other.runs) == (4, 3)  # twice to see whether it repeats itself, and once for every part


def test_an_accumulator_that_gives_up_does_not_stop_the_others():
    quits, stays = Seen(refuses="no labels"), Seen()
    traced = run(FakeRecursion(error=0.1), free=[quits, stays])
    assert traced.free[0].measured is None
    assert traced.free[0].reason == "no labels"
    assert traced.free[1].measured == Measured((18.0,))


# ---------------------------------------------------------------- teacher forcing


def test_without_a_forced_accumulator_nothing_is_run_twice():
    candidate = FakeRecursion(error=0.1)
    run(candidate, free=[fidelity()], batch=40, repeat=False)
    # The forced run is prepared and never started.
    assert candidate.runs == 1


def test_forced_steps_start_from_the_reference_carry():
    seen = Seen()
    candidate = FakeRecursion(error=0.3)
    run(candidate, forced=[seen], batch=40)
    reference = FakeRecursion()
    states = list(reference.run(PROBES, DEPTH))
    for step, shown in enumerate((entry[3] for entry in seen.pairs[1:]), start=1):
        run_from = candidate.run(PROBES, DEPTH)
        next(run_from)
        expected = run_from.send(states[step - 1].carry)
        assert (shown.carry["z_H"] == expected.carry["z_H"]).all()


def test_step_fidelity_keeps_its_meaning_on_a_chaotic_model():
    chaotic = {"gain": 6.0}
    deep = replace(DEPTH, steps=20)
    settings = {"depth": deep, "reference_depth": deep, "reference": FakeRecursion(**chaotic)}
    forced = StepFidelity().accumulator(deep)
    traced = run(FakeRecursion(error=1e-4, **chaotic), free=[fidelity()], forced=[forced], **settings)
    assert np.mean(traced.free[0].measured.values) < 0.9
    assert np.mean(traced.forced[0].measured.values) > 0.99


def test_the_perturbed_reference_diverges_from_itself_only_when_it_is_chaotic():
    for gain, kept in ((0.8, True), (6.0, False)):
        deep = replace(DEPTH, steps=16)
        settings = {"depth": deep, "reference_depth": deep, "reference": FakeRecursion(gain=gain)}
        floor = run(FakeRecursion(gain=gain), free=[fidelity()], perturbation=1e-6, **settings)
        assert bool(np.mean(floor.free[0].measured.values) > 0.99) is kept


def test_forced_nan_leaves_free_figures_alone():
    class NanWhenForced(FakeRecursion):
        def run(self, batch, depth, **settings):
            states = super().run(batch, depth, **settings)
            state = next(states)
            while True:
                sent = yield state
                try:
                    state = states.send(sent)
                except StopIteration:
                    return
                if sent is not None:
                    state = StepState(
                        {k: v * np.float32(np.nan) for k, v in state.carry.items()}, state.logits, state.halt
                    )

    forced = StepFidelity().accumulator(DEPTH)
    traced = run(NanWhenForced(), free=[fidelity()], forced=[forced], reference=FakeRecursion())
    assert traced.free[0].measured is not None
    assert traced.forced[0].reason == "from the reference's carry, z_H is not finite at step 2 for probe 0"


# ---------------------------------------------------------------- figures


def test_one_flipped_token_of_many_is_seen_by_the_worst_token_and_hidden_by_the_mean():
    accumulators = [fidelity(), fidelity(tokens="worst")]
    mean, worst = run(FakeRecursion(warp=one_token_flipped), free=accumulators).free
    assert np.allclose(mean.measured.values, (9 - 2) / 9)
    assert set(worst.measured.values) == {-1.0}


def test_a_scaled_carry_is_invisible_to_cosines():
    assert np.allclose(run(FakeRecursion(warp=scaled), free=[fidelity()]).free[0].measured.values, 1.0)


def test_walking_one_model_yields_every_step_of_every_batch():
    entrant = Entrant("model", FakeRecursion(), DEPTH)
    walked = [(row, side.step) for row, side in walk(entrant, PROBES, Plan(batch=30))]
    assert walked == [(row, step) for row in (0, 30) for step in range(1, 7)]


def test_walking_refuses_a_broken_model():
    with pytest.raises(ModelRefused, match="not finite at step 3"):
        list(walk(Entrant("model", FakeRecursion(warp=nan_at(3, 5)), DEPTH), PROBES, Plan()))


def test_depth_reads_as_it_is_written():
    assert str(Depth(3, 6, 16)) == "H=3 L=6 steps=16"
