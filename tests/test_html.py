"""The HTML report: whole, self-contained, escaped, bounded, readable by everybody, and never against the verdict."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html
from made import FIDELITY, facts, measured, measurement, policy
from pages import CREATED, NAMES, PROBES, every_outcome, exhibit, looked, record, rich, stopped, streaming

from fidelity_gate.judge import judge
from fidelity_gate.records import (
    Against,
    Bound,
    Compared,
    CurvePoint,
    DeviceJob,
    DeviceRun,
    DeviceSteps,
    Direction,
    Outcome,
    PastPoint,
    Place,
    Report,
    Severity,
    Standing,
    StepsWanted,
    Waiver,
)
from fidelity_gate.reports.html.curves import curve_sets
from fidelity_gate.reports.html.environment import style
from fidelity_gate.reports.html.figures import indexed, told
from fidelity_gate.reports.html.margins import HALF, bar_of, place_of
from fidelity_gate.reports.html.memory import charts
from fidelity_gate.reports.html.page import Html
from fidelity_gate.reports.html.puzzles import MOST_CELLS, gallery
from fidelity_gate.reports.html.scales import even_scale, nines, nines_scale
from fidelity_gate.reports.html.trends import trends


def with_runs(values: tuple[float, ...], now: float = 0.036) -> Report:
    """Return a report whose first check was held against these runs, of which every fourth from the third regressed."""
    series = tuple(
        PastPoint(f"2026-07-{day + 1:02}T00:00:00+00:00", value, f"r{day}", day % 4 == 2)
        for day, value in enumerate(values)
    )
    limit = Bound(maximum=0.033)
    compared = Compared(Against.HISTORY, limit, limit=limit, old=0.030, runs=4, standing=Standing.NEW, series=series)
    report = rich()
    first, *others = report.verdict.results
    held = replace(first, observed=now, unit="seconds", outcome=Outcome.FAIL, compared=compared)
    return replace(report, verdict=replace(report.verdict, results=(held, *others)))


REPORTS = {
    "rich": rich,
    "one candidate": lambda: rich(("int8",)),
    "twenty candidates": lambda: rich(tuple(f"c{k}" for k in range(20))),
    "every outcome": every_outcome,
    "refused": stopped,
    "broken": lambda: stopped(4, Outcome.INTERNAL),
    "streaming": streaming,
    "nothing but a verdict": lambda: replace(rich(), measured=None),
    "no policy": lambda: replace(rich(), policy=None),
    "runs before": lambda: with_runs((0.030, 0.031, 0.040, 0.030)),
}
HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</title></style><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\x00\x1b[31m\x07\r\n\t",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "\ud800 lone",
    "\ufffe\uffff",
    "::error::x ##[error]x",
    "x" * 100_000,
    "&lt;b&gt;&amp;",
    "<!-- --><![CDATA[ ]]>",
)


def page(report: Report) -> str:
    return Html().render(report)


@functools.cache
def known_page(name: str) -> str:
    """Return the page of one of the reports above, made once."""
    return page(REPORTS[name]())


def text_of(found: str) -> str:
    return words_of(lxml_html.fromstring(found).find("body"))


def words_of(element) -> str:
    return " ".join(" ".join(element.itertext()).split())


# ---------------------------------------------------------------- one page, whole


@pytest.mark.parametrize("name", REPORTS)
def test_every_page_is_well_formed_and_needs_nothing_but_itself(name):
    found = known_page(name)
    look = looked(found)
    assert look.faults == []
    tags = {tag for tag, _ in look.seen}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "foreignobject"}
    assert not [key for _, attrs in look.seen for key in attrs if key.startswith("on") or key in ("style", "src")]
    assert all(link.startswith(("#", "https://")) for link in look.links)
    assert {link[1:] for link in look.links if link.startswith("#")} <= look.ids
    assert "@import" not in style()
    assert "url(" not in style()
    assert found.startswith("<!DOCTYPE html>\n")
    found.encode("utf-8")


@pytest.mark.parametrize("name", REPORTS)
def test_every_page_has_a_language_landmarks_and_headings_in_order(name):
    look = looked(known_page(name))
    tags = [tag for tag, _ in look.seen]
    assert dict(look.seen)["html"] == {"lang": "en"}
    assert [tags.count(tag) for tag in ("main", "header", "nav", "footer", "h1", "title")][:5] == [1, 1, 1, 1, 1]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    sections = [attrs for tag, attrs in look.seen if tag == "section"]
    assert sections
    assert all(attrs["aria-labelledby"] in look.ids for attrs in sections)


@pytest.mark.parametrize("name", REPORTS)
def test_every_picture_says_in_words_what_it_shows_and_every_table_has_headers(name):
    root = lxml_html.fromstring(known_page(name))
    for picture in root.iter("svg"):
        if picture.get("aria-hidden") == "true":
            continue
        assert picture.get("role") == "img"
        assert picture[0].tag == "title"
        assert picture[0].text.strip()
    for table in root.iter("table"):
        heads = table.findall("thead/tr/th")
        assert heads
        assert all(head.get("scope") == "col" for head in heads)
        for row in table.findall("tbody/tr"):
            assert row.find("th") is not None or row.get("class", "").startswith("said")
            assert all(head.get("scope") == "row" for head in row.findall("th"))


def test_the_policy_of_the_page_lets_only_its_own_style_in():
    found = page(rich())
    (content,) = re.findall(r"<style>(.*?)</style>", found, re.DOTALL)
    (allowed,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', found)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    assert allowed == (
        f"default-src 'none'; style-src 'sha256-{digest.replace('+', '&#43;')}'; base-uri 'none'; form-action 'none'"
    ).replace("&#43;", "+")


def test_equal_reports_give_equal_bytes():
    assert page(rich()) == page(rich())


# ---------------------------------------------------------------- what it says


def test_the_verdict_and_its_reason_stand_at_the_top():
    report = rich()
    root = lxml_html.fromstring(page(report))
    header = words_of(root.find("body/header"))
    assert header.startswith("fidelity-gate · release report sudoku-release Blocked exit code ")
    assert report.verdict.reason in header
    assert root.findtext("head/title") == "Blocked: sudoku-release - fidelity-gate"


def test_a_verdict_that_contradicts_itself_is_never_shown_as_passing():
    fine = Report(judge(policy(), measured()), policy(), measured(), CREATED)
    assert "Passed" in text_of(page(fine))
    for wrong in (
        replace(fine, verdict=replace(fine.verdict, exit_code=3)),
        replace(fine, verdict=replace(fine.verdict, passed=False)),
        replace(fine, error="broke"),
        replace(fine, error_kind=Outcome.INTERNAL),
    ):
        assert re.search(r"Blocked exit code \d", text_of(page(wrong)))
        assert "Passed" not in text_of(page(wrong))


@pytest.mark.parametrize(("code", "kind"), [(2, Outcome.REFUSED), (3, Outcome.NOT_MEASURED), (4, Outcome.INTERNAL)])
def test_a_run_that_was_stopped_says_why_and_what_its_exit_code_means(code, kind):
    said = text_of(page(stopped(code, kind)))
    assert f"Blocked exit code {code} ref.pt: is a folder" in said
    assert f"Exit code {code}:" in said


def test_checks_stand_by_candidate_and_what_blocks_stands_first():
    root = lxml_html.fromstring(page(rich()))
    groups = root.xpath('//details[contains(@class,"group")]')
    names = [group.findtext("summary/h3") for group in groups]
    assert sorted(names) == sorted(NAMES)
    outcomes = [
        [words_of(row[0]) for row in group.xpath('.//table[1]/tbody/tr[not(@class="said")]')] for group in groups
    ]
    order = ["fail", "not measured", "inconclusive", "warning", "waived", "pass"]
    for group in outcomes:
        marks = [order.index(mark) for mark in group if mark in order]
        assert marks == sorted(marks)
    assert "off" not in {mark for group in outcomes for mark in group}
    assert names[0] == "int4-late"  # it misses most


def test_every_outcome_has_a_word_a_sign_and_a_colour_of_its_own():
    root = lxml_html.fromstring(page(every_outcome()))
    tags = root.xpath('//table[contains(@class,"checks")]/tbody/tr/td[@data-label="Outcome"]/span')
    words = [words_of(tag) for tag in tags]
    signs = [tag.xpath(".//*[local-name()='use']")[0].get("href") for tag in tags]
    assert sorted(words) == sorted(
        ["internal error", "refused", "fail", "not measured", "inconclusive", "warning", "waived", "pass"]
    )
    assert len(set(signs)) == 7  # a fail and an internal error share one
    assert all(sign[1:] in looked(page(every_outcome())).ids for sign in signs)


def test_figures_never_stand_on_the_wrong_side_of_their_bound():
    for value in (0.97 - 1e-9, 0.97 - 1e-16, 0.96999, 0.97, 0.97 + 1e-12):
        data = measured(measurement((value, value), curve=(CurvePoint(1, value, value, value),)))
        report = Report(judge(policy(), data), policy(), data, CREATED)
        root = lxml_html.fromstring(page(report))
        shown = [float(cell.text_content()) for cell in root.xpath('//td[@data-label="Observed"]')]
        shown += [float(cell.text_content()) for cell in root.xpath('//td[@data-label="mean"]')]
        shown += [float(cell.text_content()) for cell in root.xpath('//td[@data-label="At the last step"]')]
        shown += [float(t.text_content().split()[1]) for t in root.xpath('//*[@class="end mean"]')]
        assert len(shown) == 4
        assert all((figure < 0.97) == (value < 0.97) for figure in shown)


def test_a_cosine_that_is_not_quite_one_is_never_shown_as_one():
    assert told(0.99995, "", cosine=True) == "0.99995"
    assert told(1 - 1e-12, "", (Bound(minimum=0.97),), cosine=True) == "> 0.9999999"
    assert told(1 - 2**-53, "", cosine=True) == "> 0.9999999"
    assert told(0.99999985, "", cosine=True) == "0.9999998"
    assert told(1.0, "", cosine=True) == "1"
    assert told(0.97251, "", cosine=True) == "0.9725"


def test_the_worst_probe_of_a_check_leads_to_its_picture():
    root = lxml_html.fromstring(page(rich()))
    targets = {figure.get("id"): words_of(figure) for figure in root.iter("figure")}
    links = root.xpath('//td[@data-label="Worst probe"]/a')
    assert links
    for link in links:
        assert f"Probe {link.text_content()[1:]} " in targets[link.get("href")[1:]]


def test_puzzles_show_input_reference_and_candidate_with_the_different_cells_marked():
    root = lxml_html.fromstring(page(rich(("int4",))))
    (figure, _) = root.xpath('//figure[contains(@class,"puzzle")]')
    assert "2 of 16 cells differ; reference right, candidate 2 cells wrong" in words_of(figure)
    pictures = figure.xpath(".//*[local-name()='svg']")
    marked = [
        [text.text for text in picture.xpath(".//*[local-name()='text'][@class='wrong']")] for picture in pictures
    ]
    assert marked == [[], [], ["1", "1"]]
    words = pictures[2].xpath("./*[local-name()='desc']")[0].text
    assert words.endswith("Different: row 2 column 4: 1 instead of 4; row 4 column 3: 1 instead of 4")
    assert [picture.xpath("./*[local-name()='title']")[0].text for picture in pictures] == [
        f"{title} of probe 6, int4" for title in ("Input", "Reference", "Candidate")
    ]


def test_exhibits_that_make_no_picture_are_left_out():
    good = exhibit("int8")
    wrong = (
        replace(good, grid=(3, 3)),
        replace(good, grid=(-4, -4)),
        replace(good, reference=()),
        replace(good, answer=good.answer[:3]),
        replace(good, start=9),
        replace(good, start=-1),
        replace(good, probe=-1),
        replace(good, candidate="nobody"),
    )
    shown = gallery(replace(measured(), exhibits=(*wrong, good)), ("int8",))
    assert [len(wall.puzzles) for wall in shown.walls] == [1]


def test_a_probe_that_all_agree_on_is_shown_once():
    same = exhibit("int8", answer=exhibit("int8").reference)
    shown = gallery(replace(measured(), exhibits=(same, replace(same, probe=4))), ("int8",))
    assert [puzzle.verdict for puzzle in shown.walls[0].puzzles] == [
        "the same answer; reference right, candidate right"
    ]


def test_pictures_of_very_many_cells_are_left_out_and_counted():
    tokens = tuple(k % 12 for k in range(900))
    large = exhibit("int8", grid=(30, 30), inputs=tokens, reference=tokens, answer=tokens[::-1], labels=())
    many = tuple(replace(large, probe=probe, candidate=name) for name in ("a", "b") for probe in range(9))
    shown = gallery(replace(measured(), exhibits=many), ("a", "b"))
    drawn = sum(len(wall.puzzles) for wall in shown.walls)
    assert drawn == MOST_CELLS // (3 * 900)
    assert shown.left_out == len(many) - drawn
    assert abs(len(shown.walls[0].puzzles) - len(shown.walls[1].puzzles)) <= 1


def test_memory_is_stacked_by_component_and_adds_up():
    for chart in charts(rich()):
        for stack in chart.stacks:
            ends = [piece.start + piece.width for piece in stack.pieces]
            assert ends == sorted(ends)
            assert [piece.start for piece in stack.pieces[1:]] == pytest.approx(ends[:-1])
    titles = [chart.title for chart in charts(rich())]
    assert any("one layer at a time" in title for title in titles)
    assert "Stored bytes" in titles
    said = text_of(page(rich()))
    assert "soc-8mb has" in said
    assert "far beyond these bars" in said


def test_devices_say_what_ran_where_and_that_it_was_simulated():
    root = lxml_html.fromstring(page(rich(("int8",))))
    runs = [words_of(run) for run in root.xpath('//article[@class="run"]')]
    assert "int8 on phone simulated: no device ran this" in runs[2]
    assert "run of the graph, 30 runs" in runs[2]
    assert "npu: 40 layers, cpu: 2 layers" in runs[2]
    assert "Nothing was measured: no such machine" in runs[3]
    assert root.xpath("//article//a/@href") == ["https://hub.example/j1"] * 2


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://x.example", "https://x\u202e.example", "https://" + "x" * 999]
)
def test_only_plain_https_addresses_of_jobs_are_links(url):
    job = DeviceJob("j", url, "d", "14", "onnx", "npu", "", "", simulated=False)
    data = replace(measured(), candidates=(replace(record("int8", 1), device_runs=(DeviceRun(device="p", job=job),)),))
    found = page(Report(judge(policy(), data), policy(), data, CREATED))
    assert url not in looked(found).links


def test_provenance_holds_every_digest_whole():
    found = page(rich())
    for text in ("p" * 64, "i" * 64, "digest of reference", *(f"digest of {name}" for name in NAMES)):
        assert text in text_of(found)
    models = "--reference ref.safetensors --candidate int8=int8.safetensors --candidate int4=int4.safetensors"
    assert f"fidelity-gate run release.gate.yaml {models}" in text_of(found)


# ---------------------------------------------------------------- names of strangers


def test_the_runs_of_a_history_are_drawn_with_this_run_last():
    (picture,) = lxml_html.fromstring(page(with_runs((0.030, 0.031, 0.040, 0.030)))).xpath(
        "//section[@id='trends']//svg"
    )
    runs = [(one.get("class"), float(one.get("cx")), float(one.get("cy"))) for one in picture.iter("circle")]
    assert [kind for kind, _, _ in runs] == ["run was", "run was", "run worse", "run was", "run now"]
    assert [x for _, x, _ in runs] == sorted(x for _, x, _ in runs)
    heights = [y for _, _, y in runs]  # from the top: the slowest run is the highest
    limit = float(re.search(r"M0 ([0-9.]+)", picture.find("path").get("d"))[1])
    assert heights[2] < heights[4] < limit < heights[1] < heights[0] == heights[3]
    assert "30 ms, 2026-07-01 r0" in picture.find("title").text
    assert picture.find("title").text.endswith("36 ms, this run")


def test_a_long_history_shows_its_latest_runs():
    found = trends(with_runs(tuple(0.03 + place / 1e5 for place in range(100)))).shown[0]
    assert len(found.points) == 40
    assert [found.points[0].text, found.points[-1].text] == ["30.61 ms, 2026-07-62 r61", "36 ms, this run"]


@pytest.mark.parametrize("values", [(0.036,), (0.0, 0.0), (1e300, 0.03)])
def test_a_flat_or_wild_history_stays_inside_its_picture(values):
    points = trends(with_runs(values)).shown[0].points
    assert all(0 <= point.x <= 320 and 0 <= point.y <= 90 for point in points)


def test_without_a_history_there_is_no_picture_of_it():
    assert trends(rich()).shown == ()
    assert 'id="trends"' not in page(rich())


def with_name(name: str) -> Report:
    """Return a report with one name wherever a stranger may have written one."""
    base = rich((name,))
    linted = base.measured.candidates[0].linted
    finding = replace(linted.findings[0], message=name, why=name, fix=name, rule=name, model=name)
    steps = DeviceSteps(StepsWanted(name), name, ((name, name),), (0,), (1,), 1, 2, (), name)
    run = replace(base.measured.candidates[0].device_runs[0], machine=((name, name),), told=name, gap=name)
    run = replace(run, job=replace(run.job, url=name, id=name, device=name, options=name))
    one = replace(
        base.measured.candidates[0],
        facts=replace(facts(name), notes=(name,), recipe=name, digest=name, path=name),
        linted=replace(linted, findings=(finding,), skipped=((name, name),)),
        device_runs=(run,),
        device_steps=(steps, replace(steps, gap="", jobs=(run.job, replace(run.job, url="https://hub.example/j")))),
        alignment=name,
        compute=replace(base.measured.candidates[0].compute, counted_by=name, not_counted=(name,)),
    )
    told_of = replace(base.measured.provenance, inputs_source=name, libraries=((name, name),), machine=((name, name),))
    measurements = tuple(replace(m, detail=name) for m in base.measured.measurements)
    data = replace(
        base.measured,
        candidates=(one,),
        provenance=told_of,
        measurements=measurements,
        exhibits=(exhibit(name, symbols=(name,) * 6),),
    )
    results = tuple(
        replace(r, reason=name, check=replace(r.check, id=name, target=name, place=Place(name, 1)))
        for r in base.verdict.results
    )
    verdict = replace(base.verdict, results=results, policy_name=name, reason=name, policy_digest=name)
    waiver = Waiver(name, name, name, name, Bound(text=name), name, name, name, name, name, place=Place(name, 1))
    made = replace(base.policy, path=name, waivers=(waiver, replace(waiver, ticket="https://tracker.example/1")))
    return Report(verdict, made, data, name, error=name)


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:20]))
def test_no_name_becomes_markup_or_leaves_a_trace_that_acts(name):
    found = page(with_name(name))
    found.encode("utf-8")
    look = looked(found)
    assert look.faults == []
    assert not {tag for tag, _ in look.seen} & {"script", "img", "b"}
    assert not [key for _, attrs in look.seen for key in attrs if key.startswith("on")]
    assert all(link.startswith(("#", "https://")) for link in look.links)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]", found
    )
    assert "::error" not in found
    assert len(found) < 700_000


@functools.cache
def ordinary_tags() -> frozenset[str]:
    return frozenset(tag for tag, _ in looked(page(with_name("x"))).seen)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=30))
def test_whatever_the_names_the_page_has_the_same_elements(name):
    look = looked(page(with_name(name)))
    assert look.faults == []
    assert {tag for tag, _ in look.seen} == ordinary_tags()


# ---------------------------------------------------------------- how large


def test_five_thousand_checks_make_a_page_that_opens_and_says_what_it_left_out():
    names = tuple(f"candidate-{k}" for k in range(50))
    checks = [replace(FIDELITY, id=f"check-{k}", bound=Bound(minimum=0.6 + k / 250)) for k in range(100)]
    made = policy(*checks, candidates=names)
    data = measured(*(measurement(candidate=name) for name in names), candidates=names)
    verdict = judge(made, data)
    found = page(Report(verdict, made, data, CREATED))
    assert len(found) < 1_500_000
    assert 0 < sum(result.outcome is Outcome.FAIL for result in verdict.results) < 600
    shown = found.count('" data-label="Observed"')
    assert shown == 600
    assert f"{5000 - shown:,} more checks" in text_of(found)
    assert "26 more candidates are not shown here" in text_of(found)


def test_thousands_of_findings_and_device_runs_are_counted_not_listed():
    report = rich(("int8",))
    one = report.measured.candidates[0]
    finding = one.linted.findings[0]
    many = tuple(replace(finding, code=f"FG{k % 90 + 200}") for k in range(3000))
    one = replace(one, linted=replace(one.linted, findings=many), device_runs=one.device_runs * 100)
    found = page(replace(report, measured=replace(report.measured, candidates=(one,))))
    assert len(found) < 1_000_000
    said = text_of(found)
    assert "30 more kinds of findings are not shown here" in said
    assert "more places are not shown here" in said
    assert "162 more runs on devices are not shown here" in said


def test_long_recursions_are_thinned_to_a_few_points_the_ends_among_them():
    (found,) = curve_sets(indexed(streaming()), ("int8",))
    (panel,) = found.panels
    assert [panel.rows[0].step, panel.rows[-1].step] == [1, 400]
    assert len(panel.rows) <= 48


# ---------------------------------------------------------------- scales and bars


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_a_scale_of_nines_keeps_order_and_stays_inside(figures):
    scale = nines_scale(figures)
    places = [scale.at(figure) for figure in sorted(figures)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    ticks = scale.ticks()
    assert ticks
    assert all(0 <= tick.at <= 1 for tick in ticks)


def test_every_line_of_the_scale_is_ten_times_closer():
    assert [nines(figure) for figure in (0.0, 0.9, 0.99, 0.999)] == pytest.approx([0, 1, 2, 3])
    assert nines(1.0) == nines(1 - 1e-12) == 7
    assert nines(-0.5) == 0


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=10))
def test_an_even_scale_holds_all_figures(figures):
    scale = even_scale(figures, "seconds")
    assert all(0 <= scale.at(figure) <= 1 for figure in figures)
    assert scale.low < min(figures)
    assert max(figures) < scale.high
    assert scale.ticks()


@given(st.floats(-2, 2), st.floats(-1, 1), st.sampled_from(Direction))
def test_a_bar_is_on_the_side_of_the_bound_that_the_number_is_on(value, end, direction):
    bound = Bound(maximum=end) if direction is Direction.LOWER else Bound(minimum=end)
    made = policy(replace(FIDELITY, bound=bound))
    data = measured(measurement((value, value), direction=direction))
    (result,) = judge(made, data).results
    bar = bar_of(result, "x")
    if result.margin is None:
        assert bar is None
        return
    assert bar.inside is (result.outcome is Outcome.PASS)
    assert 0 <= bar.start <= bar.start + bar.width <= 2 * HALF
    assert (bar.start >= HALF) is bar.inside
    assert (place_of(result) >= HALF) is bar.inside


def test_a_bar_that_goes_on_beyond_the_picture_says_so():
    made = policy(replace(FIDELITY, metric="lint", bound=Bound(maximum=0), aggregate=None, severity=Severity.ERROR))
    data = measured(replace(measurement((8.0,)), metric="lint", per_probe=False, direction=Direction.LOWER))
    (result,) = judge(made, data).results
    assert bar_of(result, "-8").cut


# ---------------------------------------------------------------- colours


def colours(scheme: str) -> dict[str, str]:
    """Return the custom properties of a scheme: what light says, and what the other replaces."""
    blocks = {
        "light": style().partition(":root {")[2].partition("}")[0],
        "dark": style().partition("prefers-color-scheme: dark")[2].partition(":root {")[2].partition("}")[0],
        "print": style().partition("@media print")[2].partition(":root {")[2].partition("}")[0],
    }
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks["light"]))
    return found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


KINDS = ("pass", "fail", "warn", "waived", "inconclusive", "unmeasured", "refused")
TEXTS = [
    *((ink, ground) for ink in ("ink", "dim", "link") for ground in ("paper", "card", "faint")),
    *((kind, ground) for kind in KINDS for ground in ("paper", "card", f"{kind}-tint")),
    *(("ink", f"{kind}-tint") for kind in KINDS),
    ("fail", "fail-tint"),
]
GRAPHICS = [
    *((mark, ground) for mark in ("data", "bound", "focus", "k0", "k3") for ground in ("paper", "card")),
    ("floor", "card"),
]


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_and_graphics_can_be_told_from_what_they_stand_on(scheme):
    known = colours(scheme)
    assert {f"{a} on {b}": contrast(known[a], known[b]) for a, b in TEXTS if contrast(known[a], known[b]) < 4.5} == {}
    assert {f"{a} on {b}": contrast(known[a], known[b]) for a, b in GRAPHICS if contrast(known[a], known[b]) < 3} == {}


def test_every_colour_that_is_used_is_defined_in_both_schemes_and_on_paper():
    used = set(re.findall(r"var\(--([\w-]+)\)", style()))
    dark = style().partition("prefers-color-scheme: dark")[2].partition(":root {")[2].partition("}")[0]
    defined = set(re.findall(r"--([\w-]+):", dark))
    assert used <= set(colours("light"))
    assert used <= defined


def test_probes_are_all_counted():
    assert f"Probes {PROBES}" in text_of(page(rich()))
