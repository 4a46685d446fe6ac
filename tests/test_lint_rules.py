"""What holds for every lint rule, found by itself: examples that fail and pass, and what a reader is told."""

import dataclasses
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from fidelity_gate import registry
from fidelity_gate.analysis.linting import ROOM, has, lint
from fidelity_gate.records import Finding, LintSettings, Location, Need, Severity

EXAMPLES = Path(__file__).parent / "lint_examples"
CODES = sorted(registry.table_of(ROOM))
GROUPS = {"1": "not really compressed", "2": "scales", "3": "carry", "4": "target", "5": "drift", "6": "hygiene"}


def _examples(kind):
    """Return (code, function) of every example of a kind, by file name; a rule author adds a file and nothing else."""
    found = []
    for path in sorted(EXAMPLES.glob("fg*.py")):
        spec = importlib.util.spec_from_file_location(f"lint_examples_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [
            pytest.param(path.stem.upper(), function, id=f"{path.stem.upper()}-{name}")
            for name, function in sorted(vars(module).items())
            if re.fullmatch(rf"{kind}(_\w+)?", name) and inspect.isfunction(function)
        ]
    return found


FAILING, PASSING = _examples("failing"), _examples("passing")


def alone(code, subject):
    return lint(subject, LintSettings(select=(code,)), model="model.onnx", candidate="int4")


@pytest.mark.parametrize(("code", "example"), FAILING)
def test_a_failing_example_is_found(code, example, tmp_path):
    found = alone(code, example(tmp_path))
    assert found.checked == (code,), found.skipped
    assert found.findings
    for finding in found.findings:
        assert isinstance(finding, Finding)
        assert finding.code == code
        # Said in one printable line that names numbers or things, and placed where a reader can look.
        assert finding.message.strip() == finding.message
        assert not finding.message.endswith(".")
        assert "\n" not in finding.message + finding.location.context
        assert isinstance(finding.location, Location)
        assert finding.location.name or finding.location.kind.value == "file"
        assert list(finding.figures) == sorted(finding.figures)


@pytest.mark.parametrize(("code", "example"), PASSING)
def test_a_passing_example_is_looked_at_and_nothing_is_found(code, example, tmp_path):
    found = alone(code, example(tmp_path))
    assert found.checked == (code,), found.skipped
    assert found.findings == ()


@pytest.mark.parametrize(("code", "example"), [*FAILING, *PASSING])
def test_a_rule_is_skipped_by_name_when_what_it_needs_is_missing(code, example, tmp_path):
    rule = registry.find(ROOM, code)
    subject = example(tmp_path)
    for need in rule.needs:
        poorer = without(subject, need)
        assert not has(poorer, need)
        assert dict(alone(code, poorer).skipped).get(code)


@pytest.mark.parametrize(("code", "example"), [*FAILING, *PASSING])
def test_a_rule_finds_the_same_twice(code, example, tmp_path):
    subject = example(tmp_path)
    assert alone(code, subject) == alone(code, subject)


def without(subject, need):
    """Return the subject that lacks exactly what a rule says it needs."""
    if need is Need.TENSORS:
        return dataclasses.replace(subject, facts=dataclasses.replace(subject.facts, tensors=()))
    if need is Need.STATES:
        return dataclasses.replace(subject, graph=dataclasses.replace(subject.graph, states=()))
    empty = {Need.WEIGHTS: {"weights": None}, Need.GRAPH: {"graph": None}, Need.REFERENCE: {"reference": None}}
    return dataclasses.replace(subject, **empty.get(need, {"targets": ()}))


@pytest.mark.parametrize("code", CODES)
def test_every_rule_ships_an_example_that_fails_and_one_that_passes(code):
    for kind in (FAILING, PASSING):
        assert code in {example.values[0] for example in kind}


def test_there_is_no_example_of_a_rule_that_does_not_exist():
    assert {path.stem.upper() for path in EXAMPLES.glob("fg*.py")} <= set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_rule_says_what_it_looks_for_why_it_matters_and_how_to_mend_it(code):
    rule = registry.find(ROOM, code)
    assert rule.code == code
    assert code[2] in GROUPS
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.title)
    assert rule.severity in (Severity.WARN, Severity.ERROR)
    assert isinstance(rule.needs, tuple)
    assert all(isinstance(need, Need) for need in rule.needs)
    first, _, rest = inspect.getdoc(rule).partition("\n\n")
    assert "\n" not in first
    assert first.endswith(".")
    assert len(rest) > 100, "the docstring says what is compared and when the finding is wrong to make"
    for text in (rule.why, rule.fix):
        assert text.strip() == text
        assert text.endswith(".")
        assert "\n" not in text
        assert 20 < len(text) <= 600


@pytest.mark.parametrize("code", CODES)
def test_every_threshold_of_a_rule_has_a_default(code):
    registry.build(ROOM, code, ())


def test_no_two_rules_have_one_title():
    titles = [registry.find(ROOM, code).title for code in CODES]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("code", CODES)
def test_a_rule_stands_in_a_file_named_after_its_code_and_title(code):
    module = registry.table_of(ROOM)[code].partition(":")[0].rpartition(".")[2]
    assert module == f"{code.lower()}_{registry.find(ROOM, code).title.replace('-', '_')}"
