"""What a session asks for: its options and ini keys, each policy with the paths that replace its own."""

from __future__ import annotations

import hashlib
import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fidelity_gate.errors import UsageError
from fidelity_gate.pytest_parts.common import KEEP_GOING_INI, NOT_IN_INI, OPTION, REPORTS_INI, WAIT_INI, WAIT_SECONDS
from fidelity_gate.testing import path_given

ZOO = "zoo:"
ADDOPTS = "PYTEST_ADDOPTS"
# With these pytest shows something, runs no test, and ends in 0.
ONLY_SHOW = (
    *("--collect-only", "--collectonly", "--co", "--fixtures", "--funcargs", "--fixtures-per-test", "--markers"),
    *("--cache-show", "--help", "-h", "--version", "-V"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """One policy, and the paths that replace its own: what a session measures once.

    Attributes:
        policy: its file, against the folder that the session was started in.
        reference: a path, or None for the policy's.
        candidates: `NAME=PATH`.
        inputs: as `--inputs` of the command line has it.
        measurements: a saved measurement to judge; then nothing is run.
    """

    policy: str
    reference: str | None = None
    candidates: tuple[str, ...] = ()
    inputs: str | None = None
    measurements: str | None = None

    @property
    def name(self) -> str:
        """Return a name for files."""
        return hashlib.sha256(repr(self).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Gated:
    """One policy that was collected, and the tests that show what became of it; it travels between processes as JSON.

    Attributes:
        source: the policy.
        verdict: node id of its verdict.
        checks: node ids of its checks, those left out too.
        left_out: names of the checks that will not be run.
        refused: why the policy could not be collected, or "".
    """

    source: Source
    verdict: str
    checks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    refused: str = ""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Gated:
        """Return what `plain` gave."""
        source = plain["source"]
        return cls(
            Source(**{**source, "candidates": tuple(source["candidates"])}),
            plain["verdict"],
            tuple(plain["checks"]),
            tuple(plain["left_out"]),
            plain["refused"],
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """How a session measures.

    Attributes:
        folder: that the session was started in; relative paths are against it.
        allow_code: run Python that a policy names; only ever the word of whoever started the session.
        keep_going: run the models even where the files alone fail a check already.
        adds: what is judged is added to histories.
        wait: seconds that one process waits for another one to measure.
    """

    folder: Path
    allow_code: bool
    keep_going: bool
    adds: bool
    wait: float


def settings_of(config: pytest.Config) -> Settings:
    """Return how the session measures.

    Raises:
        pytest.UsageError: the time to wait is no time.
    """
    given = config.getoption("--fg-wait")
    text = str(config.getini(WAIT_INI) or WAIT_SECONDS) if given is None else given
    try:
        wait = float(text)
    except ValueError:
        wait = math.nan
    if not 0 <= wait < math.inf:
        raise pytest.UsageError(f"--fg-wait: '{text}' is not a number of seconds")
    return Settings(
        folder=config.invocation_params.dir,
        allow_code=config.getoption("--fg-allow-code"),
        keep_going=config.getoption("--fg-keep-going") or config.getini(KEEP_GOING_INI),
        adds=config.getoption("--fg-add-to-history"),
        wait=wait,
    )


def source_of(config: pytest.Config, path: Path) -> Source:
    """Return a policy as the session's options have it."""
    folder = config.invocation_params.dir
    option = config.getoption
    return Source(
        policy=str(path.relative_to(folder) if path.is_relative_to(folder) else path),
        reference=option("--fg-reference"),
        candidates=tuple(option("--fg-candidate")),
        inputs=option("--fg-inputs"),
        measurements=option("--fg-measurements"),
    )


def source_from_test(
    config: pytest.Config,
    policy: str | os.PathLike[str],
    *,
    reference: str | os.PathLike[str] | None = None,
    candidates: Mapping[str, str | os.PathLike[str]] | None = None,
    inputs: str | os.PathLike[str] | None = None,
) -> Source:
    """Return a policy as a test asks for it: its paths are against the root of the tests, and go before options.

    Raises:
        UsageError: an argument is no path, or `candidates` no mapping of names to paths.
    """
    __tracebackhide__ = True
    root = config.rootpath
    asked = source_of(config, Path(os.path.normpath(root / path_given(policy, "policy"))))
    if reference is None and candidates is None and inputs is None:
        return asked
    return replace(
        asked,
        reference=asked.reference if reference is None else _against(root, path_given(reference, "reference")),
        candidates=asked.candidates if candidates is None else _named(root, candidates),
        inputs=asked.inputs if inputs is None else _rows_against(root, path_given(inputs, "inputs")),
        measurements=None,  # of other models than the test's
    )


def refuse_loosening(config: pytest.Config) -> None:
    """Raise where the ini file or the environment says what only the command line may say.

    Raises:
        pytest.UsageError: with the option.
    """
    file = config.inipath.name if config.inipath else "the ini file"
    shows = ONLY_SHOW if config.getoption(OPTION) else ()
    for place, words, forbidden in (
        (f"{file}: addopts", config.getini("addopts"), (*NOT_IN_INI, *shows)),
        (ADDOPTS, shlex.split(os.environ.get(ADDOPTS, "")), shows),
    ):
        for word in (str(word).partition("=")[0] for word in words):
            if word in forbidden or (word.startswith("@") and forbidden):  # a file of arguments could hold any of them
                raise pytest.UsageError(f"{place}: {word} may only be given on the command line")


def only_shows(config: pytest.Config) -> bool:
    """Return whether whoever started the session wants to be shown something, and no test to be run.

    Only the words of the command line count: an ini file comes with the change that is judged, and neither it nor the
    environment nor a `conftest.py` may turn a session that judges into one that ends in 0 without.
    """
    return any(str(word).partition("=")[0] in ONLY_SHOW for word in config.invocation_params.args)


def report_texts(config: pytest.Config) -> tuple[str, ...]:
    """Return the reports to leave, as the command line and the ini file name them."""
    return tuple(str(text) for text in (*config.getoption("--fg-report"), *config.getini(REPORTS_INI)))


def is_selected(config: pytest.Config, path: Path) -> bool:
    """Return whether a file is one of the session's arguments, or stands in a folder that is."""
    folder = config.invocation_params.dir
    chosen = [Path(os.path.normpath(folder / arg.partition("::")[0])) for arg in config.args]
    return any(path.is_relative_to(one) for one in chosen)


def _named(root: Path, candidates: object) -> tuple[str, ...]:
    """Return candidates as `--fg-candidate` has them."""
    __tracebackhide__ = True
    if not isinstance(candidates, Mapping):
        what = f"is of type {type(candidates).__name__}, and no mapping of names to files"
        raise UsageError(what, field="candidates", hint="candidates={'int8': 'build/int8.safetensors'}")
    given = {name: path_given(path, f"candidates.{name}") for name, path in candidates.items()}
    return tuple(f"{name}={_against(root, path)}" for name, path in given.items())


def _against(root: Path, text: str) -> str:
    return text if text.startswith(ZOO) else str(root / text)


def _rows_against(root: Path, text: str) -> str:
    """Return a path against the root where there is such a file; `sudoku:count=100` is none."""
    return str(root / text) if not text.startswith(ZOO) and (root / text).exists() else text
