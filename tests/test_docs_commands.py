"""Every command of README and docs/ is run, in the order of its page, and ends and prints as the page says."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import docs_setups
import pytest
from docs_pages import (
    ROOT,
    Command,
    Setup,
    Skipped,
    Written,
    blocks,
    missing,
    name_of,
    pages,
    things_to_do,
)

from fidelity_gate.cli import answer

TIME_LIMIT_S = 240
NOT_OURS = ("FIDELITY_GATE", "_", "SHLVL", "PWD", "OLDPWD")  # the beginnings of variables that no page sets
SHIMS = {
    "fidelity-gate": "-m fidelity_gate.cli",
    "pytest": "-m pytest -p no:cacheprovider -p no:hypothesispytest --assert=plain",
    "python": "",
}
STARTING_OTHERS = ("ci",)  # commands whose children write to the terminal themselves
PIP = '-m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --target "$SITE"'
WITH_COMMANDS = [
    page
    for page in pages()
    if name_of(page) not in docs_setups.ELSEWHERE and any(isinstance(one, Command) for one in things_to_do(page))
]


class Shell:
    """A folder, an environment, and commands that are run in them."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self.base = {name: text for name, text in os.environ.items() if not name.startswith(NOT_OURS)}
        self.base |= {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{bin_folder / 'site'}{os.pathsep}{ROOT}",
            "SITE": str(bin_folder / "site"),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        self.env = dict(self.base)

    def run(self, line: str) -> tuple[int, str]:
        """Return how a command ended and what it printed."""
        words = shlex.split(line, comments=True)
        if words[:1] == ["PYTHONPATH=."]:
            sys.path.insert(0, str(self.folder))
            words = words[1:]
        has_plugs = any(Path(self.env["SITE"]).glob("*.dist-info"))
        of_ours = words[:1] in (["fidelity-gate"], ["python"]) and words[1] not in STARTING_OTHERS
        if not of_ours or has_plugs or re.search(r"[`|<>;&*?\n]", line):
            return self._in_bash(line)
        return _in_process(self._expanded(line, words))

    def _expanded(self, line: str, words: list[str]) -> list[str]:
        """Return the words of a plain command line as a shell would give them to the program."""
        if "$" not in line:
            return words
        script = f"words() {{ printf '%s\\0' \"$@\"; }}; words {line}"
        done = subprocess.run(["bash", "-c", script], cwd=self.folder, env=self.env, capture_output=True, check=True)
        return done.stdout.decode().split("\0")[:-1]

    def _in_bash(self, line: str) -> tuple[int, str]:
        """Run a line; what it exports is there for the lines that follow."""
        left = self.folder.parent / "environment"
        script = f'{line}\ncode=$?; env -0 > "{left}"; exit $code'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
        entries = [entry.partition("=") for entry in left.read_text().split("\0") if entry]
        self.env = {name: text for name, _, text in entries if not name.startswith(NOT_OURS)}
        return done.returncode, done.stdout + done.stderr


def _in_process(words: list[str]) -> tuple[int, str]:
    """Run a command line, or a script, here: torch is imported once for all pages."""
    program, *given = words
    told = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        if program == "python":
            runpy.run_path(given[0], run_name="__main__")
        code = answer(given) if program != "python" else 0
    return code, told.buffer.getvalue().decode()


@pytest.fixture(scope="session")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs that pages call, each of this very interpreter and checkout."""
    folder = tmp_path_factory.mktemp("bin")
    for name, what in SHIMS.items():
        _program(folder / name, f'exec "{sys.executable}" {what} "$@"')
    _program(folder / "pip", f'test "$1" = install && shift && exec "{sys.executable}" {PIP} "$@"')
    return folder


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_page_do_what_it_says(page, tmp_path, bin_folder, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "path", [*sys.path])
    shutil.rmtree(bin_folder / "site", ignore_errors=True)
    shell = Shell(folder, bin_folder)
    for thing in things_to_do(page):
        if isinstance(thing, Setup):
            getattr(docs_setups, thing.name)(folder)
        elif isinstance(thing, Written):
            path = folder / thing.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(thing.text)
        elif isinstance(thing, Command) and not _cannot_run(thing.line):
            code, printed = shell.run(thing.line)
            told = f"{thing.place}: $ {thing.line}\n{printed}"
            assert code == thing.code, f"exit code {code}, and the page says {thing.code}: {told}"
            assert not missing(thing.shown, printed), f"not printed: {missing(thing.shown, printed)}: {told}"


def _cannot_run(line: str) -> bool:
    if re.match(r"pip install .*--no-deps.* \.{0,2}[\w-]*/", line):
        return False
    return any(line.startswith(begun) for begun in docs_setups.CANNOT_RUN)


def test_every_reason_not_to_run_a_command_is_one_of_the_list_and_used():
    skipped = [one for page in pages() for one in things_to_do(page) if isinstance(one, Skipped)]
    assert {one.reason for one in skipped} <= set(docs_setups.NOT_RUN)
    assert set(docs_setups.NOT_RUN) <= {one.reason for one in skipped}, "nobody needs this reason any more"


@pytest.mark.parametrize("page", sorted(docs_setups.ELSEWHERE))
def test_pages_that_are_walked_by_a_test_of_their_own_are_named_by_it(page):
    assert (ROOT / page).exists()
    assert Path(page).name in (Path(__file__).parent / docs_setups.ELSEWHERE[page]).read_text(encoding="utf-8")


def test_no_command_of_a_page_is_hidden_from_these_tests():
    """Commands stand in `console` blocks after "$ "; a synopsis or an example of --help is `text`."""
    for block in (block for page in pages() for block in blocks(page)):
        if block.language in ("console", "shell"):
            assert block.body.startswith("$ "), f"{block.place}: a console block begins with a command"
        else:
            assert block.language != "bash", f"{block.place}: say console, with $ before the commands"
            assert not re.search(r"^\$ ", block.body, re.MULTILINE), f"{block.place}: commands in a {block.language}"
            hidden = [line for line in block.body.split("\n") if _is_command(line)]
            is_made = block.place.startswith("docs/reference/")
            assert is_made or not hidden, f"{block.place}: {hidden}: commands stand in console blocks"


def test_every_block_of_a_page_is_seen_by_these_tests():
    """A fence that is indented, or of tildes, and commands that stand in no block would be passed over in silence."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for block in blocks(page):
            text = text.replace(block.body, "")
        hidden = re.findall(r"^(?:[ \t]+`{3}|[ \t]*~{3}|[ \t]*\$ | {4,}fidelity-gate ).*", text, re.MULTILINE)
        assert not hidden, f"{name_of(page)}: {hidden}"


def _is_command(line: str) -> bool:
    """Return whether a line is a command of ours; a synopsis, which has words in capitals, is none."""
    return bool(re.match(r"fidelity-gate [a-z]", line)) and not re.search(r"\b[A-Z]{4,}\b", line)


def test_shown_lines_are_those_that_are_printed_but_for_rounding_and_what_a_run_has_of_its_own():
    printed = " pass   carry-fidelity   int4   0.9943  >= 0.975  #12\nPASSED: all 7 required checks are met\n"
    printed += "judged 2026-05-12T09:30:00+00:00 (734822363c96...), 1,094,273 bytes, 1 - 4.5e-11, in 12.5 ms\n"
    assert not missing((" pass   carry-fidelity   int4   0.9951  >= 0.975  #90", "PASSED: all ...", "..."), printed)
    assert not missing(("judged 2026-01-01T00:00:00+00:00 (00...), 9 bytes, 1 - 9.0e-11, in 99 ms",), printed)
    for wrong in (
        " fail   carry-fidelity   int4   0.9943  >= 0.975  #12",
        " pass   carry-fidelity   int4   0.9121  >= 0.975  #12",
        "PASSED: all 7 required checks",
        "PASSED: all 6 required checks are met",
    ):
        assert missing((wrong,), printed), wrong
