"""The page in a real browser: nothing fails, nothing is fetched, nothing runs, and it fits every screen."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import pytest
from chromium import Browser, installed
from pages import every_outcome, exhibit, rich, stopped, streaming
from test_compare import compared_page
from test_html import HOSTILE, with_name
from test_html_parts import on_devices, waived

from fidelity_gate.judge import judge
from fidelity_gate.records import Aggregate, Bound, Severity
from fidelity_gate.reports.html.page import Html

pytestmark = pytest.mark.skipif(installed() is None, reason="no Chromium is installed")

HEBREW = "\u05de\u05d5\u05e2\u05de\u05d3 \u05e9\u05e0\u05d9"
TOKENS = tuple(2 + (k * k) % 10 for k in range(900))


def large():
    """Return a report with a picture of 30 by 30 cells."""
    report = rich(("int8",))
    picture = exhibit("int8", 1, grid=(30, 30), inputs=TOKENS, reference=TOKENS, answer=TOKENS[::-1], labels=())
    return replace(report, measured=replace(report.measured, exhibits=(picture,)))


def shapes():
    """Return a report with a picture of one long row, one of nine by nine cells, and a name of Hebrew letters."""
    long = "a-candidate-with-a-name-that-is-very-much-longer-than-any-column-of-figures-can-bear"
    report = rich((long, HEBREW))
    pictures = [
        exhibit(name, 1, grid=grid, inputs=cells, reference=cells, answer=cells[::-1], labels=(), symbols=())
        for name, grid in zip((HEBREW, long), ((1, 50), (9, 9)), strict=True)
        for cells in (TOKENS[: grid[0] * grid[1]],)
    ]
    return replace(report, measured=replace(report.measured, exhibits=tuple(pictures)))


def forty():
    """Return a report of forty checks with long names, of which some are inconclusive, some warn and some fail."""
    base = rich(("int8", "int4"))
    checks = tuple(
        replace(
            base.policy.checks[0],
            id=f"check-number-{k}-about-something",
            bound=Bound(minimum=0.5 + 0.0127 * k),
            aggregate=tuple(Aggregate)[k % 3],
            severity=Severity.WARN if k % 7 == 0 else Severity.ERROR,
        )
        for k in range(40)
    )
    made = replace(base.policy, checks=checks)
    return replace(base, policy=made, verdict=judge(made, base.measured))


PAGES = {
    "rich": lambda: Html().render(rich()),
    "many": lambda: Html().render(rich(tuple(f"candidate-{k}" for k in range(8)))),
    "large": lambda: Html().render(large()),
    "outcomes": lambda: Html().render(every_outcome()),
    "stopped": lambda: Html().render(stopped()),
    "streaming": lambda: Html().render(streaming()),
    "long-name": lambda: Html().render(with_name("x" * 100_000)),
    "hostile": lambda: Html().render(with_name("".join(HOSTILE[:4]))),
    "comparison": compared_page,
    "waived": lambda: Html().render(waived()),
    "devices": lambda: Html().render(on_devices()),
    "shapes": lambda: Html().render(shapes()),
    "forty": lambda: Html().render(forty()),
}
WINDOWS = {
    "wide": {},
    "dark": {"dark": True},
    "tablet": {"width": 768},
    "small": {"width": 910},
    "phone": {"width": 360, "height": 740},
}
SPILLED = """[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1 && !e.closest('pre') && !e.closest('.skip')
    && getComputedStyle(e).clipPath === 'none' && !e.closest('thead');
}).slice(0, 5).map(e => e.tagName + '.' + e.getAttribute('class') + ' ' + (e.textContent || '').slice(0, 40))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(installed(), str(tmp_path_factory.mktemp("profile")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Return the address of a page by its name, written once."""
    folder = tmp_path_factory.mktemp("pages")

    @functools.cache
    def written(name):
        (folder / f"{name}.html").write_text(PAGES[name](), encoding="utf-8")
        return (folder / f"{name}.html").as_uri()

    return written


def complaints(browser):
    return browser.told("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")


SHOWN = [
    *((name, "phone") for name in PAGES),
    *((name, "wide") for name in ("rich", "long-name", "comparison", "shapes")),
    *((name, "tablet") for name in ("rich", "outcomes", "comparison", "shapes")),
    *((name, "small") for name in ("forty", "outcomes", "comparison")),
    ("rich", "dark"),
]


@pytest.mark.parametrize(("name", "window"), SHOWN)
def test_a_page_fits_its_window_fetches_nothing_and_nothing_complains(browser, url, name, window):
    browser.open(url(name), **WINDOWS[window])
    assert browser.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.evaluate(SPILLED) == []
    assert complaints(browser) == []
    assert [event["request"]["url"] for event in browser.told("Network.requestWillBeSent")] == [url(name)]
    assert browser.evaluate("document.scripts.length") == 0
    assert browser.told("Page.javascriptDialogOpening") == []


def test_the_style_sheet_is_let_in_and_dark_is_dark(browser, url):
    grounds = {}
    for dark in (False, True):
        browser.open(url("rich"), dark=dark)
        grounds[dark] = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert grounds == {False: "rgb(251, 250, 247)", True: "rgb(22, 23, 25)"}


def test_a_style_that_is_not_the_pages_own_is_kept_out(browser, url, tmp_path):
    page = PAGES["stopped"]().replace("</body>", "<p id='x' style='color: rgb(1, 2, 3)'>x</p><script>1</script></body>")
    (tmp_path / "edited.html").write_text(page, encoding="utf-8")
    browser.open((tmp_path / "edited.html").as_uri())
    assert browser.evaluate("getComputedStyle(document.getElementById('x')).color") != "rgb(1, 2, 3)"
    assert any("Content Security Policy" in str(entry) for entry in complaints(browser))


def test_the_keyboard_reaches_every_link_and_fold_and_shows_where_it_is(browser, url):
    browser.open(url("rich"))
    reachable = browser.evaluate(
        "[...document.querySelectorAll('a[href], summary, [tabindex]')].every(e => e.tabIndex >= 0)"
    )
    assert reachable is True
    for key in ("Tab", "Tab"):
        browser.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=9)
    assert browser.evaluate("document.activeElement.tagName") == "A"
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_printed_page_shows_the_checks_of_folded_candidates_too(browser, url):
    shut = "[...document.querySelectorAll('.group:not([open])')].length"
    hidden = """[...document.querySelectorAll('.group:not([open]) table.checks')]
      .filter(e => e.getBoundingClientRect().height === 0).length"""
    browser.open(url("many"), media="print", width=794)
    assert browser.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    if browser.evaluate(shut):
        assert browser.evaluate(hidden) == 0
    assert browser.pdf().startswith(b"%PDF")


def test_every_line_of_a_picture_is_inside_it(browser, url):
    outside = """[...document.querySelectorAll('.panel > svg, .spread, .stack')].flatMap(s => {
      const frame = s.getBoundingClientRect();
      return [...s.querySelectorAll('text, rect, circle')].filter(e => {
        const box = e.getBoundingClientRect();
        return frame.width > 0 && (box.left < frame.left - 2 || box.right > frame.right + 2);
      }).map(e => e.textContent || e.tagName);
    }).slice(0, 5)"""
    for name in ("rich", "streaming"):
        browser.open(url(name))
        assert browser.evaluate(outside) == []


def test_no_figure_and_no_outcome_is_broken_over_two_lines_whatever_stands_beside_it(browser, url):
    broken = """[...document.querySelectorAll('td.fig, .end, .tag')].filter(e => {
      const range = document.createRange(), text = e.lastChild;
      if (!text || text.nodeType !== 3 || !text.textContent.trim()) return false;
      range.selectNodeContents(text);
      return new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1;
    }).map(e => e.textContent)"""
    for name, window in itertools.product(("shapes", "forty"), ("wide", "small", "tablet", "phone")):
        browser.open(url(name), **WINDOWS[window])
        assert browser.evaluate(broken) == []


def test_on_a_phone_every_figure_of_a_check_stands_under_its_name(browser, url):
    astray = """[...document.querySelectorAll('table.checks tbody tr:not(.said)')].filter(row => {
      const name = row.querySelector('th').getBoundingClientRect();
      return [...row.querySelectorAll('[data-label="Observed"], [data-label="Required"], [data-label="Margin"]')]
        .some(cell => cell.getBoundingClientRect().top < name.bottom - 1);
    }).length"""
    browser.open(url("rich"), **WINDOWS["phone"])
    assert browser.evaluate(astray) == 0


def test_a_comparison_reads_the_same_beside_a_name_from_right_to_left(browser, url):
    order = """(() => {
      const text = document.querySelector('.reason'), found = [];
      for (const node of text.childNodes) for (const word of node.textContent.matchAll(/[0-9]+\\.[0-9]+|[<>]/g)) {
        const range = document.createRange();
        range.setStart(node, word.index); range.setEnd(node, word.index + word[0].length);
        found.push([word[0], range.getBoundingClientRect().left]);
      }
      return found.sort((a, b) => a[1] - b[1]).map(one => one[0]).join(' ');
    })()"""
    browser.open(url("shapes"))
    assert HEBREW in browser.evaluate("document.querySelector('.reason').textContent").replace("\u200e", "")
    first, sign, second = browser.evaluate(order).split(" ")
    assert sign == "<"
    assert float(first) < float(second)
