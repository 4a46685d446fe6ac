"""Each warning of `policy lint` about figures and bases fires on one policy, and does not on its neighbour."""

from __future__ import annotations

from pathlib import Path

import pytest

from fidelity_gate.policy.loading import Examined, examine

HEAD = "apiVersion: fidelity-gate/v1\nname: p\nrecursion: {h_cycles: 1, l_cycles: 1, steps: 2}\n"
WHOLE = """checks:
  f: {metric: carry_fidelity, aggregate: mean, require: {min: 0.9}}
  t: {metric: carry_fidelity, aggregate: worst, require: {min: 0.5}}
  n: {metric: carry_norm_ratio, aggregate: mean, require: {min: 0.9, max: 1.1}}
  a: {metric: answer_agreement, options: {level: puzzle}, aggregate: mean, require: {min: 95 %}}
  s: {metric: compressed_share, require: {min: 90 %}}
"""


def rules(text: str) -> list[str]:
    found = examine(text.encode(), "p.yaml")
    assert [str(problem) for problem in found.problems] == []
    return [advice.rule for advice in found.advice]


def lint(tmp_path: Path, **files: str) -> Examined:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    path = tmp_path / "child.yaml"
    return examine(path.read_bytes(), str(path), as_base=True)


def rules_of(found: Examined) -> list[str]:
    assert [str(problem) for problem in found.problems] == []
    return [advice.rule for advice in found.advice]


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize(
    ("check", "rule"),
    [
        ("{metric: puzzle_exact, aggregate: mean, require: {min: 99.9 %}}", "unresolved"),
        ("{metric: puzzle_exact, aggregate: mean, require: {min: 99 %}}", ""),
        ("{metric: puzzle_exact, aggregate: mean, require: {min: 100 %}}", ""),
        ("{metric: puzzle_exact_drop, aggregate: mean, require: {max: 0.5 %}}", "unresolved"),
        ("{metric: puzzle_exact_drop, aggregate: mean, require: {max: 1 %}}", ""),
        ("{metric: cell_accuracy, aggregate: mean, require: {min: 99.9 %}}", ""),
        ("{metric: puzzle_exact, aggregate: p05, require: {min: 95 %}}", "between-values"),
        ("{metric: puzzle_exact, aggregate: p05, require: {min: 100 %}}", ""),
        ("{metric: puzzle_exact_drop, aggregate: worst, require: {max: 0.5}}", "between-values"),
        ("{metric: puzzle_exact_drop, aggregate: worst, require: {max: 0}}", ""),
        ("{metric: lint, require: {max: 0.5}}", "between-values"),
        ("{metric: lint, require: {max: 0}}", ""),
        ("{metric: step_fidelity, aggregate: worst, require: {min: 1}}", "out-of-reach"),
        ("{metric: step_fidelity, aggregate: worst, require: {min: 0.999}}", ""),
        ("{metric: answer_agreement, aggregate: worst, require: {min: 100 %}}", ""),
        ("{metric: carry_range, aggregate: worst, require: {min: 1, max: 1}}", "out-of-reach"),
        ("{metric: carry_range, aggregate: worst, require: {min: 0.9, max: 1}}", ""),
        ("{metric: model_size, require: {max: 0 B}}", "out-of-reach"),
        ("{metric: model_size, require: {max: 1 B}}", ""),
        ("{metric: carry_fidelity, options: {at: 1}, aggregate: mean, require: {min: 0.995}}", "above-the-floor"),
        ("{metric: carry_fidelity, options: {at: 1}, aggregate: mean, require: {min: 0.99}}", ""),
        ("{metric: carry_fidelity, options: {at: 1}, aggregate: worst, require: {min: 0.995}}", ""),
    ],
)
def test_a_figure_is_told_where_it_does_not_say_what_its_author_means(check: str, rule: str) -> None:
    found = set(rules(f"{HEAD}{WHOLE}  x: {check}\n")) - {"mean-only", "any-findings"}
    assert found == ({rule} if rule else set())


def test_a_higher_limit_of_the_noise_floor_answers_the_warning_about_it() -> None:
    text = HEAD + WHOLE.replace("min: 0.9}", "min: 0.995}")
    assert rules(text) == ["above-the-floor"]
    assert rules(text.replace("checks:", "noise_floor: {limit: 0.995}\nchecks:")) == []


def test_the_warning_names_the_number_of_probes_that_would_do() -> None:
    found = examine(f"{HEAD}minimum_probes: 200\n{WHOLE.replace('95 %', '99.9 %')}".encode(), "p.yaml")
    assert [advice.hint for advice in found.advice] == ["minimum_probes: 1000, or require all of them"]
    assert rules(f"{HEAD}minimum_probes: 1000\n{WHOLE.replace('95 %', '99.9 %')}") == []


PARTS = "devices: {d: {use: qai_hub, device: D}}\nbaseline: {path: b.json}\n"
ON = "metric: device_answer_agreement, options: {device: d, probes: 8, level: puzzle}"
DROP = "metric: puzzle_exact, aggregate: mean, against: baseline"


@pytest.mark.parametrize(
    ("check", "hint"),
    [
        (f"{{{ON}, aggregate: mean, require: {{min: 95 %}}}}", "probes: 20, or require all of them"),
        (f"{{{ON}, aggregate: mean, require: {{min: 80 %}}}}", ""),
        (f"{{{DROP}, require: {{max_drop: 0.1 %}}}}", "minimum_probes: 1000, or require all of them"),
        (f"{{{DROP}, require: {{max_drop: 0.5 %, min: 90 %}}}}", "minimum_probes: 200, or require all of them"),
        (f"{{{DROP}, require: {{max_regression: 0.5 %}}}}", "minimum_probes: 200, or require all of them"),
        (f"{{{DROP}, require: {{max_regression: 1 %}}}}", ""),
        (f"{{{DROP}, require: {{max_drop: 0}}}}", ""),
    ],
)
def test_a_part_of_the_probes_and_a_loss_are_resolved_by_the_probes_that_count(check: str, hint: str) -> None:
    held = "  y: {metric: cell_accuracy, aggregate: mean, require: {max_drop: 50 %}}\n"
    found = examine(f"{HEAD}{PARTS}{WHOLE}{held}  x: {check}\n".encode(), "p.yaml")
    assert [str(problem) for problem in found.problems] == []
    assert [one.hint for one in found.advice if one.rule == "unresolved"] == ([hint] if hint else [])


@pytest.mark.parametrize(
    ("options", "aggregate", "said"),
    [
        ("probes: 8", "worst", ""),
        ("probes: 0", "p05", ""),
        ("probes: 20", "p05", ""),
        ("probes: 7", "worst", "decides nothing: at least 8 probes are needed (probes: 8)"),
        ("probes: 19", "p05", "decides nothing: at least 20 probes are needed (probes: 20, or aggregate: worst)"),
        ("probes: 99", "p01", "decides nothing: at least 100 probes are needed"),
    ],
)
def test_a_part_of_the_probes_that_never_decides_is_refused(options: str, aggregate: str, said: str) -> None:
    check = f"{{metric: device_step_fidelity, options: {{device: d, {options}}}, aggregate: {aggregate}"
    found = examine(f"{HEAD}{PARTS}{WHOLE}  x: {check}, require: {{min: 0.9}}}}\n".encode(), "p.yaml")
    told = [f"{one.field}: {one.what} ({one.hint})" for one in found.problems if "baseline" not in one.field]
    assert len(told) == bool(said)
    assert all(line.startswith(f"checks.x.options.probes: {said}") for line in told)


MILDER = "  x: {metric: carry_fidelity, aggregate: p05, require: {min: %s}, severity: %s}\n"
STRICT = WHOLE.replace("min: 0.5}}", "min: 0.5}, severity: error, candidates: [a]}")
CANDIDATES = "candidates: {a: a, b: b}\n"


@pytest.mark.parametrize(
    ("text", "implied"),
    [
        (WHOLE + MILDER % ("0.5", "error"), True),
        (WHOLE + MILDER % ("0.4", "warn"), True),
        (WHOLE + MILDER % ("0.6", "error"), False),
        (CANDIDATES + STRICT + MILDER % ("0.5", "error"), False),
        (CANDIDATES + STRICT + (MILDER % ("0.5", "error")).replace("}}", "}, candidates: [a]}"), False),
        (CANDIDATES + STRICT + (MILDER % ("0.5", "error, candidates: [a]")), True),
        (
            CANDIDATES
            + STRICT.replace("severity: error", "severity: warn")
            + (MILDER % ("0.5", "error, candidates: [a]")),
            False,
        ),
        (WHOLE + (MILDER % ("0.5", "error")).replace("aggregate", "options: {at: 1}, aggregate"), False),
        (WHOLE + (MILDER % ("0.5", "error")).replace("0.5}", "0.5, max: 0.99}"), False),
    ],
)
def test_a_check_that_another_one_decides_before_it_is_told(text: str, *, implied: bool) -> None:
    assert ("implied" in rules(HEAD + text)) is implied


# ---------------------------------------------------------------- bases

CHILD = "apiVersion: fidelity-gate/v1\nname: child\nextends: base.yaml\n"


def test_what_is_looser_than_an_unlocked_base_is_told_with_both_places(tmp_path: Path) -> None:
    child = f"{CHILD}minimum_probes: 50\nchecks:\n  f: {{require: {{min: 0.8}}}}\n  t: {{require: {{min: 0.6}}}}\n"
    found = lint(tmp_path, base=f"{HEAD}minimum_probes: 100\n{WHOLE}", child=child)
    assert rules_of(found) == ["looser-than-base", "looser-than-base"]
    told = found.advice[1]
    assert (told.place.line, told.what) == (6, "checks.f.require.min is looser than the base: 0.9 -> 0.8")
    assert str(tmp_path / "base.yaml") in told.hint
    assert rules_of(lint(tmp_path, child=f"{CHILD}checks:\n  f: {{require: {{min: 0.95}}}}\n")) == []


def test_a_base_that_ships_is_a_place_to_start(tmp_path: Path) -> None:
    child = CHILD.replace("base.yaml", "fidelity-gate:base-recursive")
    assert rules_of(lint(tmp_path, child=f"{child}checks:\n  carry-fidelity: {{require: {{min: 0.8}}}}\n")) == []


def test_a_check_of_the_base_that_is_switched_off_is_told(tmp_path: Path) -> None:
    found = lint(tmp_path, base=HEAD + WHOLE, child=f"{CHILD}checks:\n  n: {{severity: off}}\n")
    assert "base-check-off" in rules_of(found)
    off = WHOLE.replace("max: 1.1}", "max: 1.1}, severity: off")
    assert "base-check-off" not in rules_of(lint(tmp_path, base=HEAD + off, child=CHILD))


def test_a_base_of_which_nothing_is_left_is_told(tmp_path: Path) -> None:
    idle = "apiVersion: fidelity-gate/v1\nname: idle\nminimum_probes: 50\n"
    child = CHILD.replace("base.yaml", "[idle.yaml, base.yaml]")
    base = f"{HEAD}minimum_probes: 100\n{WHOLE}"
    assert rules_of(lint(tmp_path, idle=idle, base=base, child=child)) == ["idle-base"]
    assert rules_of(lint(tmp_path, idle=f"{idle}run: {{seed: 3}}\n")) == []


LOCKED = WHOLE.replace("min: 0.9}}", "min: 0.9}, locked: true}", 1)


def test_a_locked_check_beside_an_unlocked_noise_floor_is_told(tmp_path: Path) -> None:
    floor, probes = "noise_floor: {limit: 0.99, locked: true}\n", "minimum_probes: 100\nlocked: [minimum_probes]\n"
    assert rules_of(lint(tmp_path, child=HEAD + LOCKED)) == ["half-locked"]
    half = lint(tmp_path, child=HEAD + floor + LOCKED)
    assert "minimum_probes is not" in half.advice[0].what
    assert rules_of(lint(tmp_path, child=HEAD + floor + probes + LOCKED)) == []
    assert rules_of(lint(tmp_path, child=HEAD + WHOLE.replace("90 %}}", "90 %}, locked: true}"))) == []


def test_a_base_without_a_lock_is_told_and_nothing_else_about_it(tmp_path: Path) -> None:
    alone = "apiVersion: fidelity-gate/v1\nname: base\nbase: true\n"
    alone += "checks:\n  s: {metric: compressed_share, require: {min: 90 %}}\n"
    assert rules_of(lint(tmp_path, child=alone)) == ["unlocked-base"]
    assert rules_of(lint(tmp_path, child=alone.replace("90 %}}", "90 %}, locked: true}"))) == []


def test_a_check_that_is_never_waived_and_not_locked_is_told(tmp_path: Path) -> None:
    base = f"{HEAD}base: true\nwaiver_rules: {{max_days: 9, never: [s]}}\nnoise_floor: {{limit: 0.99}}\n{WHOLE}"
    base = base.replace("min: 0.5}}", "min: 0.5}, locked: true}")
    base = base.replace("checks:", "minimum_probes: 100\nlocked: [minimum_probes, noise_floor]\nchecks:")
    assert rules_of(lint(tmp_path, child=base)) == ["never-unlocked"]
    assert rules_of(lint(tmp_path, child=base.replace("90 %}}", "90 %}, locked: true}"))) == []
    child = f"{CHILD}candidates: {{int8: int8}}\n"
    assert rules_of(lint(tmp_path, base=base, child=child)) == []


def test_a_waiver_that_the_base_bears_is_no_weakness(tmp_path: Path) -> None:
    waiver = (
        f"waivers:\n  w: {{check: s, candidate: int8, digest: {'a' * 64}, floor: {{min: 80 %}}, reason: r, ticket: t,\n"
        "    owner: o, created: 2026-11-01, expires: 2026-11-09}\n"
    )
    child = f"{CHILD}candidates: {{int8: int8}}\n{waiver}"
    ruled = f"{HEAD}waiver_rules: {{max_days: 9}}\n{WHOLE}"
    assert rules_of(lint(tmp_path, base=ruled, child=child)) == []
