"""`policy diff`: the same asks for the same, and what is looser one way is tighter the other way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_gate import cli
from fidelity_gate.policy.comparing import differences
from fidelity_gate.policy.differing import Change, Side, by_subject
from fidelity_gate.policy.loading import examine
from fidelity_gate.verbs.policy import policy

CASES = Path(__file__).parent / "cases" / "policy" / "pass"
TURNED = {
    Change.LOOSER: Change.TIGHTER,
    Change.TIGHTER: Change.LOOSER,
    Change.ADDED: Change.REMOVED,
    Change.REMOVED: Change.ADDED,
    Change.INCOMPARABLE: Change.INCOMPARABLE,
}
HEAD = "apiVersion: fidelity-gate/v1\nname: p\nrecursion: {h_cycles: 1, l_cycles: 1, steps: 2}\n"
FIDELITY = "  f: {metric: carry_fidelity, aggregate: mean, require: {min: 0.9}}\n"
SIZE = "  z: {metric: model_size, require: {max: 1 MB}}\n"
SRAM = "  s: {metric: sram_peak, require: {max: target.sram}}\n"
WHOLE = f"{HEAD}checks:\n{FIDELITY}{SIZE}"


def side(text: str, name: str = "p.yaml") -> Side:
    found = examine(text.encode(), name)
    assert [str(problem) for problem in found.problems] == []
    assert found.side is not None
    return found.side


def changes(before: str, after: str) -> dict[str, str]:
    found = by_subject(differences(side(before), side(after)))
    return {".".join(map(str, subject)): change.value for subject, (change, _) in found.items()}


def run(*args: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(policy, ["diff", *map(str, args)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value or 0, result.output


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("file", sorted(CASES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_policy_does_not_differ_from_itself(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert differences(side(text), side(text)) == ()
    assert differences(side(text, "elsewhere/p.yaml"), side(text, "/other/p.yaml")) == ()


@st.composite
def policies(draw: st.DrawFn) -> str:
    """Return a sound policy of few checks, targets, blocks and candidates, so that two of them meet often."""
    low = draw(st.sampled_from([0.5, 0.9, 0.95]))
    aggregate = draw(st.sampled_from(["mean", "worst"]))
    severity = draw(st.sampled_from(["warn", "error"]))
    narrowed = draw(st.sampled_from(["", ", candidates: [a]", ", candidates: [a, b]"]))
    checks = [
        f"  f: {{metric: carry_fidelity, aggregate: {aggregate}, require: {{min: {low}}}, severity: {severity}"
        f"{narrowed}}}",
        f"  z: {{metric: model_size, require: {{max: {draw(st.sampled_from(['1 MB', '1 MiB', '2 MB']))}}}}}",
    ]
    if draw(st.booleans()):
        checks.append("  l: {metric: lint, require: {max: 0}}")
    if draw(st.booleans()):
        checks.append("  n: {metric: carry_norm_ratio, aggregate: mean, require: {min: 0.9, max: 1.1}, severity: off}")
    head = HEAD.replace("steps: 2", f"steps: {draw(st.integers(2, 3))}")
    head += f"candidates: {{a: a, b: {draw(st.sampled_from(['b', 'c']))}}}\n"
    head += draw(
        st.sampled_from(["", "minimum_probes: 50\n", "noise_floor: {limit: 0.5, bf16: true}\n", "run: {seed: 1}\n"])
    )
    head += draw(st.sampled_from(["", "lint: {ignore: [FG2]}\n", "lint: {severity: {FG2: warn, FG4: error}}\n"]))
    if draw(st.booleans()):
        size = draw(st.sampled_from(["1 MiB", "2 MiB"]))
        head += f"targets: [{{name: board, sram: {size}}}]\n"
        checks.append("  s: {metric: sram_peak, require: {max: target.sram}}")
    return head + "checks:\n" + "\n".join(checks) + "\n"


@settings(max_examples=40, deadline=None)
@given(policies(), policies())
def test_what_is_looser_one_way_is_tighter_the_other_way(one: str, other: str) -> None:
    there, back = differences(side(one), side(other)), differences(side(other), side(one))
    turned = {(found.path, TURNED[found.change], found.after, found.before) for found in there}
    assert turned == {(found.path, found.change, found.before, found.after) for found in back}
    wholes = {subject: TURNED[change] for subject, (change, _) in by_subject(there).items()}
    assert wholes == {subject: change for subject, (change, _) in by_subject(back).items()}


@settings(max_examples=20, deadline=None)
@given(policies(), policies())
def test_policies_that_do_not_differ_ask_for_the_same(one: str, other: str) -> None:
    if not differences(side(one), side(other)):
        assert [check.bound.minimum for check in side(one).policy.checks] == [
            check.bound.minimum for check in side(other).policy.checks
        ]
        assert side(one).policy.noise_floor == side(other).policy.noise_floor
        assert side(one).policy.targets == side(other).policy.targets


# ---------------------------------------------------------------- single differences


@pytest.mark.parametrize(
    ("old", "new", "subject", "change"),
    [
        ("min: 0.9", "min: 0.95", "checks.f", "tighter"),
        ("min: 0.9", "min: 0.8", "checks.f", "looser"),
        ("min: 0.9", "min: 0.8, max: 0.99", "checks.f", "incomparable"),
        ("min: 0.9", "min: 0.90", "", ""),
        ("aggregate: mean", "aggregate: median", "checks.f", "incomparable"),
        ("aggregate: mean", "aggregate: worst", "checks.f", "tighter"),
        ("mean, require: {min: 0.9}", "worst, require: {min: 0.8}", "checks.f", "incomparable"),
        ("mean, require: {min: 0.9}", "worst, require: {min: 0.95}", "checks.f", "tighter"),
        ("metric: carry_fidelity", "metric: step_fidelity", "checks.f", "incomparable"),
        ("aggregate: mean", "options: {at: 1}, aggregate: mean", "checks.f", "incomparable"),
        ("aggregate: mean", "options: {at: last}, aggregate: mean", "", ""),
        ("min: 0.9}}", "min: 0.9}, severity: warn}", "checks.f", "looser"),
        ("1 MB", "1000 kB", "", ""),
        ("1 MB", "1 MiB", "checks.z", "looser"),
        (SIZE, "", "checks.z", "removed"),
        (SIZE, SIZE + SIZE.replace("z:", "y:").replace("model_size", "sram_peak"), "checks.y", "added"),
        ("checks:", "minimum_probes: 50\nchecks:", "minimum_probes", "looser"),
        ("checks:", "minimum_probes: 100\nchecks:", "", ""),
        ("checks:", "noise_floor: {limit: 0.999}\nchecks:", "noise_floor", "tighter"),
        ("checks:", "noise_floor: {perturbation: 1e-7}\nchecks:", "noise_floor", "incomparable"),
        ("checks:", "run: {threads: 2}\nchecks:", "run", "incomparable"),
        ("steps: 2", "steps: 3", "recursion", "incomparable"),
        ("checks:", "lint: {ignore: [FG201]}\nchecks:", "lint", "looser"),
        ("checks:", "reference: a\nchecks:", "reference", "added"),
        ("checks:", "inputs: zoo:x\nchecks:", "inputs", "added"),
        ("checks:", "candidates: {a: b}\nchecks:", "candidates.a", "added"),
        ("checks:", "energy_models: {npu: {mj_per_gflop: 1}}\nchecks:", "energy_models.npu", "added"),
        ("checks:", "devices: {d: {use: host-cpu}}\nchecks:", "devices.d", "added"),
        ("name: p", "name: q", "", ""),
    ],
)
def test_each_difference_is_told_for_what_it_is(old: str, new: str, subject: str, change: str) -> None:
    assert old in WHOLE
    assert changes(WHOLE, WHOLE.replace(old, new, 1)) == ({subject: change} if subject else {})


CANDIDATES = (
    "targets: [soc-8mb, mcu-4mb]\ncandidates: {a: {path: b, targets: [soc-8mb]}, c: d}\nhistory: {path: h.jsonl}\n"
)


@pytest.mark.parametrize(
    ("old", "new", "subject", "change"),
    [
        ("targets: [soc-8mb]}", "targets: [soc-8mb, mcu-4mb]}", "candidates.a", "tighter"),
        (", targets: [soc-8mb]}", "}", "candidates.a", "tighter"),
        ("c: d", "c: {path: d, targets: [mcu-4mb]}", "candidates.c", "looser"),
        ("c: d", "c: {path: d, targets: [mcu-4mb, soc-8mb]}", "", ""),
        ("c: d", "c: {path: d, uncompressed: true}", "candidates.c", "looser"),
        ("c: d", "c: {path: d, recursion: {steps: 1}}", "candidates.c", "incomparable"),
        ("h.jsonl", "h.jsonl, spreads: 2", "history", "tighter"),
        ("h.jsonl", "h.jsonl, floor: 2 ms", "history", "looser"),
        ("h.jsonl", "h.jsonl, floor: 2 ms, spreads: 2", "history", "incomparable"),
        ("history: {path: h.jsonl}\n", "", "history", "removed"),
    ],
)
def test_candidates_and_history_are_told_for_what_they_are(old: str, new: str, subject: str, change: str) -> None:
    before = f"{HEAD}{CANDIDATES}checks:\n{FIDELITY}{SRAM}"
    assert old in before
    assert changes(before, before.replace(old, new, 1)) == ({subject: change} if subject else {})


def test_a_target_with_more_room_makes_the_checks_that_name_it_looser() -> None:
    text = f"{HEAD}targets: [{{name: b, sram: 1 MiB}}]\nchecks:\n{SRAM}"
    assert changes(text, text.replace("1 MiB", "2 MiB")) == {"checks.s": "looser", "targets.b": "looser"}


# ---------------------------------------------------------------- the verb


def files(folder: Path, before: str, after: str) -> tuple[Path, Path]:
    paths = folder / "before.yaml", folder / "after.yaml"
    for path, text in zip(paths, (before, after), strict=True):
        path.write_text(text)
    return paths


def test_the_table_says_what_became_looser_and_where_it_is_written(tmp_path: Path) -> None:
    before, after = files(tmp_path, WHOLE, WHOLE.replace("0.9}", "0.8}").replace(SIZE, ""))
    code, output = run(before, after)
    assert code == 0
    assert "looser   checks.f.require.min" in output
    assert f"{after}:5:" in output
    assert output.endswith("2 differences: 1 looser, 1 removed\n")
    assert run(before, before) == (0, "no difference: both ask for the same\n")


@pytest.mark.parametrize(
    ("old", "new", "looser", "any_"),
    [
        ("0.9}", "0.8}", 1, 1),
        (SIZE, "", 1, 1),
        ("steps: 2", "steps: 1", 1, 1),
        ("0.9}", "0.95}", 0, 1),
        ("checks:", "reference: a\nchecks:", 0, 1),
        ("name: p", "name: q", 0, 0),
    ],
)
def test_what_may_have_got_looser_fails_where_that_was_asked_for(
    tmp_path: Path, old: str, new: str, looser: int, any_: int
) -> None:
    paths = files(tmp_path, WHOLE, WHOLE.replace(old, new))
    assert [run(*paths)[0], run(*paths, "--fail-on", "looser")[0], run(*paths, "--fail-on", "any")[0]] == [
        0,
        looser,
        any_,
    ]


def test_json_holds_every_value_with_both_places(tmp_path: Path) -> None:
    before, after = files(tmp_path, WHOLE, WHOLE.replace("0.9}", "0.8}").replace(SIZE, ""))
    found = json.loads(run(before, after, "--json")[1])
    assert [(one["subject"], one["change"]) for one in found["differences"]] == [
        ("checks.f", "looser"),
        ("checks.z", "removed"),
    ]
    (value,) = found["differences"][0]["values"]
    assert (value["before"], value["after"]) == ("0.9", "0.8")
    assert value["before_at"].startswith(f"{before}:5:")
    assert value["after_at"].startswith(f"{after}:5:")
    assert found["differences"][1]["values"][0]["after_at"] == ""


def test_both_are_resolved_through_their_bases(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(f"{WHOLE}minimum_probes: 100\n")
    child = "apiVersion: fidelity-gate/v1\nname: c\nextends: base.yaml\n"
    before, after = files(tmp_path, WHOLE, child)
    assert run(before, after) == (0, "no difference: both ask for the same\n")


def test_two_bases_can_be_compared_by_themselves(tmp_path: Path) -> None:
    base = f"apiVersion: fidelity-gate/v1\nname: b\nbase: true\nchecks:\n{SRAM}"
    before, after = files(tmp_path, base, base + SIZE)
    assert "added" in run(before, after)[1]


def test_a_policy_that_is_wrong_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = files(tmp_path, WHOLE, WHOLE.replace("0.9}", "9}"))
    assert cli.answer(["policy", "diff", str(before), str(after)]) == 2
    assert f"{after}:5:" in capsys.readouterr().err


def test_no_name_acts_on_whoever_reads_the_output(tmp_path: Path) -> None:
    after = WHOLE.replace("checks:", 'reference: "a::error::b"\nchecks:').replace("a::error::b", "a:error")
    paths = files(tmp_path, WHOLE, after)
    for extra in ([], ["--json"]):
        assert "::" not in run(*paths, *extra)[1]


def test_what_is_neither_looser_nor_tighter_is_told_with_what_that_means(tmp_path: Path) -> None:
    output = run(*files(tmp_path, WHOLE, WHOLE.replace("aggregate: mean", "aggregate: median")))[1]
    assert output.endswith("1 difference: 1 incomparable\nincomparable: neither asks for all that the other asks for\n")
