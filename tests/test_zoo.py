"""The zoo: training that can be resumed to the bit, and shipped models that are what their cards say."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fidelity_gate.digests import row_digests
from fidelity_gate.errors import UsageError
from fidelity_gate.files import sha256_hex
from fidelity_gate.inputs.opening import from_path, open_inputs
from fidelity_gate.inputs.sudoku_board import Board
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import ModelSpec, Role, RunSpec
from fidelity_gate.storage.artifact import decode
from fidelity_gate.verbs.zoo import zoo
from fidelity_gate.zoo import catalog
from fidelity_gate.zoo.augmentation import revealed, shuffled_sudoku
from fidelity_gate.zoo.checkpoint import load_recipe
from fidelity_gate.zoo.losses import IGNORE, is_exact, stablemax_cross_entropy
from fidelity_gate.zoo.recipe import TrainingRecipe, recipe_from
from fidelity_gate.zoo.release import release
from fidelity_gate.zoo.tasks import task_of
from fidelity_gate.zoo.train import CHECKPOINT, TrainingPlan, train
from fidelity_gate.zoo.trainer import Trainer

TINY = TrainingRecipe(
    size=4, givens="8", pool=40, hidden=16, heads=4, layers=1, h_cycles=2, l_cycles=1, supervision=3, batch=8, steps=8,
    warmup=2, cooldown=2, reveal=0.5, unit_start=True, staggered=True, exploration=0.5,
)  # fmt: skip
ADDITION = dataclasses.replace(TINY, task="modular-addition", size=41, unit_start=False)
LIMIT_BYTES = 2_500_000


class Silent:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.losses = []
        self.exact = []

    def stepped(self, done, loss):
        self.losses.append((done, loss))

    def validated(self, done, exact):
        self.exact.append((done, exact))


# ---------------------------------------------------------------- training


@pytest.mark.parametrize(
    "recipe", [TINY, dataclasses.replace(TINY, family="hrm", dtype="bfloat16")], ids=["trm", "hrm"]
)
def test_a_resumed_run_ends_with_the_same_weights_as_an_uninterrupted_one(tmp_path, recipe):
    whole, first, second = Silent(), Silent(), Silent()
    straight = train(recipe, TrainingPlan(tmp_path / "a", every=100), whole)
    train(recipe, TrainingPlan(tmp_path / "b", every=100, stop_after=3), first)
    resumed = train(load_recipe(tmp_path / "b" / CHECKPOINT), TrainingPlan(tmp_path / "b", resume=True), second)
    assert first.losses + second.losses == whole.losses
    for name, weight in straight.averaged.items():
        assert torch.equal(weight, resumed.averaged[name]), name
        assert torch.equal(straight.weights[name], resumed.weights[name]), name


def test_a_checkpoint_of_another_recipe_is_not_resumed(tmp_path):
    train(TINY, TrainingPlan(tmp_path, stop_after=1), Silent())
    with pytest.raises(UsageError, match="another recipe"):
        train(dataclasses.replace(TINY, lr=1.0), TrainingPlan(tmp_path, resume=True), Silent())


def test_nothing_to_resume_is_said_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="not a checkpoint"):
        train(TINY, TrainingPlan(tmp_path, resume=True), Silent())


def test_training_lowers_the_loss_and_leaves_initial_carries_alone():
    recipe = dataclasses.replace(ADDITION, steps=60, warmup=5, lr=3e-3, batch=64)
    trainer = Trainer(recipe, task_of(recipe))
    before = trainer.weights["H_init"].clone()
    losses = [trainer.step().loss for _ in range(60)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert torch.equal(trainer.weights["H_init"], before)


def test_only_the_last_high_cycle_is_learned_from():
    """The carry that enters a step is a constant: no gradient reaches the puzzles' earlier steps."""
    trainer = Trainer(TINY, task_of(TINY))
    trainer.step()
    assert all(not stream.requires_grad for stream in trainer.slots.carry)


def test_every_puzzle_leaves_its_slot_after_the_last_act_step_at_the_latest():
    trainer = Trainer(TINY, task_of(TINY))
    for _ in range(10):
        trainer.step()
        assert int(trainer.slots.age.max()) <= TINY.supervision
        assert bool(trainer.slots.halted[trainer.slots.age == TINY.supervision].all())


@pytest.mark.parametrize("recipe", [TINY, ADDITION], ids=["sudoku", "addition"])
def test_evaluation_calibration_validation_and_training_rows_are_disjoint(recipe):
    sets = task_of(recipe).sets
    parts = (sets.evaluation, sets.calibration, sets.validation, sets.training)
    digests = [row_digests(rows[0]) for rows in parts]
    assert [len(digests[0]), len(digests[1])] == [500, 128]
    assert len(set().union(*digests)) == sum(len(part) for part in digests)


def test_a_modulus_that_leaves_too_few_pairs_is_refused():
    with pytest.raises(UsageError, match="leaves too few pairs"):
        task_of(dataclasses.replace(ADDITION, size=31))


def test_augmented_sudoku_are_still_sudoku():
    task = task_of(TINY)
    board = Board(4, 2, 2)
    inputs, labels = task.batch(20, np.random.default_rng(0))
    for puzzle, solution in zip(inputs, labels, strict=True):
        digits = [int(token) - 1 for token in puzzle]
        assert board.is_solution([int(token) - 1 for token in solution], digits)
        assert board.count_solutions(digits) == 1


def test_symmetries_keep_boxes_that_are_not_square():
    recipe = dataclasses.replace(TINY, size=6, givens="20", pool=5)
    inputs, labels = task_of(recipe).sets.training
    moved, solved = shuffled_sudoku(inputs, labels, (2, 3), np.random.default_rng(1))
    board = Board(6, 2, 3)
    assert not np.array_equal(moved, inputs)
    for puzzle, solution in zip(moved, solved, strict=True):
        assert board.is_solution([int(token) - 1 for token in solution], [int(token) - 1 for token in puzzle])


def test_revealed_puzzles_only_gain_givens():
    inputs, labels = task_of(TINY).sets.training
    shown = revealed(inputs, labels, 1.0, np.random.default_rng(0))
    assert ((shown == inputs) | (shown == labels)).all()
    assert (shown != inputs).any()
    assert np.array_equal(revealed(inputs, labels, 0.0, np.random.default_rng(0)), inputs)


def test_stablemax_agrees_with_its_definition_and_ignores_cells():
    logits = torch.tensor([[[1.0, -1.0, 0.0], [5.0, 5.0, 5.0]]])
    labels = torch.tensor([[0, IGNORE]])
    assert stablemax_cross_entropy(logits, labels).item() == pytest.approx(-np.log(2 / (2 + 0.5 + 1)))
    assert is_exact(logits, labels).tolist() == [True]
    assert is_exact(logits, torch.tensor([[1, IGNORE]])).tolist() == [False]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"task": "chess"}, "task"), ({"steps": 0}, "steps"), ({"ema": 1.5}, "ema"), ({"cooldown": 8}, "cooldown"),
     ({"family": "hrm", "mixer": "mlp"}, "mixer")],
)  # fmt: skip
def test_a_recipe_that_cannot_be_is_refused_by_its_field(change, field):
    with pytest.raises(UsageError) as refused:
        dataclasses.replace(TINY, **change)
    assert refused.value.field == field


def test_a_recipe_survives_json_and_refuses_what_no_recipe_has():
    assert recipe_from(json.loads(TINY.to_json())) == TINY
    with pytest.raises(UsageError, match="did you mean hidden"):
        recipe_from({"hiden": 3})
    with pytest.raises(UsageError, match="should be int"):
        recipe_from({"hidden": "64"})


def test_a_release_opens_as_a_model_and_as_probes(tmp_path):
    trainer = train(ADDITION, TrainingPlan(tmp_path), Silent())
    card = release(trainer, "tiny", "a test", tmp_path)
    opened = open_model(ModelSpec("reference", str(tmp_path / "tiny.safetensors")))
    assert opened.facts.digest == card.digest
    assert opened.facts.depth == ADDITION.depth
    probes = open_inputs(from_path(str(tmp_path / "tiny.evaluation.npz")))
    assert probes.digest == card.evaluation_digest
    assert catalog.read_card(tmp_path / "tiny.json") == card
    before = (tmp_path / "tiny.evaluation.npz").read_bytes()
    release(trainer, "tiny", "a test", tmp_path)
    assert (tmp_path / "tiny.evaluation.npz").read_bytes() == before


def test_zoo_train_writes_a_model_and_resumes(tmp_path):
    out = str(tmp_path / "run")
    tiny = "--size 4 --givens 8 --pool 20 --hidden 16 --layers 1 --supervision 2 --batch 4 --steps 3 --warmup 1"
    made = CliRunner().invoke(zoo, ["train", "--out", out, "--name", "small", *tiny.split()], catch_exceptions=False)
    assert made.exit_code == 0
    assert "evaluation rows exact" in made.output
    again = CliRunner().invoke(zoo, ["train", "--out", out, "--name", "small", "--resume"], catch_exceptions=False)
    assert again.exit_code == 0
    with pytest.raises(UsageError, match="keeps its recipe"):
        CliRunner().invoke(zoo, ["train", "--out", out, "--resume", "--steps", "9"], catch_exceptions=False)


# ---------------------------------------------------------------- what is shipped


def test_the_zoo_covers_every_kind_of_recursion():
    cards = [catalog.entry(name).card for name in catalog.names()]
    kinds = {(card.family, card.recipe["mixer"], card.recipe["task"]) for card in cards}
    assert {
        ("trm", "mlp", "sudoku"),
        ("trm", "attention", "sudoku"),
        ("hrm", "attention", "sudoku"),
        ("trm", "attention", "modular-addition"),
    } <= kinds


@pytest.mark.parametrize("name", catalog.names())
def test_shipped_files_are_what_the_card_says(name):
    found = catalog.entry(name)
    data = found.weights.read_bytes()
    assert sha256_hex(data) == found.card.digest
    assert len(data) <= LIMIT_BYTES
    artifact = decode(data, found.weights)
    assert artifact.depth == found.depth
    assert sum(int(np.prod(tensor.shape)) for tensor in artifact.tensors) == found.card.parameters
    assert {tensor.encoding for tensor in artifact.tensors} == {"dense"}
    evaluation, calibration = (open_inputs(from_path(str(path))) for path in (found.evaluation, found.calibration))
    assert (len(evaluation), len(calibration)) == (500, 128)
    assert evaluation.labels is not None
    assert (evaluation.digest, calibration.digest) == (found.card.evaluation_digest, found.card.calibration_digest)


def shipped_rows(found):
    return (open_inputs(from_path(str(path))).inputs for path in (found.evaluation, found.calibration))


@pytest.mark.parametrize("name", catalog.names())
def test_shipped_rows_share_nothing_with_each_other_or_with_training(name):
    """The generator's first rows do not depend on their count, so a small pool has the same sets beside it."""
    found = catalog.entry(name)
    recipe = recipe_from(found.card.recipe)
    sets = task_of(dataclasses.replace(recipe, pool=min(recipe.pool, 100))).sets
    evaluation, calibration = shipped_rows(found)
    assert np.array_equal(evaluation, sets.evaluation[0])
    assert np.array_equal(calibration, sets.calibration[0])
    rows = [set(row_digests(part)) for part in (evaluation, calibration, sets.validation[0], sets.training[0])]
    assert len(set().union(*rows)) == sum(len(part) for part in rows)
    assert (len(rows[0]), len(rows[1])) == (500, 128)


@pytest.mark.slow
@pytest.mark.parametrize("name", catalog.names())
def test_no_shipped_row_is_in_the_whole_training_set(name):
    found = catalog.entry(name)
    training = set(row_digests(task_of(recipe_from(found.card.recipe)).sets.training[0]))
    assert all(not training & set(row_digests(rows)) for rows in shipped_rows(found))


@pytest.mark.parametrize("name", catalog.names())
def test_shipped_models_solve_at_least_95_percent(name):
    found = catalog.entry(name)
    assert found.card.exact >= 0.95
    probes = open_inputs(from_path(str(found.evaluation))).rows(0, 128)
    model = open_model(ModelSpec("reference", str(found.weights))).load(RunSpec())
    *_, state = model.run(probes, found.depth)
    exact = is_exact(state.logits, torch.from_numpy(probes.labels).long())
    assert float(exact.float().mean()) >= 0.94  # 128 of the 500 rows


@pytest.mark.parametrize("name", catalog.names())
def test_most_of_a_shipped_model_is_its_block(name):
    artifact = decode(catalog.entry(name).weights.read_bytes(), name)
    block = sum(int(np.prod(tensor.shape)) for tensor in artifact.tensors if tensor.role is Role.BLOCK)
    assert block / catalog.entry(name).card.parameters > 0.9


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean trm-addition"):
        catalog.entry("trm-adition")


def test_the_catalog_needs_no_torch():
    code = (
        "import sys; from fidelity_gate.zoo import catalog\n"
        "assert all(catalog.entry(name).weights.is_file() for name in catalog.names())\n"
        "import fidelity_gate.verbs.zoo\n"
        "assert not {'torch', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_zoo_list_and_path_find_the_models():
    listed = CliRunner().invoke(zoo, ["list"], catch_exceptions=False)
    assert listed.exit_code == 0
    for name in catalog.names():
        assert name in listed.output
        for data, suffix in (
            ([], ".safetensors"),
            (["--data", "evaluation"], ".npz"),
            (["--data", "calibration"], ".npz"),
        ):
            told = CliRunner().invoke(zoo, ["path", name, *data], catch_exceptions=False)
            assert Path(told.output.strip()).is_file()
            assert told.output.strip().endswith(suffix)


def test_the_page_of_the_zoo_holds_every_card_as_it_is():
    told = CliRunner().invoke(zoo, ["list", "--markdown"], catch_exceptions=False).output
    written = (Path(__file__).parents[1] / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert told in written, "docs/zoo.md: put the output of `fidelity-gate zoo list --markdown` under 'The cards'"
