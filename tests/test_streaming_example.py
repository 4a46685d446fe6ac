"""The page on streaming models, walked from its first command to its last, and the policies that it ships."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from streaming_graphs import quantized, save_recordings, save_vad

from fidelity_gate.cli import answer
from fidelity_gate.policy.loading import examine, load_policy
from fidelity_gate.policy.yaml_reader import read_tree
from fidelity_gate.shipped import policy_path

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "policies" / "examples").glob("streaming-*.yaml"))
GRU, VAD = "streaming-gru.yaml", "streaming-vad.yaml"
VERDICT = re.compile(r"^ *(pass|fail|not-measured) +([a-z-]+) ", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command of the page, and the output that the page shows of it."""

    words: tuple[str, ...]
    shown: str

    @property
    def code(self) -> int:
        told = re.search(r"\(exit (\d)\)", self.shown)
        return int(told[1]) if told else 0


def commands() -> Iterator[Command]:
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            yield Command(tuple(shlex.split(line)), shown)


COMMANDS = tuple(commands())
MAKING, *GATING = (command for command in COMMANDS if VAD not in command.words)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone of the repository, in which the page's first command has made the model."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("docs", "policies"):
        (folder / name).symlink_to(ROOT / name)
    assert MAKING.words[0] == "python"
    done = subprocess.run(
        [sys.executable, *MAKING.words[1:]], cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    (folder / "told").write_text(done.stdout)
    return folder


def walked(command: Command, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command in the working folder; return what it printed."""
    if command.words[0] == "cp":
        shutil.copy(*command.words[1:])
        return ""
    assert command.words[0] == "fidelity-gate"
    code = answer(list(command.words[1:]))
    told = capsys.readouterr()
    assert code == command.code, told.out + told.err
    return told.out


def check_shown(command: Command, told: str) -> None:
    """Hold what the page shows against what a command printed; figures depend on the machine that trained."""
    assert set(VERDICT.findall(command.shown)) <= set(VERDICT.findall(told))
    for line in command.shown.splitlines():
        if line.startswith(("note", "input", "output", "PASSED", "1 policy")):
            assert line in told
    if "BLOCKED" in command.shown:
        assert told.splitlines()[-1].startswith("BLOCKED (exit 1)")


def test_the_script_makes_a_model_that_has_learned_and_a_ladder_of_compressions(clone: Path) -> None:
    told = (clone / "told").read_text()
    assert [line.split(":")[0] for line in told.splitlines()] == [
        line.split(":")[0] for line in MAKING.shown.splitlines()
    ]
    right = [float(share) for share in re.findall(r"right for ([0-9.]+)%", told)]
    active = np.load(clone / "build" / "eval.npz")["active"]
    guessing = 100 * max(active.mean(), 1 - active.mean())
    assert right[0] > guessing + 20
    assert right[1] > right[0] - 2
    assert right[3] < right[0] - 4
    sizes = [int(size.replace(",", "")) for size in re.findall(r"([0-9,]+) bytes", told)]
    assert sizes == sorted(sizes, reverse=True)


def test_the_graph_tells_nothing_of_the_machine_it_was_made_on(clone: Path) -> None:
    data = (clone / "build" / "gru.onnx").read_bytes()
    assert b".py" not in data
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)


def test_every_command_of_the_page_does_what_the_page_shows(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clone)
    assert {command.words[:2] for command in GATING} >= {("fidelity-gate", "inspect"), ("fidelity-gate", "run")}
    assert [command.code for command in GATING].count(1) == 2
    for command in GATING:
        check_shown(command, walked(command, capsys))


def test_a_detector_of_somebody_else_is_gated_by_changing_nothing_but_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(policy_path(f"examples/{VAD}"), tmp_path)
    vad = save_vad(tmp_path / "vad.onnx")
    quantized(vad)
    save_recordings(tmp_path / "clips", files=4, seconds=25 * 1.92 + 1)
    (command,) = (command for command in COMMANDS if VAD in command.words)
    check_shown(command, walked(command, capsys))
    # Another detector's compression is no compression of this one.
    quantized(save_vad(tmp_path / "other.onnx", seed=1))
    assert answer(["run", VAD, "--candidate", "quantized=other.int8.onnx"]) == 1
    assert "fail" in capsys.readouterr().out


def test_the_sample_rate_reaches_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    quantized(save_vad(tmp_path / "vad.onnx"))
    save_recordings(tmp_path / "clips", files=4, seconds=25 * 1.92 + 1)
    text = policy_path(f"examples/{VAD}").read_text(encoding="utf-8")
    (tmp_path / VAD).write_text(text.replace("sr: 16000", "sr: 8000"))
    assert answer(["run", VAD]) == 2  # at any other rate this graph hears nothing
    assert "ignores the input" in capsys.readouterr().err


@pytest.mark.parametrize("file", EXAMPLES, ids=[file.stem for file in EXAMPLES])
def test_a_shipped_example_has_neither_errors_nor_weaknesses(file: Path) -> None:
    found = examine(file.read_bytes(), str(file))
    assert [str(problem) for problem in found.problems] == []
    assert [advice.rule for advice in found.advice] == []
    assert f"policies/examples/{file.name}" in PAGE
    assert f"`examples/{file.name}`" in (ROOT / "policies" / "README.md").read_text(encoding="utf-8")
    assert read_tree(file.read_bytes(), file.name).plain()["recursion"]["h_cycles"] == 1


def test_every_setting_of_the_example_that_the_page_explains_is_in_it() -> None:
    text = policy_path(f"examples/{GRU}").read_text(encoding="utf-8")
    for setting in ("state: {h: hn}", "input: chunk", "logits: prob", "threshold: 0.5", "steps: 48", "at: worst"):
        assert setting in text
        assert setting in PAGE


def test_the_thresholds_in_the_page_are_those_of_the_policy() -> None:
    policy = load_policy(str(policy_path(f"examples/{GRU}")))
    bounds = {check.id: check.bound.minimum for check in policy.checks}
    rows = re.findall(r"^\| `(s[a-z-]+)` \|.*\| ([0-9.]+)( %)? \|$", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for name, figure, percent in rows:
        assert bounds[name] == pytest.approx(float(figure) / (100 if percent else 1))
