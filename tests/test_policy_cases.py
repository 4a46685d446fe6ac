"""Every policy in cases/policy is what its first line says: fine, or wrong at that line and column in those words."""

from __future__ import annotations

from pathlib import Path

import pytest

from fidelity_gate.errors import ExitCode, PolicyError
from fidelity_gate.policy.loading import examine, load_policy

CASES = Path(__file__).parent / "cases" / "policy"
PASSING = sorted((CASES / "pass").glob("*.yaml"))
FAILING = sorted((CASES / "error").glob("*.yaml"))


def names(files: list[Path]) -> list[str]:
    return [file.stem for file in files]


@pytest.mark.parametrize("file", PASSING, ids=names(PASSING))
def test_a_sound_policy_has_no_problems(file: Path) -> None:
    found = examine(file.read_bytes(), "p.yaml")
    assert [str(problem) for problem in found.problems] == []
    assert found.policy is not None


@pytest.mark.parametrize("file", FAILING, ids=names(FAILING))
def test_a_wrong_policy_is_refused_where_and_for_what_its_first_line_says(file: Path) -> None:
    first = file.read_text(encoding="utf-8").split("\n")[0]
    place, _, fragment = first.removeprefix("# error: ").partition(": ")
    with pytest.raises(PolicyError) as caught:
        load_policy(str(file))
    message = str(caught.value)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert caught.value.where == f"{file}:{place}"
    assert fragment in " ".join((caught.value.field, caught.value.what, f"({caught.value.hint})"))
    assert "\n" not in message
    assert len(message) <= 200


@pytest.mark.parametrize("file", FAILING, ids=names(FAILING))
def test_every_problem_names_a_line_of_the_file(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    for problem in examine(file.read_bytes(), "p.yaml").problems:
        line = int(problem.where.split(":")[1])
        assert 1 <= line <= len(lines) + 1


def test_there_are_cases_of_both_kinds() -> None:
    assert len(PASSING) > 5
    assert len(FAILING) > 100
