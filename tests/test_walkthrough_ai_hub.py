"""The walk-through of AI Hub, as a reader walks it: its commands in a shell, the real client, the simulated service.

What runs by default is the path of the smallest model, whose export comes from the cache of exports. The whole page,
every export and every model, takes a minute or two and is run by `pytest -m benchmarks`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from exported import exported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytest.importorskip("qai_hub")

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "walkthrough-ai-hub.md").read_text(encoding="utf-8")
SMALL, LARGER = "addition", ("attention", "mlp", "build/ai-hub.yaml")
SECONDS = 900  # far more than it takes: a busy machine is no failure


@dataclass(frozen=True)
class Command:
    """A command of the page, and the exit code that the page shows of it."""

    line: str
    code: int

    @property
    def of_the_small_model(self) -> bool:
        return self.line.startswith(("export ", "cp policies")) or SMALL in self.line


def commands() -> Iterator[Command]:
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            told = re.search(r"\(exit (\d)\)", shown)
            yield Command(line, int(told[1]) if told else 0)


COMMANDS = tuple(commands())
(SERVICE,) = (command for command in COMMANDS if "devices simulate" in command.line)
OTHERS = COMMANDS[COMMANDS.index(SERVICE) + 1 :]
SHELL_OF_ITS_OWN = "; ".join(command.line for command in COMMANDS[: COMMANDS.index(SERVICE)])


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder like a clone of the repository, with the command on its path."""
    for name in ("docs", "policies"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "fidelity-gate"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fidelity_gate.cli "$@"\n')
    command.chmod(0o755)
    return tmp_path


def environment(clone: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{clone / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(clone)}


@pytest.fixture
def service(clone: Path) -> Iterator[None]:
    """Run the page's service until the test is over."""
    running = subprocess.Popen(
        ["bash", "-c", f"{SHELL_OF_ITS_OWN}; exec {SERVICE.line}"],
        cwd=clone,
        env=environment(clone),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while not (clone / "build" / "hub.ini").exists():
            assert running.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield
    finally:
        running.terminate()
        running.wait(timeout=30)


def walked(clone: Path, chosen: Sequence[Command]) -> list[int]:
    """Run the commands in one shell; return their exit codes."""
    script = "\n".join(f"{{ {command.line}\n}} > out.{place} 2>&1; echo $?" for place, command in enumerate(chosen))
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=clone,
        env=environment(clone),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return [int(line) for line in done.stdout.split()]


def refuse_surprises(clone: Path, chosen: Sequence[Command]) -> None:
    found = walked(clone, chosen)
    for place, (command, code) in enumerate(zip(chosen, found, strict=True)):
        assert code == command.code, (command.line, (clone / f"out.{place}").read_text()[-2000:])


@pytest.mark.slow
@pytest.mark.usefixtures("service")
def test_the_path_of_the_smallest_model_ends_as_the_page_says(clone):
    chosen = [command for command in OTHERS if command.of_the_small_model]
    (exporting,) = (command for command in chosen if "fidelity-gate export" in command.line)
    folder = exporting.line.split(" -o ")[1]
    shutil.copy(exported("trm-addition", unit="act-step"), clone / folder / "trm-addition.onnx")
    refuse_surprises(clone, [command for command in chosen if command is not exporting])
    report = json.loads((clone / "build" / "addition.json").read_text())
    results = {each["check"]["id"]: each for each in report["verdict"]["results"]}
    assert report["verdict"]["passed"]
    assert len(results) == 13
    # The service runs the same file on the same runtime, so the device's steps are those of this machine.
    measured = {(each["metric"], each["options"].get("device")): each for each in report["measured"]["measurements"]}
    for device in ("s24", "rb3"):
        steps = measured["device_step_fidelity", device]
        assert steps["curve"] == steps["curve_here"]
        assert len(steps["values"]) == len(steps["rows"]) == 8
        assert 0.9 < sum(steps["values"]) / 8 < 1
    (candidate,) = report["measured"]["candidates"]
    jobs = [job for steps in candidate["device_steps"] for job in steps["jobs"]]
    assert len(jobs) == 2  # one a device, for all steps, answers and the prediction
    assert all(job["simulated"] for job in jobs)


@pytest.mark.benchmarks
@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.usefixtures("service")
def test_the_whole_page_ends_as_it_says(clone):
    refuse_surprises(clone, OTHERS)


def test_the_page_walks_all_three_models_and_one_is_blocked_and_one_may_ship():
    runs = [command for command in OTHERS if " run " in command.line]
    assert {command.code for command in runs} == {0, 1}
    for word in (*LARGER, SMALL):
        assert any(word in command.line for command in OTHERS), word
