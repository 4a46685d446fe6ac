"""Policies with baselines and histories: what they come to, and every mistake at its line."""

from __future__ import annotations

import pytest

from fidelity_gate.policy.loading import examine, load_policy_text
from fidelity_gate.records import Against, Bound, Check, Policy
from fidelity_gate.units import UNITS_OF

HEAD = """\
apiVersion: fidelity-gate/v1
name: sudoku-release
reference: ref.safetensors
candidates: {int8: int8.safetensors}
inputs: {use: npz, path: eval.npz}
recursion: {h_cycles: 2, l_cycles: 2, steps: 3}
devices: {board: {use: host-cpu}}
"""
BASELINE = "baseline: {path: baselines/release.json}\n"
HISTORY = "history: {path: history.jsonl}\n"
WARNS = "history: {path: h.jsonl, while_new: warn}\n"
FIDELITY = "fid: {metric: carry_fidelity, aggregate: mean, require: %s}"
AGAINST = "fid: {metric: carry_fidelity, aggregate: mean, against: %s, require: {%s}}"
LATENCY = "lat: {metric: latency, options: {device: board}, require: %s}"


def text(*checks: str, blocks: str = BASELINE) -> str:
    return f"{HEAD}{blocks}checks:\n" + "".join(f"  {check}\n" for check in checks)


def loaded(*checks: str, blocks: str = BASELINE, name: str = "gates/p.yaml") -> Policy:
    return load_policy_text(text(*checks, blocks=blocks), name)


def only(policy: Policy) -> Check:
    (check,) = policy.checks
    return check


def problems(*checks: str, blocks: str = BASELINE) -> list[str]:
    return [str(one) for one in examine(text(*checks, blocks=blocks).encode(), "p.yaml").problems]


def test_a_relative_check_has_its_losses_in_base_units_and_knows_what_it_is_held_against() -> None:
    check = only(loaded(FIDELITY % "{min: 0.9, max_drop: 0.005, max_regression: 1 %}"))

    assert check.against is Against.BASELINE
    assert check.bound == Bound(0.9, None, "min: 0.9, max_regression: 1 %, max_drop: 0.005", 0.01, 0.005)


@pytest.mark.parametrize(
    ("metric", "written", "drop"),
    [
        ("model_size", "1 MiB", 2.0**20),
        ("model_size", "1024 KiB", 2.0**20),
        ("compressed_share", "2 %", 0.02),
        ("compressed_share", "0.02", 0.02),
    ],
)
def test_a_drop_is_in_the_unit_of_the_metric(metric: str, written: str, drop: float) -> None:
    check = only(loaded(f"c: {{metric: {metric}, require: {{max_drop: {written}}}}}"))
    assert (check.bound.max_drop, check.bound.max_regression) == (drop, None)


@pytest.mark.parametrize("written", ["2 ms", "2000 us", "0.002 s"])
def test_another_unit_for_the_same_time_changes_nothing(written: str) -> None:
    check = only(loaded(LATENCY % f"{{max_drop: {written}}}"))
    assert check.bound.max_drop == 0.002
    assert written.split()[1] in UNITS_OF["seconds"]


@pytest.mark.parametrize("written", ["1 %", "0.01"])
def test_another_way_to_write_a_share_changes_nothing(written: str) -> None:
    assert only(loaded(FIDELITY % f"{{max_regression: {written}}}")).bound.max_regression == 0.01


def test_paths_are_against_the_policys_folder() -> None:
    both = load_policy_text(
        text(
            "fid: {metric: carry_fidelity, aggregate: mean, against: baseline, require: {max_drop: 0.1}}",
            "lat: {metric: latency, options: {device: board}, against: history, require: {max_drop: 1 ms}}",
            blocks=BASELINE + HISTORY,
        ),
        "gates/p.yaml",
    )
    assert both.baseline is not None
    assert both.history is not None
    assert (both.baseline.path, both.history.path) == ("gates/baselines/release.json", "gates/history.jsonl")
    assert (both.baseline.place.line, both.history.place.line) == (8, 9)
    assert [check.against for check in both.checks] == [Against.BASELINE, Against.HISTORY]


def test_a_history_has_defaults_and_takes_quantities() -> None:
    made = loaded(LATENCY % "{max_regression: 5 %}", blocks=HISTORY).history
    assert made is not None
    assert (made.last, made.minimum, made.floor_seconds, made.floor_bytes, made.spreads) == (5, 3, 0.001, 2.0**20, 3.0)
    assert not made.warn_while_new
    floors = "floor: 500 us, memory_floor: 2 MiB, spreads: 2"
    block = f"history: {{path: h.jsonl, last: 9, minimum: 2, {floors}, while_new: warn}}\n"
    own = loaded(LATENCY % "{max: 1 s, max_regression: 5 %}", blocks=block).history
    assert own is not None
    assert (own.last, own.minimum, own.floor_seconds, own.floor_bytes, own.spreads) == (9, 2, 0.0005, 2.0**21, 2.0)
    assert own.warn_while_new


def test_one_number_may_be_held_against_both() -> None:
    made = loaded(
        "a: {metric: latency, options: {device: board}, against: baseline, require: {max_regression: 20 %}}",
        "b: {metric: latency, options: {device: board}, against: history, require: {max_regression: 5 %}}",
        blocks=BASELINE + HISTORY,
    )
    assert [check.against for check in made.checks] == [Against.BASELINE, Against.HISTORY]


WRONG = [
    (FIDELITY % "{max_drop: 0.1}", "", "9:59: ", "is relative, and nothing says to what: the policy has neither"),
    (FIDELITY % "{max_drop: 0.1}", BASELINE + HISTORY, "", "nothing says to what: baseline or history"),
    (FIDELITY % "{min: 0.9}" , BASELINE, "8:1: baseline: ", "no check is held against the baseline"),
    (AGAINST % ("baseline", "min: 0.9"), BASELINE, "", "compares with nothing"),
    (AGAINST % ("history", "max_drop: 0.1"), BASELINE, "", "the policy has no history"),
    (AGAINST % ("yesterday", "max_drop: 0.1"), BASELINE, "", "'yesterday' is not known here"),
    (FIDELITY % "{max_drop: 0.1}", HISTORY, "", "a history holds numbers of devices only"),
    ("n: {metric: carry_norm_ratio, aggregate: mean, require: {max_drop: 0.1}}", BASELINE, "", "can be bad both ways"),
    (FIDELITY % "{max_drop: -0.1}", BASELINE, "", "is negative"),
    (FIDELITY % "{max_regression: -1 %}", BASELINE, "", "is negative"),
    (FIDELITY % "{max_regression: 100 %}", BASELINE, "", "lets everything through"),
    (LATENCY % "{max_regression: 5}", BASELINE, "", "lets everything through"),
    (FIDELITY % "{max_drop: 2}", BASELINE, "", "as much as all possible values lie apart"),
    (FIDELITY % "{max_drop: 1 ms}", BASELINE, "", "'ms' does not fit"),
    (LATENCY % "{max_drop: 2}", BASELINE, "", "has no unit"),
    (LATENCY % "{max_regression: 2 ms}", BASELINE, "", "'ms' does not fit"),
    (LATENCY % "{max_drop: true}", BASELINE, "", "must be a quantity, not true"),
    (FIDELITY % "{max_drop: 0.1, max: 1.0}", BASELINE, "", "faces the wrong way"),
    (FIDELITY % "{}", BASELINE, "", "holds no bound"),
    (FIDELITY % "{max_dorp: 0.1}", BASELINE, "", "unknown key 'max_dorp' (did you mean max_drop"),
    (LATENCY % "{max_drop: 1 ms}", "history: {path: h.json}\n", "8:17: history.path: ", "is no name of a history"),
    (LATENCY % "{max_drop: 1 ms}", "history: {path: h.jsonl, last: 2}\n", "", "can never be reached: only the last 2"),
    (LATENCY % "{max_drop: 1 ms}", "history: {path: h.jsonl, last: 0}\n", "", "must be at least 1"),
    (LATENCY % "{max_drop: 1 ms}", "history: {path: h.jsonl, floor: 1 MiB}\n", "", "'MiB' does not fit"),
    (LATENCY % "{max_drop: 1 ms}", "history: {path: h.jsonl, memory_floor: -1 MiB}\n", "", "is negative"),
    (LATENCY % "{max_drop: 1 ms}", "history: {path: h.jsonl, while_new: pass}\n", "", "'pass' is not known here"),
    (LATENCY % "{max_drop: 1 ms}", WARNS, "candidates.int8", "while the history is new nothing is required"),
    (LATENCY % "{max_drop: 1 ms}", "history: h.jsonl\n", "", "must be a mapping"),
    (FIDELITY % "{max_drop: 0.1}", "baseline: {path: b.json, digest: x}\n", "", "unknown key 'digest'"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "blocks", "place", "said"), WRONG, ids=[said[:40] for *_, said in WRONG])
def test_a_mistake_is_told_at_its_line_in_one_line(check: str, blocks: str, place: str, said: str) -> None:
    found = problems(check, blocks=blocks)

    assert any(place in line and said in line for line in found), found
    assert all("\n" not in line and len(line) <= 200 for line in found)


def test_with_something_else_required_a_new_history_may_warn() -> None:
    made = loaded(
        LATENCY % "{max_drop: 1 ms}",
        FIDELITY % "{min: 0.9}",
        blocks="history: {path: h.jsonl, while_new: warn}\n",
    )
    assert made.history is not None
    assert made.history.warn_while_new
