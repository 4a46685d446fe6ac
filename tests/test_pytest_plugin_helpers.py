"""Door 2, for repositories of models: the assertion, the marker and the fixture, on a real model of the zoo."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import pytest_sessions
from pytest_sessions import data

from fidelity_gate import cli, testing
from fidelity_gate.errors import ModelRefused, PolicyError, Refused, UsageError
from fidelity_gate.records import Depth
from fidelity_gate.testing import assert_fidelity
from fidelity_gate.zoo.paths import located

session, measuring = pytest_sessions.session, pytest_sessions.measuring
ROOT = Path(__file__).resolve().parents[1]
REFERENCE, ROWS = "zoo:trm-addition", "zoo:trm-addition/evaluation"
RELEASE = """\
apiVersion: fidelity-gate/v1
name: addition
reference: zoo:trm-addition
candidates: {int8: ../build/int8.safetensors}
inputs: {use: zoo, name: trm-addition}
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
checks:
  carry-fidelity: {metric: carry_fidelity, aggregate: mean, require: {min: 0.97}}
  same-answers: {metric: answer_agreement, aggregate: mean, require: {min: 97 %}}
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two compressions of a model of the zoo, of which one keeps its reasoning."""
    folder = tmp_path_factory.mktemp("build")
    for recipe, name in (("int8", "int8"), ("int4-naive", "int4")):
        assert cli.answer(["compress", REFERENCE, "--recipe", recipe, "-o", str(folder / f"{name}.safetensors")]) == 0
    return folder


# ---------------------------------------------------------------- assert_fidelity


def test_a_candidate_that_stays_close_is_asserted_and_its_report_returned(build) -> None:
    report = assert_fidelity(REFERENCE, build / "int8.safetensors", ROWS, min=0.97, worst=np.float32(0.9), at="worst")

    assert report.verdict.passed
    assert [(one.check.id, one.candidate) for one in report.verdict.results] == [
        ("carry-fidelity", "int8"),
        ("carry-fidelity-worst", "int8"),
    ]
    assert dict(report.verdict.results[0].check.options)["at"] == "worst"


def test_a_candidate_that_drifts_is_told_with_figures(build) -> None:
    with pytest.raises(AssertionError) as told:
        assert_fidelity(REFERENCE, build / "int4.safetensors", ROWS, worst=0.9)
    lines = str(told.value).splitlines()

    assert re.fullmatch(r"carry-fidelity int4: 0\.\d{4} < 0\.97", lines[0])
    assert re.fullmatch(r"carry-fidelity-worst int4: 0\.\d{4} < 0\.9", lines[1])
    assert lines[-1].startswith("BLOCKED (exit 1): 0 of 2 required checks are met")
    assert any("500 probes, H=1 L=2 steps=2" in line for line in lines)


def test_what_cannot_be_compared_is_refused_and_never_asserted(build, tmp_path) -> None:
    with pytest.raises(PolicyError, match="is the reference itself"):
        assert_fidelity(REFERENCE, REFERENCE, ROWS)
    (tmp_path / "copy.safetensors").write_bytes(Path(located(REFERENCE)).read_bytes())
    with pytest.raises(ModelRefused, match="is the reference itself"):
        assert_fidelity(REFERENCE, tmp_path / "copy.safetensors", ROWS)
    with pytest.raises(ModelRefused, match="the file declares H=1 L=2 steps=2"):
        assert_fidelity(REFERENCE, build / "int8.safetensors", ROWS, recursion=Depth(1, 2, 1))
    with pytest.raises(ModelRefused, match="there is no such file") as told:
        assert_fidelity(tmp_path / "gone.safetensors", build / "int8.safetensors", ROWS)
    assert told.value.__cause__ is None


@pytest.mark.parametrize("name", ["min", "worst"])
@pytest.mark.parametrize("bound", [float("nan"), float("inf"), 1.5, True, "much"])
def test_a_bound_that_means_nothing_is_refused(build, name, bound) -> None:
    with pytest.raises(PolicyError, match=f"^assert_fidelity: {name}: "):
        assert_fidelity(REFERENCE, build / "int8.safetensors", ROWS, **{name: bound})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stram": "z_H"}, "stram: carry_fidelity has no option 'stram' (did you mean stream?)"),
        (
            {"at": "never"},
            "at: 'never' is not a value carry_fidelity takes here (must be last, worst or a whole number)",
        ),
        ({"min": None}, "min: nothing is required (a number for min, for worst, or for both)"),
        ({"minimum_probes": 0}, "minimum_probes: must be at least 1, not the number 0"),
        (
            {"recursion": (1, 2, 2)},
            "recursion: is of type tuple, and no Depth (recursion=Depth(h_cycles, l_cycles, steps), ",
        ),
        ({"inputs": np.zeros((2, 3))}, "inputs: is of type ndarray, and no path (numpy.savez writes arrays of probes)"),
        ({"inputs": "sudoku:cont=3"}, "inputs: sudoku has no option 'cont' (did you mean count?)"),
        ({"candidate": "a\x00b"}, "candidate: 'a\\x00b' is not a path that can be shown (rename the file)"),
        ({"candidate": REFERENCE}, "candidate: is the reference itself (name the compressed file; "),
    ],
)
def test_what_is_wrong_with_the_call_is_told_by_the_argument(build, given, said) -> None:
    call = {"reference": REFERENCE, "candidate": build / "int8.safetensors", "inputs": ROWS, **given}
    with pytest.raises(Refused) as told:
        assert_fidelity(**call)
    assert str(told.value).startswith(f"assert_fidelity: {said}")


def test_the_worst_probe_may_be_all_that_is_required_and_few_probes_decide_only_where_that_is_said(
    build, tmp_path
) -> None:
    with np.load(located(ROWS)) as rows:
        np.savez(tmp_path / "few.npz", **{name: rows[name][:20] for name in rows.files})
    call = (REFERENCE, build / "int8.safetensors", tmp_path / "few.npz")
    with pytest.raises(AssertionError, match="20 probes were measured, and the policy wants at least 100"):
        assert_fidelity(*call)
    report = assert_fidelity(*call, min=None, worst=0.9, minimum_probes=20)
    assert [one.check.id for one in report.verdict.results] == ["carry-fidelity-worst"]


def test_a_model_that_does_not_say_how_deep_it_runs_is_asked_for(monkeypatch, tmp_path) -> None:
    from fakes import FakeOpened, some_facts

    import fidelity_gate.models.opening as opening

    def shallow(spec):
        return FakeOpened(some_facts("ref", depth=None), None)

    monkeypatch.setattr(opening, "open_model", shallow)
    with pytest.raises(UsageError, match="does not say how deep"):
        assert_fidelity(tmp_path / "ref.pt", tmp_path / "int8.bin", ROWS)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/int8.safetensors", "int8"),
        ("my model (2).onnx", "my-model-2"),
        ("reference.pt", "candidate"),
        ("é.pt", "candidate"),
    ],
)
def test_candidates_are_called_by_their_files(path, name) -> None:
    assert testing._name(path) == name


# ---------------------------------------------------------------- marker and fixture


def test_the_example_of_the_page_runs_as_it_stands(build, pytester) -> None:
    page = (ROOT / "docs" / "pytest.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    pytester.makepyfile(test_release=example)
    pytester.mkdir("gates").joinpath("release.gate.yaml").write_text(RELEASE)
    (pytester.path / "build").symlink_to(build)
    quiet = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:timeout", "-p", "no:xdist")
    own = () if pytest_sessions.INSTALLED else ("-p", pytest_sessions.PLUGIN)
    result = pytester.runpytest_inprocess(*own, *quiet, "--strict-markers", "--fidelity-gate", "-W", "error")

    result.assert_outcomes(passed=6)
    assert result.ret == 0


MARKED = """
import pytest

@pytest.mark.fidelity_gate({arguments})
def test_marked():
    open("ran", "w").close()
"""


def test_a_marked_test_runs_only_where_the_policy_passes(session, measuring, pytester) -> None:
    pytester.makepyfile(MARKED.format(arguments='policy="release.gate.yaml"'))
    session("--strict-markers").assert_outcomes(passed=1)
    assert (pytester.path / "ran").exists()
    (pytester.path / "ran").unlink()
    measuring.result = data(int4=0.5)
    result = session("--strict-markers")

    result.assert_outcomes(errors=1)
    assert not (pytester.path / "ran").exists()
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_marked*",
            "BLOCKED (exit 1): 3 of 4 required checks are met; carry-fidelity int4: 0.5000 < 0.97",
            "carry-fidelity int4: 0.5000 < 0.9700",
        ]
    )
    session("-m", "not fidelity_gate").assert_outcomes(deselected=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "it takes a policy and reference, candidates, inputs"),
        ("'release.gate.yaml', 'more'", "it takes a policy*"),
        ("'release.gate.yaml', policy='release.gate.yaml'", "it takes a policy*"),
        ("policy='release.gate.yaml', candidate='x'", "it takes a policy*, not candidate"),
        ("policy=5", "fidelity_gate: policy: is of type int, and no path (text, or a pathlib.Path)"),
        ("'release.gate.yaml', candidates='int8=x'", "fidelity_gate: candidates: is of type str, and no mapping *"),
        ("'release.gate.yaml', candidates={'int8': 3}", "fidelity_gate: candidates.int8: is of type int, and no path*"),
        ("'release.gate.yaml', candidates={5: 'x'}", "fidelity_gate: *'5' is not a candidate of this policy*"),
        ("'release.gate.yaml', inputs=[1]", "fidelity_gate: inputs: is of type list, and no path (numpy.savez *"),
        ("policy='gone.gate.yaml'", "fidelity_gate: gone.gate.yaml: there is no such file*"),
        ("'release.gate.yaml', candidates={'int9': 'x'}", "fidelity_gate: *'int9' is not a candidate of this policy*"),
    ],
)
def test_a_mark_that_says_nothing_is_an_error_at_setup(session, measuring, pytester, arguments, said) -> None:
    pytester.makepyfile(MARKED.format(arguments=arguments))
    result = session()

    result.assert_outcomes(errors=1)
    assert not (pytester.path / "ran").exists()
    result.stdout.fnmatch_lines([f"*{said}"])
    result.stdout.no_fnmatch_line("*guarding.py*")  # one line, and nothing of our code


@pytest.mark.parametrize("mark", ["skip", "skipif(True, reason='not here')", "xfail(run=False)"])
def test_a_marked_test_that_is_skipped_measures_nothing(session, measuring, pytester, mark) -> None:
    pytester.makepyfile(
        MARKED.format(arguments="'release.gate.yaml'").replace(
            "def test_marked", f"@pytest.mark.{mark}\ndef test_marked"
        )
    )
    measuring.result = data(int4=0.5)
    result = session()

    assert result.ret == 0
    assert measuring.calls == 0


def test_a_marked_test_is_guarded_before_any_of_its_fixtures_is_set_up(session, measuring, pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.fixture(autouse=True)\ndef first(): open('ran', 'w').close()\n"
        + MARKED.format(arguments="'release.gate.yaml'")
    )
    measuring.result = data(int4=0.5)
    session().assert_outcomes(errors=1)
    assert not (pytester.path / "ran").exists()


def test_paths_of_a_mark_are_against_the_root_and_go_before_options(session, measuring, pytester, monkeypatch) -> None:
    from fidelity_gate import gate

    seen = []

    def look(policy, options, progress):
        seen.append((policy, options))
        return data()

    monkeypatch.setattr(gate, "measure", look)
    (pytester.path / "eval.npz").touch()
    paths = "candidates={'int8': 'b/int8.bin'}, inputs='eval.npz', reference='zoo:trm-addition'"
    pytester.makepyfile(MARKED.format(arguments=f"'release.gate.yaml', {paths}"))
    session("--fg-reference", "other.pt", "--fg-allow-code").assert_outcomes(passed=1)

    ((policy, options),) = seen
    assert policy.candidates[0].path == str(pytester.path / "b" / "int8.bin")
    assert dict(policy.inputs.options)["path"] == str(pytester.path / "eval.npz")
    assert policy.reference.path.endswith("trm-addition.safetensors")
    assert options.allow_code is True


def test_marker_fixture_and_collected_tests_share_one_measurement(session, measuring, pytester) -> None:
    measuring.result, measuring.later = data(int4=0.5), data()
    pytester.makepyfile(
        "def test_one(fidelity_report):\n    assert not fidelity_report('release.gate.yaml').verdict.passed\n"
        "def test_two(fidelity_report):\n    assert fidelity_report('release.gate.yaml').verdict.met == 3\n"
    )
    result = session("--fidelity-gate")

    result.assert_outcomes(passed=7, failed=2, warnings=2)
    assert measuring.calls == 1


def test_the_fixture_raises_what_keeps_a_policy_from_being_measured(session, measuring, pytester) -> None:
    pytester.makepyfile(
        "import pytest\nfrom fidelity_gate.errors import PolicyError\n"
        "def test_one(fidelity_report):\n"
        "    with pytest.raises(PolicyError): fidelity_report('gone.gate.yaml')\n"
        "def test_two(fidelity_report): fidelity_report('release.gate.yaml', candidates='int8=x')\n"
    )
    result = session()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E  *UsageError: candidates: is of type str, and no mapping of names to files*"])
    result.stdout.no_fnmatch_line("*asking.py*")


def test_saved_measurements_are_not_of_models_that_a_test_names(session, measuring, pytester) -> None:
    (pytester.path / "m.json").write_text(json.dumps({}))
    pytester.makepyfile(MARKED.format(arguments="'release.gate.yaml', candidates={'int8': 'x.bin'}"))
    session("--fg-measurements", "m.json").assert_outcomes(passed=1)
    assert measuring.calls == 1
    pytester.makepyfile(MARKED.format(arguments="'release.gate.yaml'"))
    session("--fg-measurements", "m.json").assert_outcomes(errors=1)


def test_the_marker_and_the_fixture_are_shown_to_whoever_asks(session, measuring) -> None:
    session("--markers").stdout.fnmatch_lines(["@pytest.mark.fidelity_gate(policy, *"])
    session("--fixtures").stdout.fnmatch_lines(
        ["fidelity_report [[]session scope[]] -- *", "*Measure and judge a policy *"]
    )
