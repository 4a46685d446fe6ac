"""Exhibits: the worst few probes are kept with both answers, bounded, and no verdict can follow from them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import DEPTH, VOCAB, FakeRecursion
from made import measured, policy

from fidelity_gate import measurements_file
from fidelity_gate.errors import Refused
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.inputs.maze import Maze
from fidelity_gate.inputs.npz import Npz
from fidelity_gate.inputs.sudoku import Sudoku
from fidelity_gate.judge import judge
from fidelity_gate.metrics.exhibits import BUDGET_CELLS, MOST, MOST_CELLS, Showcase, most_shown
from fidelity_gate.records import Exhibit
from fidelity_gate.tracing.lockstep import Entrant, Plan, trace
from fidelity_gate.verbs.progress import Bar
from fidelity_gate.zoo.paths import resolve

ROWS = np.random.default_rng(5).integers(1, VOCAB, size=(40, 9)).astype(np.int32)
EXHIBIT = Exhibit("int8", 1, (3, 3), tuple(range(9)), (1,) * 9, (1,) * 8 + (2,), 0, (1,) * 8 + (None,), 0.5, ("_", "."))


def shown(probes, error=0.4, batch=7, most=MOST):
    """Return what a damaged candidate's showcase keeps, and the answers of both models to every probe."""
    showcase = Showcase("int4", most)
    answers = _Answers()
    reference = Entrant("reference", FakeRecursion(), DEPTH)
    rival = Entrant("int4", FakeRecursion(error=error), DEPTH, (answers, showcase))
    (traced,) = trace(reference, (rival,), probes, Plan(batch), Bar())
    assert not traced.stopped
    return showcase.exhibits(), answers


class _Answers:
    """Keeps every answer, as a check on the showcase that shares nothing with it."""

    def __init__(self):
        self.rows = []

    def observe(self, pair):
        if pair.last:
            ours, theirs = (np.asarray(side.state.logits).argmax(-1) for side in (pair.reference, pair.candidate))
            cosines = pair.cosines("z_H").mean(axis=1)
            self.rows += [(a.tolist(), b.tolist(), float(c)) for a, b, c in zip(ours, theirs, cosines, strict=True)]

    def finish(self):
        from fidelity_gate.records import Measured

        return Measured((1.0,))


@pytest.mark.parametrize("error", [0.1, 0.2, 0.4])
def test_the_probes_that_are_kept_are_those_with_most_cells_changed_and_the_one_of_the_lowest_fidelity(error):
    exhibits, answers = shown(make_probes(ROWS, None, source="eval.npz", grid=(3, 3)), error)

    def badness(row):
        ours, theirs, fidelity = answers.rows[row]
        return (-sum(a != b for a, b in zip(ours, theirs, strict=True)), fidelity, row)

    worst = sorted(range(len(ROWS)), key=badness)
    strayed = min(range(len(ROWS)), key=lambda row: answers.rows[row][2])
    expected = worst[:MOST] if strayed in worst[:MOST] else [*worst[: MOST - 1], strayed]
    assert [one.probe for one in exhibits] == expected
    assert strayed in expected
    for one in exhibits:
        ours, theirs, fidelity = answers.rows[one.probe]
        assert (list(one.reference), list(one.answer), list(one.inputs)) == (ours, theirs, ROWS[one.probe].tolist())
        assert one.fidelity == pytest.approx(fidelity)
        assert one.differing == tuple(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    assert exhibits[0].differing or error < 0.4


def test_batches_do_not_change_what_is_kept():
    probes = make_probes(ROWS, None, source="eval.npz", grid=(3, 3))
    assert [one.probe for one in shown(probes, batch=40)[0]] == [one.probe for one in shown(probes, batch=3)[0]]


def test_cells_without_a_label_that_counts_are_no_answers():
    labels = np.full_like(ROWS, -100)
    labels[:, 0] = ROWS[:, 0]
    exhibits, _ = shown(make_probes(ROWS, labels, source="eval.npz", grid=(3, 3)))
    assert {one.labels[1:] for one in exhibits} == {(None,) * 8}
    assert all(set(one.differing) <= {0} for one in exhibits)


def test_a_span_of_answers_is_told_by_its_start():
    exhibits, _ = shown(make_probes(ROWS, None, source="eval.npz", grid=(3, 3), answer_slice=(6, 9)))
    assert {(one.start, len(one.reference), len(one.answer)) for one in exhibits} == {(6, 3, 3)}


def test_a_probe_that_is_no_grid_is_one_row():
    exhibits, _ = shown(make_probes(ROWS, None, source="eval.npz"))
    assert {one.grid for one in exhibits} == {(1, 9)}


def test_frames_and_probes_too_long_to_read_are_not_kept():
    probes = make_probes(ROWS, None, source="eval.npz")
    assert most_shown(probes, 1) == MOST
    assert most_shown(replace(probes, frames=True), 1) == 0
    assert most_shown(replace(probes, inputs=np.zeros((1, MOST_CELLS + 1), np.int32)), 1) == 0
    wide = replace(probes, inputs=np.zeros((1, MOST_CELLS), np.int32))
    for candidates in (1, 5, 20, 500):
        assert 4 * MOST_CELLS * candidates * most_shown(wide, candidates) <= BUDGET_CELLS
    assert shown(probes, most=0)[0] == ()


def test_no_verdict_follows_from_exhibits():
    data = measured()
    assert judge(policy(), data) == judge(policy(), replace(data, exhibits=(EXHIBIT, EXHIBIT)))


def test_exhibits_come_back_from_a_file_exactly():
    data = replace(measured(), exhibits=(EXHIBIT, replace(EXHIBIT, labels=(), fidelity=None, symbols=())))
    assert measurements_file.load(measurements_file.dump(data), "m.json") == data


def test_a_file_from_before_there_were_exhibits_is_read():
    content = json.loads(measurements_file.dump(measured()))
    assert content.pop("exhibits") == []
    assert measurements_file.load(json.dumps(content).encode(), "m.json") == measured()


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda one: one.pop("probe"), "probe: is missing"),
        (lambda one: one.update(script="x"), "script: is an unknown key"),
        (lambda one: one.update(inputs=[1.5]), "inputs"),
        (lambda one: one.update(grid=[3]), "grid: must have 2 items"),
        (lambda one: one.update(symbols=[1]), "symbols"),
        (lambda one: one.update(fidelity=True), "fidelity"),
    ],
)
def test_exhibits_are_read_as_strictly_as_everything_else(edit, field):
    content = json.loads(measurements_file.dump(replace(measured(), exhibits=(EXHIBIT,))))
    edit(content["exhibits"][0])
    with pytest.raises(Refused, match=field.replace("[", r"\[")):
        measurements_file.load(json.dumps(content).encode(), "m.json")


def test_puzzles_know_how_their_tokens_are_shown(tmp_path):
    assert Sudoku(size=4, count=1).probes("").symbols == tuple("_.1234")
    assert Maze(rows=5, columns=5, count=1).probes("").symbols == tuple("_# SGo")
    np.savez(tmp_path / "eval.npz", inputs=ROWS)
    assert Npz("eval.npz", symbols="_.1234").probes(str(tmp_path)).symbols == tuple("_.1234")
    for wrong in ("a\x1b", "\u202eab", "x" * 257):
        with pytest.raises(Refused, match="characters that can be shown"):
            Npz("eval.npz", symbols=wrong)


def test_zoo_rows_are_shown_as_digits():
    from fidelity_gate.records import InputsSpec

    for name, symbols in (("zoo:trm-attention-sudoku", "_.1234"), ("zoo:trm-addition", "")):
        resolved = resolve(policy(inputs=InputsSpec("zoo", (("path", name),))))
        assert dict(resolved.inputs.options).get("symbols", "") == symbols
