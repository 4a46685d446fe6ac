"""`locked`: tightening is accepted and never lets more through, loosening is always refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import measured as made_measured
from made import measurement

from fidelity_gate.analysis.linting import chosen_rules
from fidelity_gate.bounds import all_met, observations
from fidelity_gate.errors import UsageError
from fidelity_gate.judge import judge
from fidelity_gate.policy.linting import severities
from fidelity_gate.policy.loading import Examined, examine
from fidelity_gate.policy.strictness import is_stricter
from fidelity_gate.records import Aggregate, Bound, Direction, LintSettings, ModelSpec, Outcome, Policy, Severity
from fidelity_gate.verbs.keeping import with_history

HEAD = "apiVersion: fidelity-gate/v1\n"
DEPTH = "recursion: {h_cycles: 2, l_cycles: 2, steps: 3}\n"
CHILD = f"{HEAD}name: child\nextends: base.yaml\n{DEPTH}"
CANDIDATE = "candidates: {int8: int8.safetensors}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("locks")


def both(folder: Path, base: str, child: str) -> Examined:
    (folder / "base.yaml").write_text(f"{HEAD}name: base\n{base}")
    name = str(folder / "child.yaml")
    return examine(f"{CHILD}{child}".encode(), name)


def told(found: Examined) -> list[str]:
    return [str(problem) for problem in found.problems]


# ---------------------------------------------------------------- properties

BOUNDS = st.floats(-0.95, 0.95).map(lambda value: round(value, 4))
KINDS = st.sampled_from(["min", "max"])


def a_check(low: float, high: float, *, locked: bool = False) -> str:
    lock = ", locked: true" if locked else ""
    bound = f"{{min: {low!r}, max: {high!r}}}"
    return f"checks:\n  c: {{metric: consecutive_similarity, aggregate: worst, require: {bound}{lock}}}\n"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_bound_is_accepted_under_a_lock_exactly_where_it_lets_nothing_new_through(
    folder: Path, data: st.DataObject
) -> None:
    low, high = sorted(data.draw(st.tuples(BOUNDS, BOUNDS)))
    new_low, new_high = sorted(data.draw(st.tuples(st.one_of(BOUNDS, st.just(low)), st.one_of(BOUNDS, st.just(high)))))
    refine = f"checks:\n  c: {{require: {{min: {new_low!r}, max: {new_high!r}}}}}\n"
    found = both(folder, a_check(low, high, locked=True), refine + CANDIDATE)
    tighter = new_low >= low and new_high <= high
    assert (found.policy is not None) == tighter
    if not tighter:
        assert all("is looser than" in line and "locked at" in line for line in told(found))
        return
    assert found.policy is not None
    values = (data.draw(st.floats(-1, 1)),) * 99 + (data.draw(st.floats(-1, 1)),)
    loose = examine(f"{HEAD}name: p\n{DEPTH}{CANDIDATE}{a_check(low, high)}".encode(), "p.yaml").policy
    assert loose is not None
    if outcome(loose, values) is Outcome.FAIL:
        assert outcome(found.policy, values) is Outcome.FAIL


def outcome(policy: Policy, values: tuple[float, ...]) -> Outcome:
    (check,) = policy.checks
    one = measurement(values, metric=check.metric, options=check.options, direction=Direction.BOTH)
    (result,) = judge(policy, made_measured(one, probes=100)).results
    return result.outcome


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=st.integers(1, 400), new=st.integers(1, 400), limits=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)))
def test_locked_blocks_can_only_be_tightened(folder: Path, old: int, new: int, limits: tuple[float, float]) -> None:
    floor = f"noise_floor: {{limit: {limits[0]!r}, locked: true}}\n"
    base = f"minimum_probes: {old}\nlocked: [minimum_probes]\n{floor}{a_check(0.1, 0.2)}"
    found = both(folder, base, f"minimum_probes: {new}\nnoise_floor: {{limit: {limits[1]!r}}}\n")
    refused = [line for line in told(found) if "locked at" in line]
    assert len(refused) == (new < old) + (limits[1] < limits[0])
    assert (found.policy is None) == bool(refused)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=st.sampled_from(list(Severity)), new=st.sampled_from(list(Severity)))
def test_a_locked_severity_never_gets_lower(folder: Path, old: Severity, new: Severity) -> None:
    rank = {Severity.OFF: 0, Severity.WARN: 1, Severity.ERROR: 2}
    other = "  d: {metric: model_size, require: {max: 1 MB}}\n"
    base = a_check(0.1, 0.2, locked=True).replace("locked", f"severity: {old}, locked") + other
    found = both(folder, base, f"checks:\n  c: {{severity: {new}}}\n")
    assert (found.policy is not None) == (rank[new] >= rank[old])


PREFIXES = st.lists(st.sampled_from(["FG", "FG1", "FG2", "FG20", "FG201", "FG4", "FG505"]), max_size=3, unique=True)
SEVERITIES = st.dictionaries(st.sampled_from(["FG", "FG2", "FG201", "FG404"]), st.sampled_from(list(Severity)))


@settings(max_examples=60, deadline=None)
@given(select=PREFIXES, ignore=PREFIXES, severity=SEVERITIES)
def test_severities_of_rules_are_those_that_lint_runs_with(
    select: list[str], ignore: list[str], severity: dict[str, Severity]
) -> None:
    chosen = LintSettings(tuple(select), tuple(ignore), tuple(sorted(severity.items())))
    ran = {one.rule.code: one.severity for one in chosen_rules(chosen)}
    assert {code: one for code, one in severities(chosen).items() if one is not Severity.OFF} == ran


# ---------------------------------------------------------------- single cases

LOCKED = a_check(0.1, 0.9, locked=True)


def test_equal_values_are_fine_under_a_lock_however_they_are_written(tmp_path: Path) -> None:
    base = "checks:\n  s: {metric: compressed_share, require: {min: 90 %}, locked: true}\n"
    assert told(both(tmp_path, base, "checks:\n  s: {require: {min: 0.9}, severity: error}\n")) == []


def test_a_lock_holds_at_every_later_file_with_what_it_says_there(tmp_path: Path) -> None:
    (tmp_path / "org.yaml").write_text(f"{HEAD}name: org\n{LOCKED}")
    team = "extends: org.yaml\nchecks:\n  c: {require: {min: 0.5}}\n"
    refused = told(both(tmp_path, team, "checks:\n  c: {require: {min: 0.3}}\n"))
    assert len(refused) == 1
    assert "0.3 is looser than 0.5, locked at base.yaml:5:22" in refused[0]
    assert told(both(tmp_path, team, "checks:\n  c: {require: {min: 0.6}}\n")) == []


def test_a_lock_cannot_be_dodged_by_a_base_in_between(tmp_path: Path) -> None:
    (tmp_path / "org.yaml").write_text(f"{HEAD}name: org\n{LOCKED}")
    team = "extends: org.yaml\nchecks:\n  c: {require: {min: 0}}\n"
    assert "0 is looser than 0.1" in told(both(tmp_path, team, ""))[0]


def test_the_second_of_two_bases_is_held_by_the_locks_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(f"{HEAD}name: other\nchecks:\n  c: {{severity: off}}\n")
    (tmp_path / "base.yaml").write_text(f"{HEAD}name: base\n{LOCKED}")
    text = (
        CHILD.replace("base.yaml", "[base.yaml, other.yaml]")
        + "checks:\n  d: {metric: model_size, require: {max: 1 MB}}\n"
    )
    found = examine(text.encode(), str(tmp_path / "child.yaml"))
    assert any("off is looser than error, locked at" in line for line in told(found))


def test_the_second_end_of_a_bound_is_tighter_than_one(tmp_path: Path) -> None:
    base = "checks:\n  f: {metric: carry_fidelity, aggregate: mean, require: {min: 0.9}, locked: true}\n"
    assert told(both(tmp_path, base, "checks:\n  f: {require: {max: 0.999}}\n")) == []


def test_a_locked_check_of_targets_takes_the_targets_of_who_extends_it_where_the_base_has_none(tmp_path: Path) -> None:
    base = "checks:\n  s: {metric: sram_peak, require: {max: target.sram}, locked: true}\n"
    assert told(both(tmp_path, base, "targets: [soc-8mb]\n")) == []
    other = "  t: {metric: sram_peak, options: {scenario: full_load}, require: {max: target.sram}}\n"
    refused = told(both(tmp_path, base, f"targets: [soc-8mb]\nchecks:\n  s: {{require: {{max: 9 MiB}}}}\n{other}"))
    assert any("leaves out soc-8mb" in line for line in refused)


def test_a_policy_may_add_targets_candidates_devices_and_checks_beside_locked_ones(tmp_path: Path) -> None:
    base = (
        f"targets: [soc-8mb]\nlocked: [targets]\n{CANDIDATE}devices: {{a: {{use: host-cpu}}}}\n"
        "checks:\n  s: {metric: sram_peak, require: {max: target.sram}, locked: true}\n"
        "  t: {metric: latency, options: {device: a}, require: {max: 1 s}, locked: true}\n"
    )
    child = (
        "targets: [soc-8mb, mcu-4mb]\ncandidates: {int4: b}\ndevices: {b: {use: host-cpu}}\n"
        "checks:\n  z: {metric: model_size, require: {max: 1 MB}}\n"
        "  u: {metric: latency, options: {device: b}, require: {max: 1 s}}\n"
    )
    assert told(both(tmp_path, base, child)) == []


def test_a_locked_check_of_findings_holds_every_rule_that_the_base_says_nothing_of(tmp_path: Path) -> None:
    base = "checks:\n  l: {metric: lint, require: {max: 0}, locked: true}\n"
    assert told(both(tmp_path, base, "lint: {severity: {FG6: error}}\n")) == []
    (refused,) = told(both(tmp_path, base, "lint: {ignore: [FG201]}\n"))
    assert "FG201 off is looser than FG201 error" in refused


def test_targets_of_a_base_that_are_not_locked_can_be_replaced(tmp_path: Path) -> None:
    base = "targets: [mcu-4mb]\nnoise_floor: {limit: 0.99, locked: true}\n"
    base += "checks:\n  l: {metric: lint, require: {max: 0}}\n"
    child = (
        "targets: [soc-8mb]\ncandidates: {int8: {path: a, targets: [soc-8mb]}}\n"
        "checks:\n  s: {metric: sram_peak, require: {max: target.sram}, targets: [soc-8mb]}\n"
    )
    assert told(both(tmp_path, base, child)) == []


def test_a_candidate_may_be_for_a_target_of_its_own_beside_a_locked_check_of_the_bases(tmp_path: Path) -> None:
    base = "targets: [mcu-4mb]\nchecks:\n  s: {metric: sram_peak, require: {max: target.sram}, locked: true}\n"
    child = "targets: [soc-8mb, mcu-4mb]\ncandidates: {a: {path: a, targets: [soc-8mb]}, b: b}\n"
    assert told(both(tmp_path, base, child)) == []
    fewer = told(both(tmp_path, base, f"{child}checks:\n  s: {{targets: [mcu-4mb]}}\n"))
    assert any("leaves out soc-8mb" in line for line in fewer) or any("no check" in line for line in fewer)


def test_a_base_that_is_wrong_in_itself_is_told_even_where_a_policy_mends_it(tmp_path: Path) -> None:
    base = "checks:\n  f: {metric: carry_fidelity, aggregate: mean, require: {min: 2}, locked: true}\n"
    refused = told(both(tmp_path, base, "checks:\n  f: {require: {min: 0.9}}\n"))
    assert any(line.startswith(f"{tmp_path / 'base.yaml'}:4:") for line in refused)


def test_a_lock_in_a_policy_that_nothing_extends_says_nothing(tmp_path: Path) -> None:
    found = examine(f"{HEAD}name: p\n{DEPTH}{LOCKED}".encode(), str(tmp_path / "p.yaml"))
    assert told(found) == []


def test_a_base_may_be_looked_at_but_never_judged_by(tmp_path: Path) -> None:
    text = (
        f"{HEAD}name: b\nbase: true\nchecks:\n  s: {{metric: sram_peak, require: {{max: target.sram}}, locked: true}}\n"
    )
    name = str(tmp_path / "b.yaml")
    assert "only there to be extended" in told(examine(text.encode(), name))[0]
    assert told(examine(text.encode(), name, as_base=True)) == []
    wrong = examine(text.replace("sram_peak", "sram_peek").encode(), name, as_base=True)
    assert "no metric is named 'sram_peek'" in told(wrong)[0]


def test_locked_measurements_of_one_policy_judge_as_before() -> None:
    policy = examine(f"{HEAD}name: p\n{DEPTH}{LOCKED}".encode(), "p.yaml").policy
    assert policy is not None
    named = replace(policy, candidates=(ModelSpec("int8", "a"),))
    assert named.checks[0].aggregate is Aggregate.WORST
    assert outcome(named, (0.5,) * 100) is Outcome.PASS
    assert outcome(named, (0.5,) * 99 + (0.95,)) is Outcome.FAIL


# ---------------------------------------------------------------- ways round a lock

RESTED_ON = f"""\
{DEPTH}targets: [soc-8mb, mcu-4mb]
candidates: {{int8: i8, int4: {{path: i4, recursion: {{steps: 2}}}}}}
baseline: {{path: b.json}}
history: {{path: h.jsonl}}
devices: {{phone: {{use: host-cpu, runs: 30}}}}
locked: [recursion]
checks:
  a: {{metric: answer_agreement, aggregate: mean, require: {{max_drop: 1 %}}, against: baseline, locked: true}}
  s: {{metric: sram_peak, require: {{max: target.sram}}, locked: true}}
  t: {{metric: latency, options: {{device: phone}}, require: {{max_regression: 5 %}}, against: history, locked: true}}
"""


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("candidates: {int8: {targets: [soc-8mb]}}", "candidates.int8.targets: soc-8mb is looser than soc-8mb, mcu"),
        ("candidates: {int8: {uncompressed: true}}", "candidates.int8.uncompressed: true is looser than false"),
        ("candidates: {int8: {recursion: {steps: 1}}}", "candidates.int8.recursion: "),
        ("candidates: {int4: {recursion: {steps: 1}}}", "candidates.int4.recursion"),
        ("candidates: {int4: {model: {threshold: 0.1}}}", "candidates.int4.threshold: 0.1 is not comparable with"),
        ("candidates: {new: {path: n, recursion: {steps: 1}}}", "candidates.new.recursion: is a depth of its own"),
        ("baseline: {path: mine.json}", "baseline.path: mine.json is not comparable with b.json"),
        ("history: {path: mine.jsonl}", "history.path: mine.jsonl is not comparable with h.jsonl"),
        ("history: {while_new: warn}", "history.while_new: warn is looser than block"),
        ("history: {spreads: 100}", "history.spreads: 100 is looser than 3"),
        ("history: {floor: 1 s}", "history.floor: 1 s is looser than 1 ms"),
        ("history: {last: 9}", "history.last: 9 is not comparable with 5"),
        ("devices: {phone: {runs: 20}}", "devices.phone.runs: 20 is not comparable with 30"),
    ],
)
def test_what_a_locked_check_rests_on_is_locked_with_it(tmp_path: Path, own: str, said: str) -> None:
    refused = told(both(tmp_path, RESTED_ON, f"{own}\n"))
    assert said in " ".join(refused)
    assert all("locked at base.yaml:" in line for line in refused)


@pytest.mark.parametrize(
    "own",
    [
        "candidates: {int8: other-file, int4: {path: and-another}}",
        "candidates: {int8: {path: step.onnx, use: onnx}}",
        "candidates: {int8: {targets: [mcu-4mb, soc-8mb]}}",
        "candidates: {int4: {recursion: {steps: 2}}}",
        "history: {while_new: block, spreads: 1, floor: 0 ms, minimum: 4}",
        "candidates: {new: n}",
    ],
)
def test_what_takes_nothing_from_a_locked_check_is_accepted_beside_it(tmp_path: Path, own: str) -> None:
    assert told(both(tmp_path, RESTED_ON, f"{own}\n")) == []


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("{path: h.jsonl}", ""),
        ("{path: h.jsonl, spreads: 1, last: 5}", ""),
        ("{path: h.jsonl, while_new: warn}", "history.while_new: warn is looser than block"),
        ("{path: h.jsonl, floor: 1 s}", "history.floor: 1 s is looser than 1 ms"),
    ],
)
def test_a_history_that_a_base_leaves_to_others_is_no_looser_than_its_defaults(
    tmp_path: Path, own: str, said: str
) -> None:
    quick = "metric: latency, options: {device: d}, require: {max_regression: 5 %}, against: history"
    size = "  z: {metric: model_size, require: {max: 1 MB}}\n"
    base = f"devices: {{d: {{use: host-cpu}}}}\nchecks:\n  t: {{{quick}, locked: true}}\n{size}"
    refused = told(both(tmp_path, base, f"history: {own}\n{CANDIDATE}"))
    assert len(refused) == bool(said)
    assert all(said in line and "locked at base.yaml:" in line for line in refused)
    unlocked = base.replace(", locked: true", "")
    assert told(both(tmp_path, unlocked, f"history: {own.replace('warn', 'block')}\n{CANDIDATE}")) == []


@pytest.mark.parametrize(
    ("metric", "bound", "old", "new", "accepted"),
    [
        ("carry_fidelity", "min: 0.9", "mean", "worst", True),
        ("carry_fidelity", "min: 0.9", "median", "p05", True),
        ("carry_fidelity", "min: 0.9", "p05", "median", False),
        ("carry_fidelity", "min: 0.9", "worst", "mean", False),
        ("carry_fidelity", "min: 0.9", "mean", "p05", False),
        ("carry_fidelity", "min: 0.9, max: 0.99", "mean", "worst", False),
        ("puzzle_exact_drop", "max: 0.1", "median", "p95", True),
        ("puzzle_exact_drop", "max: 0.1", "p95", "median", False),
        ("carry_norm_ratio", "min: 0.9, max: 1.1", "mean", "worst", True),
        ("carry_norm_ratio", "min: 0.9, max: 1.1", "p95", "p05", False),
    ],
)
def test_a_locked_aggregate_only_gives_way_to_a_stricter_one(
    tmp_path: Path, metric: str, bound: str, old: str, new: str, *, accepted: bool
) -> None:
    base = f"checks:\n  c: {{metric: {metric}, aggregate: {old}, require: {{{bound}}}, locked: true}}\n"
    refused = told(both(tmp_path, base, f"checks:\n  c: {{aggregate: {new}}}\n"))
    assert (refused == []) is accepted
    assert all("checks.c.aggregate" in line and "locked at" in line for line in refused)


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(-1, 2), min_size=1, max_size=120).map(tuple),
    aggregates=st.tuples(st.sampled_from(list(Aggregate)), st.sampled_from(list(Aggregate))),
    direction=st.sampled_from(list(Direction)),
    ends=st.tuples(st.floats(-1, 2), st.floats(-1, 2)),
)
def test_a_stricter_aggregate_never_meets_what_a_milder_one_misses(
    values: tuple[float, ...],
    aggregates: tuple[Aggregate, Aggregate],
    direction: Direction,
    ends: tuple[float, float],
) -> None:
    low, high = sorted(ends)
    bound = {
        Direction.HIGHER: Bound(minimum=low),
        Direction.LOWER: Bound(maximum=high),
        Direction.BOTH: Bound(minimum=low, maximum=high),
    }[direction]
    met = [all_met(observations(values, one, direction), bound, direction) for one in aggregates]
    if is_stricter(*aggregates, direction):
        assert met[1] or not met[0]
        assert not is_stricter(aggregates[1], aggregates[0], direction)


# ---------------------------------------------------------------- what is extended beside the file that locks

LOCKING = f"""\
{DEPTH}noise_floor: {{limit: 0.99, locked: true}}
locked: [recursion]
checks:
  l: {{metric: lint, require: {{max: 0}}, locked: true}}
  a: {{metric: answer_agreement, aggregate: mean, require: {{min: 95 %}}, locked: true}}
"""
WAIVER = f"""\
waiver_rules: {{max_days: 30}}
waivers:
  w: {{check: a, candidate: int8, digest: {"a" * 64}, floor: {{min: 1 %}}, reason: r, ticket: t, owner: o,
    created: 2026-11-01, expires: 2026-11-09}}
"""


def beside(folder: Path, own: str, order: str, base: str = LOCKING) -> list[str]:
    """Return what is wrong with a policy that extends the file that locks, and one of its own."""
    (folder / "base.yaml").write_text(f"{HEAD}name: base\n{base}")
    (folder / "own.yaml").write_text(f"{HEAD}name: own\n{own}\n")
    child = f"{HEAD}name: child\nextends: {order}\n{CANDIDATE}"
    return told(examine(child.encode(), str(folder / "child.yaml")))


@pytest.mark.parametrize("order", ["[own.yaml, base.yaml]", "[base.yaml, own.yaml]"])
@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("checks: {a: {severity: warn}}", "checks.a.severity: warn is looser than error"),
        ("checks: {a: {severity: off}}", "checks.a.severity: off is looser than error"),
        ("checks: {a: {options: {at: 1}}}", "checks.a.options.at: 1 is not comparable with last"),
        ("checks: {a: {candidates: [int4]}}\ncandidates: {int4: x}", "checks.a.candidates: only int4 is looser than"),
        ("checks: {l: {options: {severity: warn}}}", "checks.l.options.severity: "),
        ("noise_floor: {perturbation: 1e-9}", "noise_floor.perturbation: 1e-09 is not comparable with 1e-06"),
        ("lint: {ignore: [FG201]}", "lint: FG201 off is looser than FG201 error"),
        ("candidates: {int4: {path: x, recursion: {steps: 1}}}", "candidates.int4.recursion: is a depth of its own"),
        (WAIVER, "waives a, locked at base.yaml"),
    ],
)
def test_nothing_is_said_in_the_name_of_the_file_that_locks_by_one_that_is_extended_beside_it(
    tmp_path: Path, own: str, said: str, order: str
) -> None:
    refused = beside(tmp_path, own, order)
    assert any(said in line for line in refused)


@pytest.mark.parametrize("order", ["[own.yaml, base.yaml]", "[base.yaml, own.yaml]"])
@pytest.mark.parametrize(
    "own",
    [
        "noise_floor: {bf16: true}",
        "lint: {severity: {FG6: error}}",
        "checks: {a: {severity: error}, z: {metric: model_size, require: {max: 1 MB}}}",
        "candidates: {int4: x}",
        "run: {seed: 3}",
    ],
)
def test_what_is_as_tight_may_be_said_beside_the_file_that_locks(tmp_path: Path, own: str, order: str) -> None:
    assert beside(tmp_path, own, order) == []


def test_a_file_that_only_locks_takes_what_it_does_not_say_from_the_files_before_it(tmp_path: Path) -> None:
    own = f"{DEPTH}checks: {{a: {{metric: answer_agreement, aggregate: mean, require: {{min: 95 %}}}}}}"
    locks = "checks:\n  a: {locked: true}\n  z: {metric: model_size, require: {max: 1 MB}}\n"
    assert beside(tmp_path, own, "[own.yaml, base.yaml]", locks) == []
    loose = f"{HEAD}name: c\nextends: [own.yaml, base.yaml]\n{CANDIDATE}checks: {{a: {{require: {{min: 90 %}}}}}}\n"
    (refused,) = told(examine(loose.encode(), str(tmp_path / "child.yaml")))
    assert "90 % is looser than 95 %" in refused


# ---------------------------------------------------------------- the history of the command line

SLOWER = "{metric: latency, options: {device: here}, against: history, require: {max: 1 s, max_regression: 0 %}"
RUN = "reference: ref.safetensors\ninputs: {use: npz, path: eval.npz}\ncandidates: {int8: int8.safetensors}\n"
KEPT = "base: true\ndevices: {here: {use: host-cpu}}\n"


@pytest.mark.parametrize(
    ("says", "locks"),
    [
        ("history: {path: kept.jsonl}\nlocked: [history]\nchecks:\n  slower: %s}\n", "history"),
        ("history: {path: kept.jsonl}\nchecks:\n  slower: %s, locked: true}\n", "checks.slower"),
        ("history: {path: kept.jsonl}\nchecks:\n  slower: %s}\n", ""),
    ],
)
def test_the_command_line_cannot_replace_a_history_that_is_locked_or_that_a_locked_check_rests_on(
    tmp_path: Path, says: str, locks: str
) -> None:
    found = both(tmp_path, KEPT + says % SLOWER, RUN)
    assert found.policy is not None, told(found)
    (tmp_path / "child.yaml").write_text(f"{CHILD}{RUN}")
    fresh = str(tmp_path / "fresh.jsonl")
    if not locks:
        replaced = with_history(found.policy, fresh).history
        assert replaced is not None
        assert replaced.path == fresh
        return
    with pytest.raises(
        UsageError, match=f"{locks} is locked, and the command line cannot replace the history"
    ) as caught:
        with_history(found.policy, fresh)
    assert (caught.value.field, str(caught.value.where).split(":")[0]) == ("--history", str(tmp_path / "base.yaml"))
