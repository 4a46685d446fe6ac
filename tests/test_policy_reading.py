"""Bytes -> tree: what no policy may hold is refused at once, and nothing but a PolicyError ever comes out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_gate.errors import PolicyError, UnsafeContent
from fidelity_gate.policy.loading import examine, load_policy, load_policy_text
from fidelity_gate.policy.yaml_reader import LIMIT_BYTES, read_tree

CASES = Path(__file__).parent / "cases" / "policy"
SOUND = (CASES / "pass" / "everything.yaml").read_bytes()


def refusal(data: bytes) -> str:
    with pytest.raises(PolicyError) as caught:
        read_tree(data, "p.yaml")
    return str(caught.value)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_other_encodings_than_plain_utf8_are_refused(codec: str) -> None:
    assert "save it as UTF-8 without BOM" in refusal("a: 1\n".encode(codec))


def test_a_nul_byte_is_refused() -> None:
    assert "NUL" in refusal(b"a: 1\0\n")


def test_bytes_that_are_no_utf8_are_refused_at_their_place() -> None:
    assert refusal(b"a: 1\nb: \xff\n").startswith("p.yaml:2:4: is not valid UTF-8")


def test_an_empty_text_is_refused() -> None:
    assert "is empty" in refusal(b"")


@pytest.mark.parametrize("character", ["\u0000", "\u0007", "\u001b", "\u007f", "\u0085", "\u200b", "\u2028", "\u2029"])
def test_characters_that_nobody_sees_are_refused(character: str) -> None:
    with pytest.raises(PolicyError):
        load_policy_text(f"apiVersion: fidelity-gate/v1 # {character}\n", "p.yaml")


@pytest.mark.parametrize("character", ["\u2066", "\ufeff", "\ufffe", "\U000e0001", "\ue000"])
def test_marks_that_reorder_or_hide_text_are_refused_with_their_number(character: str) -> None:
    message = refusal(f"a: 1\nb: {character}\n".encode())
    assert message.startswith("p.yaml:2:4: ")
    assert f"U+{ord(character):04X}" in message


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        "a: " + "[" * 60_000,
        "a: " + "{b: " * 15_000,
        "".join(f"k{index}: 1\n" for index in range(6_000)),
        "a: [" + "1," * 30_000 + "]",
        "a: " + "9" * 5_000,
        "a: 0." + "9" * 5_000,
        "? " * 30_000,
        "a:\n " + "- " * 30_000,
        "".join(" " * index + "k:\n" for index in range(340)),
        "a: &a [x]\n" + "".join(f"b{index}: [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" for index in range(1_000)),
        "a: " + "!" * 60_000,
        "a: &" + "x" * 60_000,
    ],
    ids=lambda text: text[:12].strip(),
)
def test_bombs_are_refused_within_a_second(text: str) -> None:
    start = time.process_time()
    refusal(text.encode())
    # About a third of a second here; the bound is of the promise, not of this machine.
    assert time.process_time() - start < 5


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"#" * (LIMIT_BYTES + 1))
    with pytest.raises(UnsafeContent):
        load_policy(str(path))
    assert "at most 65,536" in refusal(b"#" * (LIMIT_BYTES + 1))


def test_a_policy_of_the_largest_size_is_read() -> None:
    padding = b"#" * (LIMIT_BYTES - len(SOUND) - 1) + b"\n"
    assert examine(padding + SOUND, "p.yaml").problems == ()


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(str(tmp_path / name))
    assert caught.value.exit_code == 2


def test_numbers_are_read_as_yaml_1_2_reads_them() -> None:
    tree = read_tree(b"a: [1, -1, 0.5, 1e-6, 1E3, -0, 0.0, yes, off, True, 12abc, 1.2.3, 2026-01-01]\n", "p.yaml")
    expected = [1, -1, 0.5, 1e-6, 1e3, 0, 0.0, "yes", "off", "True", "12abc", "1.2.3", "2026-01-01"]
    plain = tree.plain()["a"]
    assert plain == expected
    assert [type(value) for value in plain] == [type(value) for value in expected]


def test_every_value_knows_its_line_and_column() -> None:
    tree = read_tree(b"a:\n  b: [x, y]\n", "p.yaml")
    node, path = tree.at(("a", "b", 1))
    assert path == ("a", "b", 1)
    assert str(node.place) == "p.yaml:2:10"
    assert str(tree.at(("a", "b"))[0].key_place) == "p.yaml:2:3"
    assert tree.at(("a", "c", "d"))[1] == ("a",)


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_and_never_crash(data: bytes) -> None:
    assert examine(data, "p.yaml").policy is None


YAML_LIKE = st.text(alphabet="ab01:-?[]{},&*!|>'\"%@`#. \n\t\\<=~\u0085\u2028é", max_size=80)


@settings(max_examples=400, deadline=None)
@given(YAML_LIKE)
def test_text_full_of_yaml_signs_is_refused_and_never_crashes(text: str) -> None:
    found = examine(text.encode(), "p.yaml")
    assert found.policy is None
    assert all(isinstance(problem, PolicyError) for problem in found.problems)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_sound_policy_that_was_mutated_is_refused_or_still_sound(data: st.DataObject) -> None:
    text = SOUND.decode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    piece = data.draw(st.one_of(YAML_LIKE, st.text(max_size=10), st.just(text[start:end] * 2)))
    mutated = (text[:start] + piece + text[end:]).encode("utf-8", "surrogatepass")
    found = examine(mutated, "p.yaml")
    assert all(isinstance(problem, PolicyError) and "\n" not in str(problem) for problem in found.problems)
    assert (found.policy is None) == bool(found.problems)
    if found.policy is not None:
        assert found.policy.checks
        assert all({check.bound.minimum, check.bound.maximum} != {None} for check in found.policy.checks)


# ---------------------------------------------------------------- what people mistype

PLAIN = """apiVersion: fidelity-gate/v1
name: x
candidates: {int8: int8.safetensors}
recursion: {h_cycles: 2, l_cycles: 2, steps: 8}
checks:
  a:
    metric: carry_fidelity
    aggregate: mean
    require:
      min: 0.9
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    metric:", "\tmetric:", "7:1: is not valid YAML: a tab, where only spaces can be (spaces instead)"),
        ("min: 0.9", "min:\t0.9", "10:11: is not valid YAML: a tab, where only spaces can be"),
        (
            "min: 0.9",
            "min: %95",
            "10:12: is not valid YAML: text that starts with % has to be quoted (a share",
        ),
        ("name: x", "name: @x", "2:7: is not valid YAML: text that starts with @ has to be quoted ('@...')"),
        ("min: 0.9", ">= 0.9", "10:8: is not valid YAML: text that starts with > or | has to be quoted"),
        ("metric: carry", "metric carry", "8:14: is not valid YAML: the line before is no key with a value"),
        ("metric: carry", "metric:carry", "8:14: is not valid YAML: the line before is no key with a value"),
        ("name: x", "name: x: y", "2:8: is not valid YAML: a second colon on one line (quote text that holds a colon"),
        ("    aggregate", "   aggregate", "8:4: is not valid YAML: does not line up with the block that it is in"),
        (
            "tensors}",
            "tensors",
            "4:10: is not valid YAML: a { is not closed, or a comma is missing (the { is",
        ),
        ("name: x", 'name: "x', "2:7: is not valid YAML: a quote that is opened here is never closed (close it)"),
        ("steps: 8}", "steps: 8,,}", "4:48: is not valid YAML: a value is missing, or a comma or bracket is too many"),
        ("checks:", "<<<<<<< HEAD\nchecks:", "5:1: holds the marks of a merge conflict (resolve it)"),
        ("name: x", "name: x\nname: y", "3:1: the key 'name' is given twice (first on line 2; keep one)"),
        (
            "require:",
            "require: &r",
            "9:14: checks.a.require: anchors and aliases are not allowed (write",
        ),
        ("min: 0.9", "min: no", "10:12: checks.a.require.min: 'no' is not a quantity (write it like 0.97)"),
        (
            "  a:",
            "  a:\n    locked: yes",
            "7:13: checks.a.locked: must be true or false, not 'yes' (write true,",
        ),
        (
            "  a:",
            "  a:\n    locked: Off",
            "7:13: checks.a.locked: must be true or false, not 'Off' (write false",
        ),
        ("steps: 8", "steps: '8'", "4:46: recursion.steps: must be a whole number, not '8' (without quotes)"),
        ("min: 0.9", "min: 0,9", "10:12: checks.a.require.min: '0,9' is not a quantity"),
        (
            "require:\n      min:",
            "require:",
            "9:14: checks.a.require: must be a mapping of keys, not the number 0.9",
        ),
        ("  a:\n    m", "  - m", "6:3: checks: must be a mapping of keys, not a list (keys, each with a colon, and no"),
        ("metric:", "metrik:", "7:5: checks.a.metrik: unknown key 'metrik' (did you mean metric?)"),
        ("checks:", "check:", "5:1: check: unknown key 'check' (did you mean checks?)"),
        ("apiVersion", "apiversion", "1:1: apiversion: unknown key 'apiversion' (did you mean apiVersion?)"),
        ("recursion:", "recursions:", "4:1: recursions: unknown key 'recursions' (did you mean recursion?)"),
    ],
)
def test_a_slip_of_the_pen_is_told_in_one_line_with_the_way_to_mend_it(old: str, new: str, said: str) -> None:
    text = PLAIN.replace(old, new, 1)
    assert text != PLAIN
    problems = [str(problem) for problem in examine(text.encode(), "p").problems]
    assert len(problems) == 1
    assert problems[0].startswith(f"p:{said}")


def test_the_text_that_slips_are_made_in_is_sound() -> None:
    assert examine(PLAIN.encode(), "p").problems == ()
