"""What the GitHub runner gives a step and takes from it: variables, files for outputs and the summary, and its log.

https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import Internal, ReportNotWritten, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OUTPUT, SUMMARY = "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"
WORKSPACE, TEMP = "GITHUB_WORKSPACE", "RUNNER_TEMP"
SUMMARY_LIMIT = 1 << 20  # bytes of a step; a larger one is dropped whole
SUMMARY_SPARE = 2_000
# Every output has a fixed name and a closed form: nothing that a stranger wrote goes through this file as it is.
FORMS: Mapping[str, str] = {
    "verdict": "passed|failed|refused|undecided|internal",
    "exit-code": r"\d{1,3}",
    "policy-digest": r"[0-9a-f]{64}|",
    "artifact-digests": r'\{("[A-Za-z0-9_-]{1,64}": "[0-9a-f]{64}"(, )?)*\}',
    "verdict-digest": r"[0-9a-f]{64}|",
    "report-path": r"[^\x00-\x1f*?\[\]]*",
    "from": "base|queue|commit|default|ref|workspace",
    "checkout": r"(\.fidelity-gate-[0-9a-f]{16})?",
    "digest": r"[0-9a-f]{64}",
    "file": r"[A-Za-z0-9._-]{1,100}",
    "store": r"[^\x00-\x1f*?\[\]]+",
    "fetched": "true|false",
}


@dataclass(frozen=True, slots=True)
class Runner:
    """The variables of a step. Inputs of the action come as `FG_...`, never as part of a script."""

    variables: Mapping[str, str]

    def text(self, name: str) -> str:
        """Return a variable without the white space around it, "" where it is not set."""
        return self.variables.get(name, "").strip(" \t\r\n")

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the lines of a variable that are not empty."""
        return tuple(line for one in self.variables.get(name, "").split("\n") if (line := one.strip(" \t\r")))

    def flag(self, name: str, field: str) -> bool:
        """Return true or false; raises UsageError for any other word."""
        value = self.text(name) or "false"
        if value not in ("true", "false"):
            raise UsageError(f"must be true or false, not '{value}'", field=field)
        return value == "true"

    def folder(self, name: str) -> Path:
        """Return a folder of the runner; raises UsageError outside of GitHub Actions."""
        value = self.text(name)
        if not value or not Path(value).is_dir():
            raise UsageError(f"{name} names no folder", hint="this command is for the GitHub action")
        return Path(value)

    def say(self, outputs: Mapping[str, str]) -> None:
        """Write outputs; a later value of the same name counts.

        Raises:
            Internal: a value is not of its form.
            ReportNotWritten: the file cannot be written.
        """
        for name, value in outputs.items():
            if not re.fullmatch(FORMS[name], value):
                raise Internal(f"'{value}' is no value of the output {name}")
        blocks = []
        for name, value in outputs.items():
            end = f"end-{secrets.token_hex(16)}"
            blocks.append(f"{name}<<{end}\n{value}\n{end}\n")
        self._append(OUTPUT, "".join(blocks))

    def summary_room(self) -> int:
        """Return how many bytes of summary this step has left."""
        path = self.text(SUMMARY)
        try:
            used = Path(path).stat().st_size if path else 0
        except OSError:
            used = 0
        return max(0, SUMMARY_LIMIT - SUMMARY_SPARE - used)

    def summarize(self, text: str) -> None:
        """Add to the summary of the step, or at least the first line, which says the verdict; raises ReportNotWritten.

        A runner without a summary has nothing to write to.
        """
        room = self.summary_room()
        fitting = (told for told in (text, text.partition("\n")[0]) if len(told.encode()) <= room)
        if self.text(SUMMARY) and (told := next(fitting, "")):
            self._append(SUMMARY, f"\n{told}\n")

    def _append(self, name: str, text: str) -> None:
        path = self.text(name)
        if not path:
            raise UsageError(f"{name} is not set", hint="this command is for the GitHub action")
        try:
            with Path(path).open("a", encoding="utf-8", newline="\n") as handle:
                handle.write(text)
        except OSError as error:
            raise ReportNotWritten(f"cannot be written: {error.strerror}", where=name) from error


def of_process() -> Runner:
    """Return the runner that started this process."""
    return Runner(dict(os.environ))


@contextlib.contextmanager
def commands_stopped() -> Iterator[None]:
    """Let the runner obey nothing that is printed meanwhile: libraries print names out of the files they read."""
    token = secrets.token_hex(16)
    _print(f"::stop-commands::{token}\n")
    try:
        yield
    finally:
        _print(f"::{token}::\n")


def command(level: str, message: str) -> str:
    """Return a workflow command that annotates the run with a message, which is one line and can end nothing."""
    told = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} title=fidelity-gate::{told}"


def obeyed(lines: str) -> None:
    """Print workflow commands, which the runner obeys."""
    _print(lines)


def _print(text: str) -> None:
    try:
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        raise ReportNotWritten(f"cannot be written: {error}", where="standard output") from error
