"""`fidelity-gate ci github`: the gate as a step of the GitHub action: summary, annotations, outputs, verdict file."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import ReportNotWritten, UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.ci_gate import Ended, Order, conduct, retracted
from fidelity_gate.verbs.ci_places import Given, head_of
from fidelity_gate.verbs.ci_runner import TEMP, WORKSPACE, Runner, commands_stopped, obeyed, of_process
from fidelity_gate.verbs.ci_verdict import Run, Word, word_of

if TYPE_CHECKING:
    from fidelity_gate.errors import ExitCode

LEAST_SUMMARY, MOST_SUMMARY = 4_000, 1_000_000  # what the Markdown report takes as a limit
_HOME = "fidelity-gate"  # below the runner's own folder for temporary files
_NEVER_IN_A_FOLDER = "*?[]"  # the step that uploads reads these as patterns


@click.command()
def github() -> ExitCode | int:
    """Run the gate for the GitHub action, which sets FG_ variables: summary, annotations, outputs, verdict file."""
    runner = of_process()
    runner.say({"verdict": Word.INTERNAL.value, "exit-code": "4", "report-path": ""})
    try:
        order = _order(runner)
    except UsageError as error:
        code = int(error.exit_code)
        runner.say({"verdict": word_of(code).value, "exit-code": str(code)})
        runner.summarize(_blocked(str(error)))
        raise
    try:
        with commands_stopped():
            ended = conduct(order)
        _annotate(order)
        _summarize(runner, order, ended)
    except ReportNotWritten as error:
        ended = retracted(order, error)
    _say(runner, order, ended)
    if ended.failure is not None:
        raise ended.failure
    return ended.exit_code


def _order(runner: Runner) -> Order:
    workspace = runner.folder(WORKSPACE)
    trusted = _taken(runner, workspace)
    given = Given(
        policy=runner.text("FG_POLICY"),
        reference=runner.text("FG_REFERENCE"),
        inputs=runner.text("FG_INPUTS"),
        candidates=runner.lines("FG_CANDIDATES"),
        workspace=workspace,
        trusted=trusted,
    )
    commit = runner.text("FG_COMMIT")
    return Order(
        given=given,
        run=Run(commit, runner.text("FG_REPOSITORY"), runner.text("FG_RUN"), head_of(trusted) if trusted else commit),
        folder=_report_folder(runner, workspace),
        summary_bytes=min(MOST_SUMMARY, max(LEAST_SUMMARY, runner.summary_room())),
        reference_digest=runner.text("FG_REFERENCE_DIGEST").lower(),
        allow_code=runner.flag("FG_ALLOW_CODE", "allow-code"),
        one_stream=True,
    )


def _taken(runner: Runner, workspace: Path) -> Path | None:
    """Return the trusted checkout after moving it out of the workspace, so that no `..` leads from it into that."""
    name = runner.text("FG_CHECKOUT")
    if not name:
        if runner.text("FG_FROM") != "workspace":
            raise UsageError("there is no checkout of the base", field="policy-from", hint="the step before failed")
        return None
    made = workspace / name
    if made.is_symlink() or not (made / ".git").is_dir():
        raise UsageError(f"{name} is no checkout", field="policy-from", hint="the step before failed")
    home = runner.folder(TEMP) / _HOME
    home.mkdir(exist_ok=True)
    trusted = home / f"trusted-{secrets.token_hex(8)}"
    shutil.move(made, trusted)
    return trusted


def _report_folder(runner: Runner, workspace: Path) -> Path:
    told = runner.text("FG_REPORTS")
    folder = workspace / told if told else runner.folder(TEMP) / _HOME / "report"
    if printable(str(folder), 1000) != str(folder) or set(str(folder)) & set(_NEVER_IN_A_FOLDER):
        what = f"'{told}' cannot be the folder of the reports"
        raise UsageError(what, field="report-folder", hint=f"without {_NEVER_IN_A_FOLDER} and control characters")
    return folder


def _annotate(order: Order) -> None:
    file = order.files["github"]
    if file.is_file():
        obeyed(file.read_text(encoding="utf-8"))


def _summarize(runner: Runner, order: Order, ended: Ended) -> None:
    file = order.files["markdown"]
    if file.is_file():
        runner.summarize(file.read_text(encoding="utf-8"))
    elif ended.failure is not None:
        runner.summarize(_blocked(str(ended.failure)))


def _blocked(reason: str) -> str:
    """Return a summary for a run without a report; indented, a line is shown and nothing in it acts."""
    return f"## BLOCKED: fidelity-gate\n\n    {reason}\n"


def _say(runner: Runner, order: Order, ended: Ended) -> None:
    """Write the outputs; the word is that of the code this process is about to exit with."""
    found = ended.verdict
    runner.say(
        {
            "verdict": word_of(ended.exit_code).value,
            "exit-code": str(ended.exit_code),
            "policy-digest": found.digests.get("policy", "") if found else "",
            "artifact-digests": json.dumps(found.candidates if found else {}, sort_keys=True),
            "verdict-digest": ended.digest,
            "report-path": os.fspath(order.folder) if order.files["json"].is_file() else "",
        }
    )
