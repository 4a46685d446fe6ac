"""The documentation as a site: what is made of the code is up to date, and it builds strictly, without a network."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
RELATED = ("canonical", "prev", "next")  # links that name a page and load nothing


@pytest.fixture(scope="module")
def made():
    """The modules of ci/ that make pages."""
    sys.path.insert(0, str(ROOT))
    try:
        yield {name: importlib.import_module(f"ci.{name}") for name in ("reference_pages", "science_figures")}
    finally:
        sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_reference_pages_are_those_of_the_code(made):
    """`make pages` writes them."""
    wanted = made["reference_pages"].pages()
    assert set(made["reference_pages"].FOLDER.glob("*.md")) == set(wanted)
    for path, text in wanted.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: make pages"


def test_the_figures_of_the_science_page_are_those_of_the_tables(made):
    page = made["science_figures"].PAGE.read_text(encoding="utf-8")
    assert made["science_figures"].drawn(page) == page, "make pages"
    assert page.count("<svg") == len(made["science_figures"].FIGURES)


def test_what_the_science_page_says_of_the_tables_is_what_they_say(made):
    """The sentences beside the figures name numbers, which change when the results are measured again."""
    figures = made["science_figures"]
    page = " ".join(figures.PAGE.read_text(encoding="utf-8").split())
    rungs = figures.read(figures.RESULTS.read_text(encoding="utf-8"))
    found = {(one.model, one.recipe): one.numbers for kind, one in rungs if kind == figures.CHECKPOINT}
    models = {model for model, _ in found}
    moved = [found[model, "fp16"]["consecutive"] - found[model, "int4-naive"]["consecutive"] for model in models]
    naive, nf4 = found["trm-mlp-sudoku", "int4-naive"], found["trm-mlp-sudoku", "nf4-bnb"]
    sound = found["trm-addition", "int4-calibrated"]["fidelity mean"]
    for said in (
        f"the consecutive similarity moves by {min(moved):.3f} to {max(moved):.3f}.",
        f"harmless in one step ({naive['one step']:.3f}), and {100 * naive['lost']:.0f} puzzles in a hundred are lost",
        f"At a mean of {nf4['fidelity mean']:.3f} the MLP-mixing model is broken",
        f"(`nf4-bnb`, {100 * nf4['lost']:.1f} points of its puzzles lost), at {sound:.3f} the addition model is sound",
        f"INT8 loses nothing: at most {max(100 * found[model, 'int8']['lost'] for model in models):.1f} points",
    ):
        assert said in page


def test_every_row_of_the_tables_of_results_is_read(made):
    text = made["science_figures"].RESULTS.read_text(encoding="utf-8")
    rungs = list(made["science_figures"].read(text))
    assert len(rungs) == len(re.findall(r"^\| `.*(may ship|broken)", text, re.MULTILINE))
    (naive,) = [one for kind, one in rungs if (one.model, one.recipe) == ("trm-attention-sudoku", "int4-naive")]
    assert naive.numbers["cell"] == pytest.approx(0.69, abs=0.005)
    assert naive.numbers["exact"] == pytest.approx(0.022)


def test_the_site_builds_strictly_and_has_every_page(site):
    pages = {page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")}
    pages -= {Path("results-notes.md")}
    for page in pages:
        name = page.with_name("index") if page.name == "README.md" else page.with_suffix("")
        assert (site / f"{name}.html").exists(), page
    assert (site / "decisions" / "index.html").exists()
    assert (site / "search" / "search_index.json").exists()


def test_the_site_loads_nothing_from_a_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        loaded = _loaded(page.read_text(encoding="utf-8"))
        assert not [name for name in loaded if name.startswith(("http:", "https:", "//"))], page
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"url\(['\"]?(https?:)?//", styles)


def test_links_out_of_the_pages_lead_to_the_files_they_name(site):
    text = (site / "streaming.html").read_text(encoding="utf-8")
    assert 'href="source/policies/examples/streaming-gru.yaml.html"' in text
    shown = (site / "source" / "policies" / "examples" / "streaming-gru.yaml.html").read_text(encoding="utf-8")
    assert "streaming-gru" in shown


def _loaded(text: str) -> list[str]:
    """Return what a page makes a browser fetch by itself."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            given = dict(attrs)
            if tag in LOADS and given.get("rel") not in RELATED:
                found.append(given.get(LOADS[tag]) or "")

    Reader().feed(text)
    return found
