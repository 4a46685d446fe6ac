"""What a policy and a command line may say about inputs, and what comes of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fidelity_gate import inputs as room
from fidelity_gate import registry
from fidelity_gate.errors import InputsRefused, PolicyError, UsageError
from fidelity_gate.inputs.making import digest_of
from fidelity_gate.inputs.opening import from_path, open_inputs
from fidelity_gate.inputs.sudoku import Sudoku
from fidelity_gate.protocols import Inputs
from fidelity_gate.records import InputsSpec, Place, Probes

ROWS = np.arange(1, 37, dtype=np.int32).reshape(4, 9)
PLACE = Place("gate.yaml", 7, 3)


@dataclass(frozen=True, slots=True)
class Liar:
    """A plug of somebody else that says its probes are others."""

    def probes(self, base: str) -> Probes:
        return Probes(ROWS, None, np.zeros(4, np.int32), "0" * 64, "liar")


@dataclass(frozen=True, slots=True)
class Nothing:
    """Not a source of probes."""


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__].__name__
    monkeypatch.setattr(room, "TABLE", {**room.TABLE, "liar": f"{here}:Liar", "nothing": f"{here}:Nothing"})


@pytest.mark.parametrize("name", sorted(room.TABLE))
def test_every_source_is_a_plug_whose_options_are_documented(name: str) -> None:
    plug = registry.find("inputs", name)
    assert issubclass(plug, Inputs)
    page = (Path(__file__).parents[1] / "docs" / "inputs.md").read_text()
    assert f"## `{name}`" in page
    for option in registry.option_types(plug):
        assert f"`{option}`" in page


def test_a_policys_inputs_are_opened_against_its_folder(tmp_path: Path) -> None:
    np.savez(tmp_path / "eval.npz", inputs=ROWS, labels=ROWS)
    spec = InputsSpec("npz", (("count", 3), ("path", "eval.npz")), base=str(tmp_path))
    assert len(open_inputs(spec)) == 3
    assert len(open_inputs(InputsSpec("npz", (("path", "eval.npz"),)), str(tmp_path))) == 4


def test_a_generator_needs_no_folder() -> None:
    spec = InputsSpec("sudoku", (("count", 5), ("givens", "10-12"), ("seed", 2)))
    assert open_inputs(spec).digest == Sudoku(givens="10-12", count=5, seed=2).probes("").digest


@pytest.mark.parametrize(
    ("use", "options", "message"),
    [
        ("sudokku", (), r"^gate.yaml:7:3: inputs: no source of inputs is named 'sudokku' \(did you mean sudoku\?\)"),
        ("sudoku", (("givnes", 12),), r"inputs: sudoku has no option 'givnes' \(did you mean givens\?\)"),
        ("sudoku", (("count", "5"),), r"inputs.count: '5' is not a value sudoku takes here \(must be a whole number\)"),
        ("sudoku", (("count", True),), "inputs.count: true is not a value"),
        ("sudoku", (("size", 5),), "inputs.size: no sudoku of size 5"),
        ("npz", (), "npz needs path"),
        ("npz", (("path", 14),), r'inputs.path: 14 is not a value npz takes here \(must be text, in quotes: "14"\)'),
        ("maze", (("loops", float("nan")),), "inputs.loops"),
        ("modular-addition", (("part", "test"),), r"must be held-out, train"),
    ],
)
def test_a_policys_mistake_is_told_with_its_place(use: str, options: tuple, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        open_inputs(InputsSpec(use, options, place=PLACE))


def test_probes_are_checked_as_they_are_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "eval.npz", inputs=ROWS[[0, 0]])
    with pytest.raises(InputsRefused, match="repeat earlier probes"):
        open_inputs(InputsSpec("npz", (("path", "eval.npz"),)), str(tmp_path))


@pytest.mark.usefixtures("foreign")
def test_no_plug_can_say_that_other_probes_are_these() -> None:
    assert open_inputs(InputsSpec("liar")).digest == digest_of(ROWS, None, np.zeros(4, np.int32), -100)


@pytest.mark.usefixtures("foreign")
def test_a_plug_that_is_no_source_is_refused() -> None:
    with pytest.raises(InputsRefused, match="nothing is not a source of probes"):
        open_inputs(InputsSpec("nothing"))


# ---------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("text", "use", "options"),
    [
        ("eval.npz", "npz", (("path", "eval.npz"),)),
        ("a/eval.safetensors", "safetensors", (("path", "a/eval.safetensors"),)),
        ("x.npy", "npz", (("path", "x.npy"),)),
        (
            "sudoku:size=6,givens=12,count=100,seed=1",
            "sudoku",
            (("count", 100), ("givens", 12), ("seed", 1), ("size", 6)),
        ),
        ("sudoku:givens=10-12", "sudoku", (("givens", "10-12"),)),
        ("sudoku", "sudoku", ()),
        ("maze:loops=0.1", "maze", (("loops", 0.1),)),
        ("modular-addition:part=train", "modular-addition", (("part", "train"),)),
        (
            "npz:path=x.npz,grid=6x6,answer=16:40,ignore_label=0",
            "npz",
            (("answer", "16:40"), ("grid", "6x6"), ("ignore_label", 0), ("path", "x.npz")),
        ),
    ],
)
def test_one_word_of_the_command_line_names_inputs(text: str, use: str, options: tuple) -> None:
    spec = from_path(text)
    assert (spec.use, spec.options) == (use, options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eval.bin", "cannot tell from its suffix"),
        ("eval", "cannot tell from its suffix"),
        ("C:\\eval.bin", "cannot tell from its suffix"),
        ("", "cannot tell from its suffix"),
        ("sudokku:size=6", "did you mean sudoku"),
        ("sudoku:sise=6", "did you mean size"),
        ("sudoku:size", "'size' is not key=value"),
        ("sudoku:=6", "'=6' is not key=value"),
        ("sudoku:size=6,", "'' is not key=value"),
        ("sudoku:size=six", "--inputs.size: 'six' is not a value sudoku takes here"),
        ("sudoku:size=6,size=9", "--inputs.size: given twice"),
        ("sudoku:size=5", "--inputs.size: no sudoku of size 5"),
        ("maze:loops=nan", "--inputs.loops: 'nan' is not a value"),
        ("npz:first=1", "npz needs path"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_of_usage(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_path(text)


def test_the_files_beside_official_inputs_are_taken_too(tmp_path: Path) -> None:
    np.save(tmp_path / "all__inputs.npy", ROWS)
    np.save(tmp_path / "all__labels.npy", ROWS)
    np.save(tmp_path / "all__puzzle_identifiers.npy", np.arange(4))
    probes = open_inputs(from_path(str(tmp_path / "all__inputs.npy")))
    assert probes.labels is not None
    assert np.array_equal(probes.identifiers, np.arange(4))
    assert open_inputs(InputsSpec("npz", (("path", "all__inputs.npy"),)), str(tmp_path)).labels is None


def test_a_file_whose_name_looks_like_a_source_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "sudoku:a=b.npz", inputs=ROWS)
    assert len(open_inputs(from_path("sudoku:a=b.npz"))) == 4


def test_real_data_sets_open_from_the_command_line(shared: Path) -> None:
    for name in ("sudoku-extreme_test500", "maze-30x30-hard-1k_test", "sudoku4x4_test"):
        probes = open_inputs(from_path(str(shared / "data" / f"{name}_inputs.npy")))
        assert probes.labels is not None
    arc = open_inputs(from_path(str(shared / "models" / "hrm-cpu" / "arc-simple_test_all__inputs.npy")))
    assert np.array_equal(arc.identifiers, [1, 1])
