"""The lint engine: which rules run, what becomes of their findings, and that a broken rule is never a clean file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import facts

from fidelity_gate.analysis import rules
from fidelity_gate.analysis.concluding import code_of, sentence, worst
from fidelity_gate.analysis.explaining import documented, options_of
from fidelity_gate.analysis.linting import MOST_OF_ONE_RULE, chosen_rules, lint
from fidelity_gate.analysis.subject import OpenedSubject
from fidelity_gate.errors import ExitCode, Internal, ModelRefused, PolicyError, UsageError
from fidelity_gate.records import (
    Finding,
    Found,
    Linted,
    LintedModel,
    LintSettings,
    Location,
    LocationKind,
    Need,
    Place,
    Severity,
)


@dataclass(frozen=True, slots=True)
class Talkative:
    """Looks for whatever the test says.

    Attributes:
        places: how many findings it yields,
            each at a tensor of its own.
        share: not used.
    """

    places: int = 2
    share: float = 0.5

    code: ClassVar[str] = "FG901"
    title: ClassVar[str] = "talk-ative"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = "It matters."
    fix: ClassVar[str] = "Mend it."
    needs: ClassVar[tuple[Need, ...]] = ()

    def check(self, subject: OpenedSubject) -> Iterator[Found]:
        """Yield as many places as it was told, from the last to the first."""
        for place in range(self.places, 0, -1):
            yield Found(Location(LocationKind.TENSOR, f"w{place}", "2x2"), f"is number {place}")


@dataclass(frozen=True, slots=True)
class Severe(Talkative):
    """Looks for the same, and blocks."""

    code: ClassVar[str] = "FG902"
    severity: ClassVar[Severity] = Severity.ERROR


@dataclass(frozen=True, slots=True)
class Needy(Talkative):
    """Looks for nothing, and needs everything."""

    code: ClassVar[str] = "FG911"
    needs: ClassVar[tuple[Need, ...]] = tuple(Need)


@dataclass(frozen=True, slots=True)
class Broken(Talkative):
    """Looks for trouble."""

    code: ClassVar[str] = "FG912"

    def check(self, subject: OpenedSubject) -> Iterator[Found]:
        """Yield one finding, and then do what the subject's name says."""
        yield Found(Location(), "is fine so far")
        if subject.name == "wrong type":
            yield "a string"  # type: ignore[misc]
        if subject.name == "no message":
            yield Found(Location(), "")
        if subject.name == "memory":
            raise MemoryError
        if subject.name == "unreadable":
            raise ModelRefused("a scale is not finite", field="blk.w")
        if subject.name == "named already":
            raise ModelRefused("is cut short", where="weights.bin")
        if subject.name == "division":
            raise ZeroDivisionError


@pytest.fixture(autouse=True)
def _only_these(monkeypatch):
    here = (Talkative, Severe, Needy, Broken)
    monkeypatch.setattr(rules, "TABLE", {rule.code: f"{__name__}:{rule.__name__}" for rule in here})


def subject(name: str = "candidate", **fields: object) -> OpenedSubject:
    made = OpenedSubject(name, facts(name), None, (), None, None, (), None)
    return replace(made, **fields)


def linted(name: str = "candidate", **settings: object) -> Linted:
    return lint(subject(name), LintSettings(**settings), model=f"{name}.onnx", candidate="int4")


def codes(**settings: object) -> list[str]:
    return [chosen.rule.code for chosen in chosen_rules(LintSettings(**settings))]


# ---------------------------------------------------------------- which rules


def test_without_settings_every_rule_runs_in_the_order_of_codes():
    assert codes() == ["FG901", "FG902", "FG911", "FG912"]


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"select": ("FG90",)}, ["FG901", "FG902"]),
        ({"select": ("FG901", "FG911")}, ["FG901", "FG911"]),
        ({"ignore": ("FG90",)}, ["FG911", "FG912"]),
        ({"select": ("FG9",), "ignore": ("FG91",)}, ["FG901", "FG902"]),
        ({"select": ("FG912",), "ignore": ("FG91",)}, ["FG912"]),
        ({"select": ("FG91",), "ignore": ("FG91",)}, []),
        ({"select": ("FG912", "FG9"), "ignore": ("FG91",)}, ["FG901", "FG902", "FG912"]),
        ({"severity": (("FG9", Severity.OFF),)}, []),
        ({"severity": (("FG9", Severity.OFF), ("FG901", Severity.WARN))}, ["FG901"]),
    ],
)
def test_the_longer_prefix_decides_and_between_equals_ignore(settings, left):
    assert codes(**settings) == left


def test_the_longest_prefix_gives_the_severity():
    settings = LintSettings(severity=(("FG9", Severity.ERROR), ("FG90", Severity.WARN), ("FG901", Severity.ERROR)))
    severities = {chosen.rule.code: chosen.severity for chosen in chosen_rules(settings)}

    assert severities["FG901"] is Severity.ERROR
    assert severities["FG902"] is Severity.WARN
    assert severities["FG911"] is Severity.ERROR


@pytest.mark.parametrize(
    "settings",
    [
        {"select": ("FG8",)},
        {"ignore": ("FG9011",)},
        {"severity": (("FG8", Severity.WARN),)},
        {"options": (("FG903", (("places", 1),)),)},
        {"select": ("",)},
    ],
)
def test_a_rule_that_there_is_not_is_refused_with_its_key_and_place(settings):
    with pytest.raises(PolicyError, match="no lint rule is named") as caught:
        codes(**settings, place=Place("release.yaml", 7, 3))
    assert caught.value.where == "release.yaml:7:3"
    assert caught.value.field == f"lint.{next(iter(settings))}"

    with pytest.raises(UsageError) as caught:
        chosen_rules(LintSettings(**settings), kind=UsageError)
    assert caught.value.field == f"--{next(iter(settings)).removesuffix('s')}"


@pytest.mark.parametrize("options", [(("place", 1),), (("places", "many"),), (("places", 1.5),)])
def test_an_option_that_a_rule_does_not_take_is_refused(options):
    with pytest.raises(PolicyError) as caught:
        codes(options=(("FG901", options),))
    assert caught.value.field.startswith("lint.options.FG901")


def test_options_are_the_rules_fields():
    found = linted(select=("FG901",), options=(("FG901", (("places", 3),)),))

    assert len(found.findings) == 3


# ---------------------------------------------------------------- findings


def test_findings_come_by_severity_then_code_then_the_files_order():
    found = linted(ignore=("FG91",))

    assert [(one.code, one.location.name) for one in found.findings] == [
        ("FG902", "w2"),
        ("FG902", "w1"),
        ("FG901", "w2"),
        ("FG901", "w1"),
    ]
    assert found.checked == ("FG901", "FG902")


def test_a_finding_carries_what_its_rule_says_and_what_it_was_found_in():
    (first, _) = linted(select=("FG901",), severity=(("FG901", Severity.ERROR),)).findings

    assert first == Finding(
        code="FG901",
        rule="talk-ative",
        severity=Severity.ERROR,
        model="candidate.onnx",
        candidate="int4",
        location=Location(LocationKind.TENSOR, "w2", "2x2"),
        message="is number 2",
        why="It matters.",
        fix="Mend it.",
    )


def test_a_rule_that_lacks_something_is_skipped_by_name():
    found = linted(select=("FG911",))

    assert found.checked == ()
    assert found.findings == ()
    assert found.skipped == (("FG911", "no tensor of this file is known by its role"),)


def test_of_too_many_places_the_rest_is_counted():
    found = linted(select=("FG901",), options=(("FG901", (("places", MOST_OF_ONE_RULE + 7),)),))

    assert len(found.findings) == MOST_OF_ONE_RULE + 1
    assert found.findings[-1].message == f"7 more places like the {MOST_OF_ONE_RULE} before"
    assert found.findings[-1].figures == (("more", 7),)


def test_texts_of_a_file_are_bounded_and_figures_are_plain(monkeypatch):
    def check(self, subject):
        figures = (("z", np.float32(0.5)), ("a", float("nan")), ("n", np.int64(3)))
        yield Found(Location(LocationKind.NODE, "n" * 100_000, "c" * 100_000), "m" * 100_000, figures)

    monkeypatch.setattr(Talkative, "check", check)
    (one,) = linted(select=("FG901",)).findings

    assert max(map(len, (one.location.name, one.location.context, one.message))) <= 1000
    assert one.figures == (("a", "nan"), ("n", 3), ("z", 0.5))
    assert [type(value) for _, value in one.figures] == [str, int, float]


# ---------------------------------------------------------------- rules that cannot go on


def test_an_unreadable_weight_is_a_refusal_with_file_and_tensor():
    with pytest.raises(ModelRefused) as caught:
        linted("unreadable", select=("FG912",))
    assert str(caught.value) == "unreadable.onnx: blk.w: a scale is not finite"


def test_a_refusal_that_names_its_file_keeps_it():
    with pytest.raises(ModelRefused, match=r"^weights.bin: is cut short$") as caught:
        linted("named already", select=("FG912",))
    assert caught.value.where == "weights.bin"


@pytest.mark.parametrize("name", ["division", "wrong type", "no message"])
def test_a_rule_that_breaks_is_our_bug_and_names_itself(name):
    with pytest.raises(Internal, match="lint rule FG912 broke") as caught:
        linted(name, select=("FG912",))
    assert caught.value.where == f"{name}.onnx"


def test_a_machine_without_memory_is_not_a_bug_of_the_rule():
    with pytest.raises(MemoryError):
        linted("memory", select=("FG912",))


# ---------------------------------------------------------------- what it comes to


def model(*severities: Severity, error: str = "", code: int = 0) -> LintedModel:
    if error:
        return LintedModel("bad.onnx", error=error, exit_code=code)
    at = Location()
    findings = tuple(Finding("FG901", "t", one, "m.onnx", "", at, "m", "w", "f") for one in severities)
    return LintedModel("m.onnx", linted=Linted(findings, ("FG901",)))


def test_only_findings_as_severe_as_asked_fail():
    warned, wrong = model(Severity.WARN).linted, model(Severity.ERROR).linted

    assert code_of(warned, Severity.ERROR) is ExitCode.PASSED
    assert code_of(warned, Severity.WARN) is ExitCode.FAILED
    assert code_of(wrong, Severity.ERROR) is code_of(wrong, Severity.WARN) is ExitCode.FAILED
    assert code_of(Linted(), Severity.WARN) is ExitCode.PASSED


@given(st.lists(st.sampled_from((0, 1, 2, 3, 4, 130))))
def test_the_worst_outcome_wins_and_only_all_passed_is_passed(found):
    order = (4, 2, 1, 3)
    expected = next((code for code in order if code in found), 0 if found and set(found) == {0} else 4)

    assert worst(found) == expected


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ((model(),), "nothing found in 1 model by 1 rule"),
        ((model(), model()), "nothing found in 2 models by 1 rule"),
        ((model(Severity.ERROR, Severity.WARN), model()), "1 error and 1 warning in 1 of 2 models"),
        ((model(Severity.WARN),), "1 warning in 1 model, none as severe as error"),
        ((model(), model(error="x")), "nothing found in 1 model by 1 rule; 1 model could not be looked at"),
        ((model(error="x"), model(error="x")), "2 models could not be looked at"),
    ],
)
def test_a_sentence_says_what_was_found_in_how_many(models, said):
    assert sentence(models, Severity.ERROR) == said


def test_a_docstring_is_taken_apart_without_losing_anything():
    assert documented(Talkative) == ("Looks for whatever the test says.", "")
    assert [(one.name, one.default, one.told) for one in options_of(Talkative())] == [
        ("places", 2, "how many findings it yields, each at a tensor of its own."),
        ("share", 0.5, "not used."),
    ]
