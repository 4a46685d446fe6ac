"""What holds for every lint rule, found by itself: examples that fail and pass, and what a reader is told."""

import dataclasses
import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest

from fidelity_gate import registry
from fidelity_gate.analysis.explaining import GROUPS, options_of
from fidelity_gate.analysis.linting import ROOM, has, lint
from fidelity_gate.records import Finding, LintSettings, Location, Need, Severity

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = Path(__file__).parent / "lint_examples"
CODES = sorted(registry.table_of(ROOM))


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


def first_of_each(examples):
    """Return one example of every rule: what a rule needs does not depend on which."""
    return list({example.values[0]: example for example in reversed(examples)}.values())[::-1]


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


@pytest.mark.parametrize(("code", "example"), first_of_each(FAILING))
def test_a_rule_is_skipped_by_name_when_what_it_needs_is_missing_and_finds_the_same_twice(code, example, tmp_path):
    rule = registry.find(ROOM, code)
    subject = example(tmp_path)
    assert alone(code, subject) == alone(code, subject)
    for need in rule.needs:
        poorer = without(subject, need)
        assert not has(poorer, need)
        assert dict(alone(code, poorer).skipped).get(code)


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
    assert code[:3] in GROUPS
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
    rule = registry.build(ROOM, code, ())
    for option in options_of(rule):
        assert option.told, f"{option.name} is not told in Attributes"


def test_no_two_rules_have_one_title():
    titles = [registry.find(ROOM, code).title for code in CODES]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("code", CODES)
def test_a_rule_stands_in_a_file_named_after_its_code_and_title(code):
    module = registry.table_of(ROOM)[code].partition(":")[0].rpartition(".")[2]
    assert module == f"{code.lower()}_{registry.find(ROOM, code).title.replace('-', '_')}"


def test_the_pages_of_the_rules_say_what_their_classes_say():
    """`make pages` writes them."""
    sys.path.insert(0, str(ROOT))
    try:
        lint_pages = importlib.import_module("ci.lint_pages")
    finally:
        sys.path.remove(str(ROOT))
    wanted = lint_pages.pages()

    assert set(lint_pages.FOLDER.glob("*.md")) == set(wanted) - {lint_pages.INDEX}
    for path, text in wanted.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: make pages"
