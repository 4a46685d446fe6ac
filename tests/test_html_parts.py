"""Parts of the page that answer what a reader asks first: who is kept back, what to do, who answers for a waiver."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from lxml import html as lxml_html
from made import DEPTH, FIDELITY, facts, measured, measurement, policy, sram
from pages import CREATED, curve, every_outcome, exhibit, looked, rich, stopped
from test_waiver_judging import DAY, MISSED, OTHER, RULES, WAIVER, waiving

from fidelity_gate.judge import judge
from fidelity_gate.records import (
    CurvePoint,
    DeviceJob,
    DeviceSteps,
    Direction,
    Measurement,
    MeasureStatus,
    ModelRecord,
    NoiseFloor,
    Outcome,
    Report,
    Severity,
    StepsWanted,
)
from fidelity_gate.reports.html.checks import checks
from fidelity_gate.reports.html.curves import curve_sets
from fidelity_gate.reports.html.figures import indexed
from fidelity_gate.reports.html.next_steps import next_steps
from fidelity_gate.reports.html.overview import overview, standing
from fidelity_gate.reports.html.page import Html
from fidelity_gate.reports.html.puzzles import Puzzle, gallery
from fidelity_gate.reports.html.spreads import spread_sets
from fidelity_gate.reports.html.waivers import waivers

TWO = ("int8", "int4")


def page(report: Report) -> str:
    return Html().render(report)


def said(report: Report) -> str:
    return " ".join("".join(looked(page(report)).text).split())


def two(first: float, second: float) -> Report:
    """Return a report of two candidates with these fidelities."""
    made = policy(FIDELITY, candidates=TWO)
    data = measured(
        *(measurement((f, f), candidate=n) for n, f in zip(TWO, (first, second), strict=True)), candidates=TWO
    )
    return Report(judge(made, data), made, data, CREATED)


# ---------------------------------------------------------------- who is kept back


@pytest.mark.parametrize(
    ("fidelities", "words"),
    [
        ((0.99, 0.5), "Kept back: int4 (1 check). Nothing keeps back int8."),
        ((0.5, 0.5), "Kept back: int8 (1 check) and int4 (1 check)."),
        ((0.99, 0.99), ""),
    ],
)
def test_the_top_says_which_candidates_are_kept_back_and_which_are_not(fidelities, words):
    report = two(*fidelities)
    assert standing(checks(indexed(report), {})) == words
    root = lxml_html.fromstring(page(report))
    assert [one.text_content() for one in root.xpath('//header//*[@class="standing"]')] == ([words] if words else [])


def test_a_candidate_of_which_nothing_was_decided_is_not_said_to_have_failed():
    gone = replace(measurement(), status=MeasureStatus.NOT_MEASURED, values=(), reason="stopped")
    made = policy(FIDELITY, candidates=TWO)
    data = measured(gone, measurement((0.5, 0.5), candidate="int4"), candidates=TWO)
    report = Report(judge(made, data), made, data, CREATED)
    assert standing(checks(indexed(report), {})) == "Kept back: int4 (1 check) and int8 (1 check not decided)."
    root = lxml_html.fromstring(page(report))
    assert [one.text_content() for one in root.xpath('//section[@id="candidates"]//*[contains(@class, "tag")]')] == [
        "blocked",
        "not decided",
    ]


def test_of_very_many_candidates_the_first_are_named():
    report = rich(tuple(f"candidate-{k}" for k in range(9)))
    assert re.search(
        r"Kept back: (candidate-\d \(\d checks?\)(, )?){4} and \d more", standing(checks(indexed(report), {}))
    )


def test_a_run_that_was_stopped_claims_nothing_of_any_candidate():
    assert "Kept back" not in said(stopped())
    assert "Kept back" not in said(replace(two(0.99, 0.5), error="it broke", error_kind=Outcome.INTERNAL))


def test_a_candidate_of_one_step_has_a_dot_for_a_curve():
    data = measured(measurement((0.98, 0.99), curve=(CurvePoint(1, 0.985, 0.98, 0.98),)))
    index = indexed(Report(judge(policy(), data), policy(), data, CREATED))
    (line,) = overview(index, checks(index, {}))
    assert line.dot is not None
    assert 2 <= line.dot <= 22
    assert '<circle cx="50"' in page(index.report)


def test_a_recipe_is_told_without_the_options_that_say_nothing():
    data = measured(measurement())
    recipe = "onnx-static-int8,exclude=,a=1,b=2,c=3,d=4,e=5"
    one = replace(data.candidates[0], facts=replace(facts("int8"), recipe=recipe))
    index = indexed(Report(judge(policy(), data), policy(), replace(data, candidates=(one,)), CREATED))
    assert overview(index, checks(index, {}))[0].recipe == "onnx-static-int8, a=1, b=2, c=3, d=4, 1 more options"


# ---------------------------------------------------------------- what next


def test_what_keeps_a_release_back_comes_with_what_to_do():
    report = rich()
    steps = next_steps(report, {("int4-late", 6): "p0-6"})
    told = [step.text for step in steps]
    assert told[0] == "int8 has 1 known mistake in its file. FG201: Use int8."
    assert any(step.link == "#p0-6" and "int4-late is worst on probe 6" in step.text for step in steps)
    assert any(text.startswith("3 required checks not measured. First, halting int8: ") for text in told)
    assert steps[-1].command == "fidelity-gate policy explain release.gate.yaml carry-fidelity"
    assert len(steps) <= 7


def test_every_link_of_what_next_leads_to_a_part_of_the_page():
    for report in (rich(), two(0.99, 0.5), two(0.99, 0.99), every_outcome(), stopped()):
        look = looked(page(report))
        assert {link[1:] for link in look.links if link.startswith("#")} <= look.ids


def test_candidates_that_nothing_keeps_back_can_go_by_themselves():
    assert any("Nothing keeps back int8: a run without" in step.text for step in next_steps(two(0.99, 0.5), {}))
    assert not any("a run without" in step.text for step in next_steps(two(0.5, 0.5), {}))


def test_a_waiver_is_offered_only_where_the_policy_bears_it():
    data = measured(measurement((0.5, 0.5)))
    for rules, offered in ((None, False), (RULES, True), (replace(RULES, never=("carry-fidelity",)), False)):
        made = policy(FIDELITY, waiver_rules=rules)
        steps = next_steps(Report(judge(made, data), made, data, CREATED), {})
        assert any("fidelity-gate waive verdict.json" in step.command for step in steps) is offered


def test_a_release_that_may_go_says_how_it_is_attested_and_never_how_it_is_waived():
    steps = next_steps(two(0.99, 0.99), {})
    assert [step.command.split(" ")[:2] for step in steps if step.command] == [["fidelity-gate", "attest"]]


@pytest.mark.parametrize("kind", [Outcome.REFUSED, Outcome.NOT_MEASURED, Outcome.FAIL, Outcome.INTERNAL, None])
def test_a_run_that_was_stopped_has_one_thing_to_do(kind):
    report = replace(stopped(), error_kind=kind)
    (step,) = next_steps(report, {})
    assert ("fault of the tool" in step.text) is (kind in (Outcome.INTERNAL, None))


# ---------------------------------------------------------------- who answers for a waiver


def waived(**fields: str) -> Report:
    made = waiving(replace(WAIVER, **fields))
    return Report(judge(made, MISSED, day=DAY), made, MISSED, f"{DAY}T01:02:03+00:00")


def test_a_waiver_says_who_until_when_how_far_and_for_which_file():
    (one,) = waivers(waived()).shown
    assert (one.owner, one.ticket, one.until, one.since) == ("ada", "ML-1", "2026-01-31", "2026-01-01")
    assert (one.missed, one.floor, one.left) == ("0.9400 < 0.97", "≥ 0.9", "16 days left")
    assert (one.mark.word, one.reason, one.digest) == ("in use", "a retry hides it", "digest of int8")
    text = said(waived())
    assert "2026-01-3116 days left; made 2026-01-01" in text
    assert "Waived1" in text
    assert "Passedexit code 01 waived" in text
    assert "What is waived has to be mended before its waiver expires." in text


def test_only_a_ticket_that_is_a_plain_https_address_is_a_link():
    for ticket, linked in (("https://jira.example/ML-1", True), ("javascript:alert(1)", False), ("http://a.b", False)):
        assert bool(waivers(waived(ticket=ticket)).shown[0].link) is linked
        assert (f'href="{ticket}"' in page(waived(ticket=ticket))) is linked


def test_a_waiver_that_is_not_needed_or_not_judged_says_so():
    made = waiving(WAIVER)
    data = measured(measurement((0.98, 0.99)), sram(99.0))
    report = Report(judge(made, data, day=DAY), made, data, DAY)
    assert waivers(report).shown[0].mark.word == "not needed: the check is met"
    assert "met; the waiver w1 is not needed" in said(report)
    refused = replace(stopped(), policy=made, created="")
    (one,) = waivers(refused).shown
    assert (one.mark.word, one.left, one.missed) == ("not judged", "", "")
    assert waivers(replace(refused, created="2026-02-02")).shown[0].left == "expired 2 days before this report"


def test_without_waivers_nothing_is_said_of_them():
    assert 'id="waivers"' not in page(two(0.99, 0.99))
    assert OTHER.severity is Severity.ERROR


# ---------------------------------------------------------------- what a device computed


def on_devices() -> Report:
    """Return a report of one candidate whose steps two devices made, one of them simulated."""
    found = [
        measurement(
            (0.98, 0.99),
            metric="device_step_fidelity",
            options=(("device", name), ("probes", 16)),
            curve=curve(lost),
            curve_here=curve(0.001),
        )
        for name, lost in (("s24", 0.002), ("rb3", 0.003))
    ]
    named = [
        replace(FIDELITY, id=f"steps-{one.options[0][1]}", metric=one.metric, options=one.options) for one in found
    ]
    job = DeviceJob("j7", "https://hub.example/j7", "Galaxy S24", "14", "onnx", "npu", "ab" * 32, CREATED, True)
    steps = (
        DeviceSteps(
            StepsWanted("s24", probes=16), "qai-hub", (("processor", "Hexagon"),), (0, 1), (1, 2), 4, 1, (job,)
        ),
        DeviceSteps(StepsWanted("rb3"), gap="the device is gone"),
    )
    record = ModelRecord("int8", facts("int8"), DEPTH, device_steps=steps)
    data = replace(measured(*found, noise_floor=NoiseFloor(1e-6, 0.99, (1.0, 1.0))), candidates=(record,))
    made = policy(*named)
    return Report(judge(made, data), made, data, CREATED)


def test_every_device_has_a_panel_and_a_row_of_its_own_that_names_it():
    index = indexed(on_devices())
    (found,) = curve_sets(index, ("int8",))
    assert sorted(panel.device for panel in found.panels) == ["rb3", "s24 (simulated)"]
    (spread,) = spread_sets(index, ("int8",))
    assert sorted(row.device for row in spread.rows) == ["rb3", "s24 (simulated)"]
    assert "on s24 (simulated)" in said(index.report)


def test_the_curve_of_this_machine_stands_beside_the_devices():
    (found,) = curve_sets(indexed(on_devices()), ("int8",))
    assert found.here
    assert found.columns == ("mean", "p05", "worst", "here")
    for panel in found.panels:
        (here,) = [line for line in panel.lines if line.kind == "here"]
        assert here.label == "here 0.9940"
        assert panel.rows[-1].cells[-1] == "0.9940"
        assert "here 0.9940" in panel.described
    assert "here: the same file on this machine" in said(on_devices())
    assert "here: the same file" not in said(rich())


def test_a_device_that_made_steps_says_what_ran_where_in_which_job():
    text = said(on_devices())
    assert "Steps of int8 on s24 simulated: no device ran this" in text
    assert "4 runs of the graph: 2 steps of 2 probes, each from the reference's own carry; asked once" in text
    assert "Steps of int8 on rb3" in text
    assert "Nothing was computed: the device is gone" in text
    assert "https://hub.example/j7" in looked(page(on_devices())).links


# ---------------------------------------------------------------- names and pictures of any shape


def test_a_name_read_from_right_to_left_turns_nothing_around_that_stands_beside_it():
    name = "\u05de\u05d5\u05e2\u05de\u05d3 \u05e9\u05e0\u05d9"
    made = policy(candidates=(name,))
    data = measured(measurement((0.5, 0.5), candidate=name), candidates=(name,))
    found = page(Report(judge(made, data), made, data, CREATED))
    assert f"carry-fidelity {name}&lrm;: 0.5000 &lt; 0.97" in found
    assert looked(found).faults == []
    assert "&lrm;" not in page(two(0.9, 0.9))


def test_a_mark_for_reading_order_lets_no_markup_through():
    name = "\u05d0<b>\u05d1&\"'"
    look = looked(page(replace(stopped(), error=name)))
    assert "b" not in {tag for tag, _ in look.seen}
    assert "\u05d0\u200e<b>\u05d1\u200e&\"'" in "".join(look.text)


def drawn(grid: tuple[int, int], **fields: object) -> Puzzle:
    """Return the picture of one probe of this shape, in which the answers are read in opposite directions."""
    tokens = tuple(2 + k % 7 for k in range(grid[0] * grid[1]))
    made = exhibit("int8", 1, grid=grid, inputs=tokens, reference=tokens, answer=tokens[::-1], labels=(), **fields)
    ((puzzle,),) = (wall.puzzles for wall in gallery(replace(measured(), exhibits=(made,)), ("int8",)).walls)
    return puzzle


def test_a_probe_that_is_one_long_row_is_shown_in_lines():
    puzzle = drawn((1, 50), symbols=())
    shown = puzzle.pictures[2]
    assert puzzle.size == "long"
    assert shown.height == 3 * 20
    assert len(shown.letters) == 50
    assert max(letter.x for letter in shown.letters) < shown.width
    assert "row 1 column 26: 5 instead of 6" in puzzle.pictures[2].described
    assert "M200 0v60" in shown.lines  # ten cells in the last line
    assert "M220 0v40" in shown.lines


@pytest.mark.parametrize(
    ("grid", "size"), [((4, 4), "small"), ((9, 9), "medium"), ((30, 30), "large"), ((2, 20), "long"), ((1, 5), "small")]
)
def test_the_size_of_a_picture_follows_from_its_shape(grid, size):
    assert drawn(grid).size == size


def test_lint_says_why_rules_could_not_look():
    assert "Why rules could not look at int8FG301no graph" in "".join(looked(page(rich())).text).replace("\n", "")


def test_what_a_device_computed_is_not_folded_away():
    report = on_devices()
    found = replace(report.measured, measurements=(*report.measured.measurements, measurement(), norm_measured()))
    root = lxml_html.fromstring(page(replace(report, measured=found)))
    titles = [one.text_content() for one in root.xpath('//section[@id="steps"]/h3')]
    assert [title.partition(" over")[0] for title in titles] == [
        "Carry fidelity",
        "Fidelity of single steps on a device probes 16",
    ]
    (folded,) = root.xpath('//section[@id="steps"]/details')
    assert [one.text_content() for one in folded.xpath("./h3")] == ["Carry norm over the steps"]
    assert "More figures over the steps (1)" in folded.text_content()


def norm_measured() -> Measurement:
    return measurement(metric="carry_norm_ratio", direction=Direction.BOTH)
