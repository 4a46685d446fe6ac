"""`extends`: which files a policy is made of, how they come to one, and what no base may be."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from fidelity_gate.errors import PolicyError, UsageError
from fidelity_gate.policy.extending import LIMIT_FILES, LIMIT_TOTAL
from fidelity_gate.policy.loading import Examined, Overrides, examine, load_policy
from fidelity_gate.policy.yaml_reader import LIMIT_BYTES, read_tree
from fidelity_gate.records import Policy, Severity

HEAD = "apiVersion: fidelity-gate/v1\n"
DEPTH = "recursion: {h_cycles: 1, l_cycles: 1, steps: 2}\n"
FIDELITY = "  fidelity: {metric: carry_fidelity, aggregate: mean, require: {min: 0.9}}\n"
BASE = f"{HEAD}name: base\n{DEPTH}minimum_probes: 150\nchecks:\n{FIDELITY}"
CHILD = f"{HEAD}name: child\nextends: base.yaml\n"


def write(folder: Path, **files: str) -> Path:
    """Write files (`base` is base.yaml, `below__base` is below/base.yaml), and return child.yaml."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "child.yaml"


def examined(path: Path, **overrides: str) -> Examined:
    return examine(path.read_bytes(), str(path), Overrides(**overrides))


def policy_of(path: Path, **overrides: str) -> Policy:
    found = examined(path, **overrides)
    assert [str(problem) for problem in found.problems] == []
    assert found.policy is not None
    return found.policy


def refusal(path: Path) -> str:
    found = examined(path)
    assert found.policy is None
    first = found.problems[0]  # not as one line, which is cut where the folder's name is long
    return f"{first.where}: {first.field}: {first.what} ({first.hint})"


# ---------------------------------------------------------------- what files come to


def test_a_policy_takes_over_what_its_base_says_but_not_its_name(tmp_path: Path) -> None:
    policy = policy_of(write(tmp_path, base=BASE, child=CHILD))
    assert (policy.name, policy.minimum_probes, [check.id for check in policy.checks]) == ("child", 150, ["fidelity"])
    nameless = write(tmp_path, child=f"{HEAD}extends: base.yaml\n")
    assert "name: is missing" in refusal(nameless)


def test_a_check_of_the_same_name_refines_the_bases(tmp_path: Path) -> None:
    child = write(
        tmp_path, base=BASE, child=f"{CHILD}checks:\n  fidelity: {{require: {{max: 0.99}}, severity: warn}}\n"
    )
    child.write_text(child.read_text() + "  size: {metric: model_size, require: {max: 1 MB}}\n")
    first, second = policy_of(child).checks
    assert (first.bound.minimum, first.bound.maximum, first.severity) == (0.9, 0.99, Severity.WARN)
    assert second.id == "size"


def test_lists_and_single_values_replace(tmp_path: Path) -> None:
    sram = "  sram: {metric: sram_peak, require: {max: target.sram}}\n"
    base = f"{BASE}{sram}targets: [soc-8mb]\nreference: {{path: a, model: {{heads: 4}}}}\n"
    policy = policy_of(write(tmp_path, base=base, child=f"{CHILD}targets: [mcu-4mb]\nreference: b\n"))
    assert [target.name for target in policy.targets] == ["mcu-4mb"]
    assert policy.reference.options == ()


def test_a_model_that_a_base_names_by_its_bare_path_is_refined_like_any_block(tmp_path: Path) -> None:
    child = f"{CHILD}candidates: {{int8: {{uncompressed: true}}}}\nreference: {{model: {{heads: 4}}}}\n"
    policy = policy_of(write(tmp_path, base=f"{BASE}reference: a.st\ncandidates: {{int8: b.st}}\n", child=child))
    assert [Path(spec.path).name for spec in (policy.reference, *policy.candidates)] == ["a.st", "b.st"]
    assert policy.reference.options == (("heads", 4),)
    assert policy.candidates[0].uncompressed


def test_a_block_of_another_kind_keeps_nothing_of_the_bases(tmp_path: Path) -> None:
    base = f"{BASE}inputs: {{use: npz, path: eval.npz, ignore_label: 0}}\n"
    child = f"{CHILD}inputs: {{use: sudoku, path: puzzles.csv}}\n"
    child += "checks:\n  fidelity: {metric: model_size, require: {max: 1 MB}}\n"
    child += "  other: {metric: carry_norm_ratio, aggregate: mean, require: {min: 0.9, max: 1.1}}\n"
    found = examined(write(tmp_path, base=base, child=child))
    assert not any("ignore_label" in str(problem) for problem in found.problems)
    assert not any("checks.fidelity" in str(problem) for problem in found.problems)


def test_of_several_bases_a_later_one_refines_an_earlier_one(tmp_path: Path) -> None:
    second = f"{HEAD}name: second\nminimum_probes: 300\nchecks:\n  fidelity: {{require: {{min: 0.95}}}}\n"
    child = write(tmp_path, base=BASE, second=second, child=CHILD.replace("base.yaml", "[base.yaml, second.yaml]"))
    assert (policy_of(child).minimum_probes, policy_of(child).checks[0].bound.minimum) == (300, 0.95)
    child.write_text(CHILD.replace("base.yaml", "[second.yaml, base.yaml]"))
    assert (policy_of(child).minimum_probes, policy_of(child).checks[0].bound.minimum) == (150, 0.9)


def test_a_base_that_is_reached_twice_counts_where_it_is_reached_first(tmp_path: Path) -> None:
    left = f"{HEAD}name: left\nextends: base.yaml\nminimum_probes: 300\n"
    right = f"{HEAD}name: right\nextends: base.yaml\n"
    child = write(
        tmp_path, base=BASE, left=left, right=right, child=CHILD.replace("base.yaml", "[left.yaml, right.yaml]")
    )
    assert policy_of(child).minimum_probes == 300


def test_every_value_keeps_the_place_where_it_is_written(tmp_path: Path) -> None:
    child = write(
        tmp_path,
        base=BASE,
        child=f"{CHILD}checks:\n  fidelity: {{severity: warn}}\n  a: {{metric: model_size, require: {{max: 1 MB}}}}\n",
    )
    side = examined(child).side
    assert side is not None
    assert str(side.place(("checks", "fidelity", "require", "min"))) == f"{tmp_path / 'base.yaml'}:6:70"
    assert str(side.place(("checks", "fidelity", "severity"))) == f"{child}:5:24"


def test_problems_are_told_where_they_are_those_of_the_policy_itself_first(tmp_path: Path) -> None:
    child = write(tmp_path, base=f"{BASE}rum: {{}}\n", child=f"{CHILD}minimum_probes: yes\n")
    told = [str(problem) for problem in examined(child).problems]
    assert told[0].startswith(f"{child}:4:17: minimum_probes")
    assert told[1].startswith(f"{tmp_path / 'base.yaml'}:7:1: rum: unknown key 'rum' (did you mean run?)")


def test_paths_are_against_the_folder_of_the_file_that_says_them(tmp_path: Path) -> None:
    base = f"{BASE}reference: ref.safetensors\ninputs: {{use: npz, path: eval.npz}}\ncandidates: {{int8: a, int4: b}}\n"
    child = CHILD.replace("base.yaml", "../shared/base.yaml") + "candidates: {int4: c}\n"
    (tmp_path / ".git").mkdir()
    write(tmp_path, shared__base=base, team__child=child)
    policy = policy_of(tmp_path / "team" / "child.yaml")
    shared = tmp_path / "shared"
    assert policy.reference.path == str(shared / "ref.safetensors")
    assert policy.inputs.base == str(shared)
    assert [spec.path for spec in policy.candidates] == [str(shared / "a"), str(tmp_path / "team" / "c")]


def test_inputs_put_together_of_files_in_several_folders_are_refused(tmp_path: Path) -> None:
    base = f"{BASE}inputs: {{use: npz, path: eval.npz}}\n"
    (tmp_path / ".git").mkdir()
    write(tmp_path, shared__base=base, child=CHILD.replace("base", "shared/base") + "inputs: {labels: answers}\n")
    assert "files in several folders" in refusal(tmp_path / "child.yaml")


# ---------------------------------------------------------------- the digest


def test_the_digest_is_of_every_file_and_of_their_order(tmp_path: Path) -> None:
    other = f"{HEAD}name: other\n"
    child = write(tmp_path, base=BASE, other=other, child=CHILD.replace("base.yaml", "[base.yaml, other.yaml]"))
    first = policy_of(child).digest
    assert first != hashlib.sha256(child.read_bytes()).hexdigest()
    assert policy_of(child).digest == first
    (tmp_path / "base.yaml").write_text(f"{BASE}# a comment\n")
    second = policy_of(child).digest
    child.write_text(CHILD.replace("base.yaml", "[other.yaml, base.yaml]"))
    assert len({first, second, policy_of(child).digest}) == 3


def test_swapping_two_bases_under_their_names_changes_the_digest(tmp_path: Path) -> None:
    one, two = f"{HEAD}name: one\n", f"{HEAD}name: two\n"
    child = write(tmp_path, base=BASE, a=one, b=two, child=CHILD.replace("base.yaml", "[base.yaml, a.yaml, b.yaml]"))
    first = policy_of(child).digest
    write(tmp_path, a=two, b=one)
    assert policy_of(child).digest != first


# ---------------------------------------------------------------- a shipped base


def test_a_base_that_ships_is_extended_by_its_name(tmp_path: Path) -> None:
    child = write(tmp_path, child=CHILD.replace("base.yaml", "fidelity-gate:base-recursive"))
    policy = policy_of(child)
    assert policy.minimum_probes == 100
    assert str(policy.checks[0].place) == f"{child}:3:10"  # reports point at a file that there is
    side = examined(child).side
    assert side is not None
    assert str(side.place(("checks", "carry-fidelity", "metric"))).startswith("fidelity-gate:base-recursive:")


# ---------------------------------------------------------------- which files may be bases


def test_the_tree_is_the_repository_or_else_the_working_folder_or_else_the_policys_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, base=BASE, team__child=CHILD.replace("base.yaml", "../base.yaml"))
    child = tmp_path / "team" / "child.yaml"
    monkeypatch.chdir(tmp_path / "team")
    assert "leads out of the policy's tree" in refusal(child)
    monkeypatch.chdir(tmp_path)
    assert policy_of(child).minimum_probes == 150
    monkeypatch.chdir("/")
    (tmp_path / "team" / ".git").mkdir()
    assert "leads out of the policy's tree" in refusal(child)
    (tmp_path / "team" / ".git").rmdir()
    (tmp_path / ".git").write_text("gitdir: elsewhere")  # as in a worktree
    assert policy_of(child).minimum_probes == 150


def test_a_link_may_stand_for_a_base_of_the_tree_but_not_lead_out_of_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(BASE)
    tree = tmp_path / "tree"
    child = write(tree, child=CHILD, real=BASE)
    (tree / "base.yaml").symlink_to("real.yaml")
    assert policy_of(child).minimum_probes == 150
    (tree / "base.yaml").unlink()
    (tree / "base.yaml").symlink_to(outside)
    assert "leads out of the policy's tree" in refusal(child)
    (tree / "base.yaml").unlink()
    (tree / "folder").symlink_to(tmp_path)
    child.write_text(CHILD.replace("base.yaml", "folder/outside.yaml"))
    assert "leads out of the policy's tree" in refusal(child)


def test_a_base_that_is_named_twice_is_refused_where_it_is_named_again(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, base=BASE, child=CHILD.replace("base.yaml", "[base.yaml, base.yaml]")))
    assert "child.yaml:3:22: extends: 'base.yaml' is named twice (name it once)" in said


def test_circles_are_refused_however_long_they_are(tmp_path: Path) -> None:
    assert "extends itself: child.yaml -> child.yaml" in refusal(write(tmp_path, child=CHILD.replace("base", "child")))
    one = BASE.replace("name: base\n", "name: base\nextends: two.yaml\n")
    two = BASE.replace("name: base\n", "name: two\nextends: base.yaml\n")
    assert "extends itself: base.yaml -> two.yaml -> base.yaml" in refusal(
        write(tmp_path, base=one, two=two, child=CHILD)
    )


def test_a_circle_through_a_link_is_a_circle(tmp_path: Path) -> None:
    child = write(tmp_path, child=CHILD)
    (tmp_path / "base.yaml").symlink_to("child.yaml")
    assert "extends itself" in refusal(child)


def test_a_policy_has_a_bounded_number_of_files(tmp_path: Path) -> None:
    for index in range(LIMIT_FILES):
        write(tmp_path, **{f"p{index}": BASE.replace("name: base\n", f"name: p\nextends: p{index + 1}.yaml\n")})
    write(tmp_path, **{f"p{LIMIT_FILES}": BASE})
    assert "more than 8 files" in refusal(tmp_path / "p0.yaml")
    assert policy_of(tmp_path / "p1.yaml").minimum_probes == 150


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"#" * 10_000_000, "base.yaml: is too large: 10,000,000 bytes"),
        (b"", "base.yaml: holds zero bytes"),
        (BASE.encode() + b"\0", "NUL"),
        (b"\xff\xfe" + BASE.encode("utf-16-le"), "UTF-16 is not read"),
        (b"a: " + b"[" * 60_000, "nested deeper"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer"),
        (f"{HEAD}name: &a base\n".encode(), "anchors and aliases are not allowed"),
        (b"name: base\n", "apiVersion: is missing"),
        (BASE.replace("/v1", "/v2").encode(), "'fidelity-gate/v2' is not a format known here"),
    ],
    ids=["10 MB", "empty", "NUL", "UTF-16", "deep", "LFS", "anchor", "no version", "future"],
)
def test_a_base_is_as_strictly_read_as_a_policy(tmp_path: Path, data: bytes, said: str) -> None:
    child = write(tmp_path, child=CHILD)
    (tmp_path / "base.yaml").write_bytes(data)
    assert said in refusal(child)
    with pytest.raises(PolicyError) as caught:
        load_policy(str(child))
    assert caught.value.exit_code == 2


def test_a_base_that_is_no_file_is_refused_at_the_line_that_names_it(tmp_path: Path) -> None:
    child, base = write(tmp_path, child=CHILD), tmp_path / "base.yaml"
    assert refusal(child).startswith(f"{child}:3:10: extends: {base}: there is no such file")
    os.mkfifo(base)
    assert "named pipe" in refusal(child)
    base.unlink()
    base.mkdir()
    assert "is a folder" in refusal(child)
    base.rmdir()
    base.symlink_to("base.yaml")
    assert "loop of symbolic links" in refusal(child)


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    assert "NUL" in refusal(write(tmp_path, child=CHILD.replace("base", "ba\0se")))


def test_bombs_through_bases_are_refused_within_seconds(tmp_path: Path) -> None:
    full = "".join(f"k{index}: {{a: 1, b: 2}}\n" for index in range(600))
    full = HEAD + full + "#" * (LIMIT_BYTES - len(HEAD) - len(full) - 1)
    names = [f"b{index}" for index in range(LIMIT_FILES - 1)]
    child = write(tmp_path, **dict.fromkeys(names, full))
    child.write_text(f"{HEAD}name: child\nextends: [{', '.join(f'{name}.yaml' for name in names)}]\n")
    start = time.process_time()
    assert f"more than {LIMIT_TOTAL:,} bytes" in refusal(child)
    assert time.process_time() - start < 20  # two are read, at a third of a second each


# ---------------------------------------------------------------- the command line


@pytest.mark.parametrize(("key", "value"), [("reference", "mine.safetensors"), ("inputs", "mine.npz")])
def test_the_command_line_cannot_replace_what_is_locked(tmp_path: Path, key: str, value: str) -> None:
    base = f"{BASE}reference: a\ninputs: {{use: npz, path: b}}\n"
    child = write(tmp_path, base=base, child=CHILD)
    policy_of(child, **{key: value})
    write(tmp_path, base=f"{base}locked: [reference, inputs]\n")
    policy_of(child)
    with pytest.raises(UsageError, match="is locked, and the command line cannot replace it") as caught:
        examined(child, **{key: value})
    assert (caught.value.field, caught.value.where) == (
        f"--{key}",
        f"{tmp_path / 'base.yaml'}:9:{10 if key == 'reference' else 21}",
    )


def test_a_tree_of_one_file_is_the_files_own(tmp_path: Path) -> None:
    path = write(tmp_path, child=BASE)
    chain = examined(path).chain
    assert chain is not None
    assert chain.tree() == read_tree(BASE.encode(), str(path))
    assert chain.digest == hashlib.sha256(BASE.encode()).hexdigest()
