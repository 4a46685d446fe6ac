"""`policy show` and `policy explain`: a flat policy that asks for the same, and what a check means."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_gate import cli
from fidelity_gate.policy.explaining import in_all_units
from fidelity_gate.policy.loading import examine
from fidelity_gate.policy.showing import shown
from fidelity_gate.records import Place
from fidelity_gate.verbs.policy import policy

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "cases" / "policy" / "pass"
SHIPPED = [*sorted((ROOT / "policies").glob("*.yaml")), *sorted((ROOT / "policies").rglob("teams/*.yaml"))]
HEAD = "apiVersion: fidelity-gate/v1\n"
DEPTH = "recursion: {h_cycles: 1, l_cycles: 1, steps: 2}\n"
FIDELITY = "  f: {metric: carry_fidelity, aggregate: mean, require: {min: 0.9}}\n"


def run(*args: str | Path) -> str:
    result = CliRunner().invoke(policy, [str(arg) for arg in args], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def unplaced(value: Any) -> Any:
    """Return a record without its places, its name of the file and its digest."""
    if isinstance(value, tuple):
        return tuple(map(unplaced, value))
    if not is_dataclass(value):
        return value
    kept = [item.name for item in fields(value) if item.name != "digest"]
    found = {name: unplaced(getattr(value, name)) for name in kept}
    return {name: one for name, one in found.items() if not isinstance(getattr(value, name), Place)}


def flat_of(path: Path, data: bytes) -> tuple[Any, Any]:
    found = examine(data, str(path))
    assert [str(problem) for problem in found.problems] == []
    assert found.side is not None
    assert found.chain is not None
    again = examine(shown(found.side, found.chain).encode(), str(path))
    assert [str(problem) for problem in again.problems] == []
    return unplaced(found.policy), unplaced(again.policy)


# ---------------------------------------------------------------- show


@pytest.mark.parametrize("file", [*sorted(CASES.glob("*.yaml")), *SHIPPED], ids=lambda file: file.stem)
def test_what_is_shown_is_a_policy_that_asks_for_the_same(file: Path) -> None:
    resolved, flat = flat_of(file, file.read_bytes())
    assert resolved == flat


VALUES = {
    "minimum_probes": "minimum_probes: 50\n",
    "noise_floor": "noise_floor: {limit: 0.5, perturbation: 1e-5}\n",
    "run": "run: {seed: 3}\n",
    "targets": "targets: [soc-8mb, {name: board, sram: 512 KiB}]\n",
    "reference": "reference: {path: ref.pt, model: {heads: 4, name: \"8 # no: 'comment'\"}}\n",
    "inputs": "inputs: {use: npz, path: 'e v.npz', ignore_label: 0}\n",
    "candidates": "candidates: {'1': a, b: {path: b, recursion: {steps: 1}}}\n",
    "lint": "lint: {ignore: [FG203], options: {FG505: {share: 0.2}}}\n",
    "energy_models": "energy_models: {npu: {mj_per_gflop: 0.4, source: \"a 'quoted' \\\\ source: 7\"}}\n",
}
SRAM = "  s: {metric: sram_peak, require: {max: target.sram}}\n"
PARTS = st.sets(st.sampled_from(sorted(VALUES)))


@settings(max_examples=25, deadline=None)
@given(
    low=PARTS, high=PARTS, bound=st.integers(-999_999, 999_999).map(lambda parts: parts / 1e6), between=st.booleans()
)
def test_a_policy_with_bases_asks_for_what_the_same_policy_written_flat_does(
    tmp_path_factory: pytest.TempPathFactory, low: set[str], high: set[str], bound: float, between: bool
) -> None:
    folder = tmp_path_factory.mktemp("flat")
    sram = SRAM if "targets" in low | high else ""
    base = f"{HEAD}name: b\n{DEPTH}{''.join(VALUES[key] for key in sorted(low))}checks:\n{FIDELITY}{sram}"
    (folder / "base.yaml").write_text(base)
    (folder / "team.yaml").write_text(f"{HEAD}name: t\nextends: base.yaml\nminimum_probes: 70\n")
    child = f"{HEAD}name: c\nextends: {'team' if between else 'base'}.yaml\n"
    child += f"{''.join(VALUES[key] for key in sorted(high))}checks:\n  f: {{require: {{min: {bound!r}}}}}\n"
    resolved, flat = flat_of(folder / "child.yaml", child.encode())
    assert resolved == flat


def test_every_value_is_shown_with_its_file_and_line_or_as_a_default(tmp_path: Path) -> None:
    base, child = tmp_path / "base.yaml", tmp_path / "child.yaml"
    base.write_text(f"{HEAD}name: b\n{DEPTH}checks:\n{FIDELITY}{SRAM}")
    child.write_text(
        f"{HEAD}name: c\nextends: base.yaml\ntargets: [soc-8mb]\nchecks:\n  f: {{require: {{min: 0.95}}}}\n"
    )
    output = run("show", child)
    assert re.search(rf"^      min: 0\.95 +# {child}:6:22$", output, re.MULTILINE)
    assert re.search(rf"^    aggregate: mean +# {base}:5:\d+$", output, re.MULTILINE)
    assert re.search(r"^  limit: 0\.99 +# default$", output, re.MULTILINE)
    assert re.search(r"^      tokens: mean +# default$", output, re.MULTILINE)
    assert re.search(r"# .*child.yaml:4:11; ships with fidelity-gate: sram 8 MiB", output)
    assert re.search(r"max: target\.sram +# .*base.yaml:6:\d+; 8 MiB \(8\.389 MB\) for soc-8mb$", output, re.MULTILINE)
    assert output.count("sha256") == 3
    assert "# inputs: from the command line" in output


def test_json_holds_the_origin_of_every_value_and_the_digest_of_every_file(tmp_path: Path) -> None:
    base, child = tmp_path / "base.yaml", tmp_path / "child.yaml"
    base.write_text(f"{HEAD}name: b\n{DEPTH}checks:\n{FIDELITY}")
    child.write_text(f"{HEAD}name: c\nextends: base.yaml\n")
    found = json.loads(run("show", "--json", child))
    assert found["origins"]["checks.f.require.min"] == f"{base}:5:63"
    assert found["origins"]["run.seed"] == "default"
    assert [Path(one["name"]).name for one in found["files"]] == ["base.yaml", "child.yaml"]
    assert len({found["digest"], *(one["sha256"] for one in found["files"])}) == 3


def test_what_a_base_leaves_open_is_no_value_of_it(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(
        "apiVersion: fidelity-gate/v1\nname: house\nbase: true\nminimum_probes: 200\n"
        "checks: {fits: {metric: sram_peak, require: {max: target.sram}}}\n"
    )
    text = run("show", base)
    assert "base: true" in text
    assert re.search(rf"^minimum_probes: 200 +# {re.escape(str(base))}:4:17$", text, re.MULTILINE)
    for key in ("reference", "candidates", "inputs", "recursion", "targets"):
        assert f"# {key}: from what extends it\n" in text
    for stand_in in ("1000", "any-target", "any-check"):
        assert stand_in not in text
    again = tmp_path / "again.yaml"
    again.write_text(text)
    assert "0 errors" in run("lint", again)


def test_json_and_table_exclude_each_other() -> None:
    assert cli.answer(["policy", "show", str(CASES / "minimal.yaml"), "--json", "--table"]) == 2


def test_paths_of_a_base_elsewhere_are_shown_as_the_policy_reaches_them(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "team").mkdir()
    base = f"{HEAD}name: b\n{DEPTH}reference: ref.pt\ninputs: {{use: npz, path: e.npz}}\ncandidates: {{a: a.pt}}\n"
    base += f"checks:\n{FIDELITY}"
    (tmp_path / "shared" / "base.yaml").write_text(base)
    child = tmp_path / "team" / "child.yaml"
    child.write_text(f"{HEAD}name: c\nextends: ../shared/base.yaml\n")
    output = run("show", child)
    assert 'reference: "../shared/ref.pt"' in output
    assert 'a: "../shared/a.pt"' in output
    assert 'path: "../shared/e.npz"' in output


# ---------------------------------------------------------------- explain


def test_a_check_is_explained_with_what_it_measures_requires_and_where_that_is_from() -> None:
    output = run("explain", ROOT / "policies" / "base-recursive.yaml", "same-answers")
    for said in (
        "answer_agreement: Share of decoded cells",
        "both models running on their own carry",
        "higher is better, from 0 % to 100 %",
        "the mean over the probes: >= 95 % = 0.95",
        "with 100 probes it moves in steps of 1 %: one probe",
        "up to 5 of 100 probes may be wrong",
        "error: a miss blocks (exit 1)",
        "options.at last: default",
        "docs/metrics/answer_agreement.md",
    ):
        assert said in " ".join(output.split())
    assert re.search(r"require\.min 95 %: \S*base-recursive\.yaml:\d+:\d+", output)


def test_another_number_of_probes_can_be_asked_about() -> None:
    output = run("explain", ROOT / "policies" / "base-recursive.yaml", "same-answers", "--probes", "1000")
    assert "up to 50 of 1000 probes may be wrong" in output


@pytest.mark.parametrize("file", [*sorted(CASES.glob("*.yaml")), *SHIPPED], ids=lambda file: file.stem)
def test_every_check_of_every_policy_can_be_explained(file: Path) -> None:
    output = run("explain", file)
    assert "measures" in output
    assert max(map(len, output.splitlines())) <= max(100, len(str(file)) + 60)


def test_a_page_is_named_that_there_is() -> None:
    for name in re.findall(r"docs/metrics/\w+\.md", run("explain", CASES / "everything.yaml")):
        assert (ROOT / name).is_file()


def test_a_check_that_is_not_there_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.answer(["policy", "explain", str(ROOT / "policies" / "base-recursive.yaml"), "carry-fidelty"]) == 2
    assert "did you mean carry-fidelity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "unit", "texts"),
    [
        (8 * 2**20, "bytes", ["8 MiB", "8192 KiB", "8.388608 MB"]),
        (0.03, "seconds", ["30 ms", "30000 us", "0.03 s"]),
        (0.95, "fraction", ["95 %", "0.95"]),
        (0.97, "", ["0.97"]),
        (0.5, "joules", ["500 mJ", "0.5 J"]),
    ],
)
def test_a_threshold_is_told_in_every_unit(value: float, unit: str, texts: list[str]) -> None:
    said = in_all_units(value, unit).split(" = ")
    assert set(texts) <= set(said)
    assert len(said) == len(set(said))
