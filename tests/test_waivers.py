"""Waivers in policies that extend others, and the command that writes one."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fidelity_gate.cli import answer
from fidelity_gate.measuring import staging
from fidelity_gate.policy.comparing import differences
from fidelity_gate.policy.differing import Change
from fidelity_gate.policy.loading import examine
from fidelity_gate.policy.quantities import parse_quantity
from fidelity_gate.policy.yaml_reader import read_tree
from fidelity_gate.verbs.waive import _exact

# ---------------------------------------------------------------- policies that extend others

HEAD = "apiVersion: fidelity-gate/v1\n"
BASE = f"""{HEAD}name: base
recursion: {{h_cycles: 1, l_cycles: 1, steps: 2}}
checks:
  fidelity: {{metric: carry_fidelity, aggregate: mean, require: {{min: 0.9}}, locked: true}}
  size: {{metric: model_size, require: {{max: 8 MiB}}}}
"""
CHILD = f"{HEAD}name: child\nextends: base.yaml\ncandidates: {{int8: int8.safetensors}}\n"
STUB = f"""waivers:
  w1:
    check: fidelity
    candidate: int8
    digest: {"a" * 64}
    floor: {{min: 0.8}}
    reason: a retry hides it
    ticket: ML-1
    owner: ada
    created: 2026-01-01
    expires: 2026-01-31
"""
MONTH = "waiver_rules: {max_days: 31, never: [size]}\n"


def problems(tmp_path, base: str, child: str) -> list[str]:
    (tmp_path / "base.yaml").write_text(base)
    path = tmp_path / "child.yaml"
    path.write_text(child)
    return [str(problem) for problem in examine(path.read_bytes(), str(path)).problems]


def test_a_locked_check_is_waived_by_the_rules_of_the_file_that_locks_it(tmp_path) -> None:
    assert problems(tmp_path, BASE + MONTH, CHILD + STUB) == []


def test_a_locked_check_is_not_waived_by_rules_of_ones_own(tmp_path) -> None:
    (said,) = problems(tmp_path, BASE, CHILD + MONTH + STUB)
    assert "waives fidelity, locked at" in said
    assert "by rules of another file" in said


def test_a_check_that_is_not_locked_may_be_waived_by_ones_own_rules(tmp_path) -> None:
    own = STUB.replace("check: fidelity", "check: size").replace("{min: 0.8}", "{max: 9 MiB}")
    assert problems(tmp_path, BASE, CHILD + "waiver_rules: {max_days: 31}\n" + own) == []


LOOSER = ("waiver_rules: {max_days: 32, never: [size]}\n", "waiver_rules: {max_days: 31, never: [fidelity]}\n")
TIGHTER = ("waiver_rules: {max_days: 1}\n", "waiver_rules: {max_days: 31, never: [size, fidelity]}\n")


@pytest.mark.parametrize("own", LOOSER)
def test_the_rules_of_a_base_are_not_loosened(tmp_path, own: str) -> None:
    (said,) = problems(tmp_path, BASE + MONTH, CHILD + own)
    assert "is looser than" in said


@pytest.mark.parametrize("own", TIGHTER)
def test_the_rules_of_a_base_may_be_tightened(tmp_path, own: str) -> None:
    assert problems(tmp_path, BASE + MONTH, CHILD + own) == []


def test_a_difference_of_policies_tells_waivers_as_looser(tmp_path) -> None:
    sides = []
    for name, text in (("a", MONTH), ("b", MONTH + STUB)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "base.yaml").write_text(BASE + text.partition("waivers:")[0])
        (folder / "child.yaml").write_text(CHILD + "".join(text.partition("waivers:")[1:]))
        sides.append(examine((folder / "child.yaml").read_bytes(), str(folder / "child.yaml")).side)
    told = {difference.path: difference.change for difference in differences(*sides)}
    assert told == {("waivers", "w1"): Change.LOOSER}
    back = {difference.path: difference.change for difference in differences(*reversed(sides))}
    assert back == {("waivers", "w1"): Change.TIGHTER}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{min: 0.8}", "{min: 0.7}", {("waivers", "w1", "floor", "min"): ("looser", "0.8", "0.7")}),
        ("{min: 0.8}", "{min: 0.85}", {("waivers", "w1", "floor", "min"): ("tighter", "0.8", "0.85")}),
        ("{min: 0.8}", "{min: 0.8, max: 0.99}", {("waivers", "w1", "floor", "max"): ("tighter", "none", "0.99")}),
        ("2026-11-20", "2026-11-25", {("waivers", "w1", "expires"): ("looser", "2026-11-20", "2026-11-25")}),
        ("2026-11-20", "2026-11-10", {("waivers", "w1", "expires"): ("tighter", "2026-11-20", "2026-11-10")}),
        ("reason: ", "reason: another ", {}),
        ("a" * 64, "b" * 64, {("waivers", "w1"): ("incomparable",)}),
    ],
)
def test_a_waiver_that_changed_is_told_for_what_it_lets_through(old: str, new: str, told: dict) -> None:
    text = (
        BASE.replace(", locked: true", "") + CHILD.split("base.yaml\n")[1] + f"waiver_rules: {{max_days: 30}}\n{STUB}"
    )
    text = re.sub(r"expires: .*", "expires: 2026-11-20", text)
    assert old in text
    sides = [examine(one.encode(), "p.yaml").side for one in (text, text.replace(old, new, 1))]
    assert None not in sides
    found = {one.path: (str(one.change), one.before, one.after) for one in differences(*sides)}
    assert found.keys() == told.keys()
    assert all(found[path][: len(wanted)] == wanted for path, wanted in told.items())


# ---------------------------------------------------------------- the command

RELEASE = """\
apiVersion: fidelity-gate/v1
name: release
reference: zoo:trm-addition
inputs: zoo:trm-addition
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
waiver_rules: {max_days: 14, never: [compressed]}
checks:
  small: {metric: model_size, require: {max: 1 kB}}
  compressed: {metric: compressed_share, require: {min: 90 %}}
"""
WHO = ("--owner", "ada", "--ticket", "ML-1", "--reason", 'the "next" board: bigger')


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A policy that a candidate on disk misses, and the verdict that says so."""
    folder = tmp_path_factory.mktemp("waivers")
    artifact = folder / "int8.safetensors"
    assert answer(["compress", "zoo:trm-addition", "--recipe", "int8", "-o", str(artifact)]) == 0
    path = folder / "release.yaml"
    path.write_text(RELEASE)
    code = answer(["run", str(path), "--candidate", f"int8={artifact}", "--report", f"json:{folder / 'verdict.json'}"])
    assert code == 1
    return folder


def test_the_stub_that_is_written_is_borne_by_the_policy_it_is_for(release, tmp_path, capsys) -> None:
    assert answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO]) == 0
    stub = capsys.readouterr().out
    path = release / "waived.yaml"
    path.write_text((release / "release.yaml").read_text() + stub)
    out = tmp_path / "verdict.json"
    order = ["run", str(path), "--candidate", f"int8={release / 'int8.safetensors'}"]
    assert answer([*order, "--report", f"json:{out}"]) == 0
    verdict = json.loads(out.read_text())["verdict"]
    assert (verdict["met"], verdict["waived"], verdict["required"]) == (1, 1, 2)
    assert answer(["report", str(out), "--report", f"junit:{tmp_path / 'gate.xml'}"]) == 0


def test_a_stale_waiver_is_refused_before_anything_runs(release, capsys) -> None:
    answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO])
    stub = capsys.readouterr().out
    old = re.sub(r"created: .*", "created: 2020-01-01", re.sub(r"expires: .*", "expires: 2020-01-10", stub))
    path = release / "stale.yaml"
    path.write_text((release / "release.yaml").read_text() + old)
    assert answer(["run", str(path), "--candidate", "int8=nowhere.safetensors"]) == 2
    assert "expired on 2020-01-10" in capsys.readouterr().err


def test_policy_lint_tells_two_waivers_of_one_check_and_one_of_a_check_that_the_candidate_does_not_have(
    release, tmp_path, capsys
) -> None:
    answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO])
    stub = capsys.readouterr().out
    path = tmp_path / "two.yaml"
    text = (release / "release.yaml").read_text()
    path.write_text(text + stub + stub.split("waivers:\n")[1].replace("small-int8:", "second:"))
    assert answer(["policy", "lint", str(path)]) == 2
    assert "waivers.small-int8: is the second one for the same check and candidate" in capsys.readouterr().out
    named = text.replace("inputs:", "candidates: {int8: a, int4: b}\ninputs:")
    named = named.replace("1 kB}}", "1 kB}, candidates: [int4]}")
    path.write_text(named + stub)
    assert answer(["policy", "lint", str(path)]) == 2
    assert "waivers.small-int8: matches no check that blocks: small of int8" in capsys.readouterr().out


def test_a_waiver_of_another_file_is_refused_before_a_model_runs(release, capsys, monkeypatch) -> None:
    assert answer(["compress", "zoo:trm-addition", "--recipe", "fp16", "-o", str(release / "fp16.safetensors")]) == 0
    answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO])
    stub = capsys.readouterr().out.split("waivers:")[1]
    path = release / "other.yaml"
    deep = "  fidelity: {metric: carry_fidelity, aggregate: worst, require: {min: 0.5}}\n"
    path.write_text(f"{(release / 'release.yaml').read_text()}{deep}waivers:{stub}")
    monkeypatch.setattr(staging, "run", lambda *given: pytest.fail("the models are stepped"))
    order = ["run", str(path), "--candidate"]
    assert answer([*order, f"int8={release / 'fp16.safetensors'}"]) == 2
    assert "waivers.small-int8: is for another file" in capsys.readouterr().err
    monkeypatch.undo()
    assert answer([*order, f"int8={release / 'int8.safetensors'}"]) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--check", "compressed"], "--check"),
        (["--check", "fidelity"], "no such check"),
        (["--check", "small", "--candidate", "int2"], "the verdict has no small of int2 (it has int8)"),
        (["--check", "small", "--target", "soc-8mb"], "the verdict has no small of any@soc-8mb (it has int8)"),
        (["--check", "small", "--reason", "  "], "--reason: is empty"),
        (["--check", "small", "--reason", "a\nb"], "--reason: holds line breaks, hidden characters or a double colon"),
        (
            ["--check", "small", "--ticket", "::error::"],
            "--ticket: holds line breaks, hidden characters or a double colon",
        ),
        (["--check", "small", "--owner", "a" * 401], "--owner: is longer than 400 characters"),
        (["--check", "small", "--days", "15"], "the policy bears 14"),
        (["--check", "small", "--days", "0"], "--days"),
    ],
)
def test_a_stub_that_would_not_be_borne_is_not_written(release, given: list[str], said: str, capsys) -> None:
    assert answer(["waive", str(release / "verdict.json"), *WHO, *given]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_rules_that_the_policy_got_after_the_verdict_ask_for_another_run(release, tmp_path, capsys) -> None:
    plain = json.loads((release / "verdict.json").read_text())
    plain["policy"]["waiver_rules"] = None
    (tmp_path / "verdict.json").write_text(json.dumps(plain))
    assert answer(["waive", str(tmp_path / "verdict.json"), "--check", "small", *WHO]) == 2
    told = capsys.readouterr().err
    assert "as it was when the verdict was made, has no waiver_rules" in told
    assert "run the gate again" in told


def test_a_stub_is_written_to_a_new_file_and_never_over_one(release, tmp_path, capsys) -> None:
    order = ["waive", str(release / "verdict.json"), "--check", "small", *WHO]
    assert answer(order) == 0
    stub = capsys.readouterr().out
    path = tmp_path / "stub.yaml"
    assert answer([*order, "-o", str(path)]) == 0
    assert path.read_text() == stub
    path.write_text("mine")
    assert answer([*order, "-o", str(path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert answer([*order, "-o", str(tmp_path / "link")]) == 2
    assert not (tmp_path / "nowhere").exists()


def test_a_policy_that_has_waivers_gets_an_entry_for_them_under_a_name_of_its_own(release, tmp_path, capsys) -> None:
    answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO])
    other = capsys.readouterr().out.replace("check: small", "check: quick").replace("max: ", "max: 1")
    more = "  quick: {metric: sram_peak, require: {max: 1 kB}}\n"
    path, out = release / "two.yaml", tmp_path / "verdict.json"
    path.write_text((release / "release.yaml").read_text() + more + other)
    order = ["run", str(path), "--candidate", f"int8={release / 'int8.safetensors'}", "--report"]
    assert answer([*order, f"json:{out}"]) == 1
    capsys.readouterr()
    assert answer(["waive", str(out), "--check", "small", *WHO]) == 0
    entry = capsys.readouterr().out
    assert entry.startswith("  small-int8-2:\n    check: small\n")
    path.write_text(path.read_text() + entry)
    assert answer([*order, f"json:{out}"]) == 0
    assert json.loads(out.read_text())["verdict"]["waived"] == 2


def test_a_check_that_is_below_the_floor_of_its_waiver_is_not_waived_twice(release, tmp_path, capsys) -> None:
    answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO])
    stub = re.sub(r"floor: .*", "floor: {max: 2 kB}", capsys.readouterr().out)
    path, out = release / "broken.yaml", tmp_path / "verdict.json"
    path.write_text((release / "release.yaml").read_text() + stub)
    order = ["run", str(path), "--candidate", f"int8={release / 'int8.safetensors'}", "--report", f"json:{out}"]
    assert answer(order) == 1
    assert answer(["waive", str(out), "--check", "small", *WHO]) == 2
    assert "small is waived by small-int8, and misses its floor" in capsys.readouterr().err


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e9, 1e9), st.sampled_from(["", "fraction", "seconds", "bytes", "joules"]))
def test_a_floor_is_read_back_as_the_very_number_that_was_observed(number: float, unit: str) -> None:
    observed = abs(float(int(number))) if unit == "bytes" else number
    assume(observed == 0 or abs(observed) > (1e-9 if unit in ("seconds", "joules") else 1e-90))
    text = _exact(observed, unit)
    tree = read_tree(f"floor: {{min: {text}}}".encode(), "p.yaml")
    assert parse_quantity(tree.plain()["floor"]["min"], unit) == observed


# ---------------------------------------------------------------- what is said of them


def said_of(path, *verb: str, capsys) -> tuple[int, str]:
    code = answer(["policy", *verb[:1], str(path), *verb[1:]])
    told = capsys.readouterr()
    return code, " ".join((told.out + told.err).split())


def test_policy_lint_show_and_explain_tell_waivers(release, capsys) -> None:
    answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO])
    stub = capsys.readouterr().out
    path = release / "told.yaml"
    path.write_text((release / "release.yaml").read_text() + stub)
    assert said_of(path, "lint", capsys=capsys)[0] == 0
    shown = said_of(path, "show", "--table", capsys=capsys)[1]
    assert "waivers for at most 14 days, never compressed" in shown
    assert "waiver small-int8 small int8" in shown
    assert "waived for int8" in said_of(path, "explain", "small", capsys=capsys)[1]
    assert "waived never" in said_of(path, "explain", "compressed", capsys=capsys)[1]
    path.write_text((release / "release.yaml").read_text() + re.sub("created: .*", "created: 2020-01-01", stub))
    code, told = said_of(path, "lint", capsys=capsys)
    assert code == 2
    assert "the rules bear 14" in told
