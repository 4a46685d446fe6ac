"""What MkDocs does not do by itself, as hooks of mkdocs.yml.

* The navigation may name a folder's pages with a star, and pages that nobody placed are put under "More".
* Decisions are listed by their titles.
* Links out of docs/ (to a policy, an example, a test) are good in a checkout, and lead nowhere from a site. Each file
  that is linked gets a page that shows it, under source/.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".md": "markdown"}
SHOWN = "source"
DECISIONS = "decisions/index.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file outside docs/ that a page links to, and settle the navigation."""
    for name in sorted(set(_linked(files))):
        files.append(File.generated(config, f"{SHOWN}/{name}.md", content=_source_page(name)))
    files.append(File.generated(config, DECISIONS, content=_decisions()))
    pages = sorted(file.src_uri for file in files.documentation_pages() if not file.src_uri.startswith(f"{SHOWN}/"))
    config.nav = _settled(config.nav or [], pages)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links out of docs/ to the pages that show the files; folders become plain names."""
    if page.file.src_uri.startswith(f"{SHOWN}/"):
        return markdown
    here = posixpath.dirname(page.file.src_uri)

    def led(link: re.Match[str]) -> str:
        name = _outside(here, link[2])
        if name is None:
            return link[0]
        if (ROOT / name).is_dir():
            return f"{link[1]} (`{name}/`)"
        return f"[{link[1]}]({posixpath.relpath(f'{SHOWN}/{name}.md', here or '.')})"

    return LINK.sub(led, markdown)


def _linked(files: Files) -> Iterator[str]:
    """Yield every file of the repository, outside docs/, that a page links to."""
    for file in files.documentation_pages():
        if file.abs_src_path is None:
            continue
        here = posixpath.dirname(file.src_uri)
        for link in LINK.finditer(Path(file.abs_src_path).read_text(encoding="utf-8")):
            name = _outside(here, link[2])
            if name is not None and (ROOT / name).is_file():
                yield name


def _outside(here: str, target: str) -> str | None:
    """Return the name, from the repository's root, of a file outside docs/ that is there; None for any other link."""
    if ":" in target:
        return None
    name = posixpath.normpath(posixpath.join("docs", here, target))
    is_out = not name.startswith(("docs/", "../")) or name.startswith("docs/examples/")
    return name if is_out and (ROOT / name).exists() else None


def _source_page(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8").rstrip()
    fence = "`" * (max((len(run) for run in re.findall(r"`{3,}", text)), default=2) + 1)
    language = LANGUAGES.get(Path(name).suffix, "text")
    head = f"---\nsearch: {{exclude: true}}\n---\n# {Path(name).name}\n\n`{name}`"
    return f"{head}\n\n{fence}{language}\n{text}\n{fence}\n"


def _decisions() -> str:
    """Return the page that lists every decision by its title."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    titles = [page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for page in pages]
    rows = [f"| [{title}]({page.name}) |" for title, page in zip(titles, pages, strict=True)]
    said = "Why things are as they are: each page has a context, what was decided, and what else could have been."
    return "\n".join(["# Decisions", "", said, "", "| |", "|---|", *rows, ""])


def _settled(nav: list[Any], pages: list[str]) -> list[Any]:
    """Return the navigation with its stars filled in, and what nobody placed at its end."""
    named = set(_names(nav))
    settled = _filled(nav, [page for page in pages if page not in named])
    left = [page for page in pages if page not in set(_names(settled))]
    return [*settled, {"More": left}] if left else settled


def _filled(entry: Any, pages: list[str]) -> Any:  # noqa: ANN401  (the navigation is plain YAML)
    if isinstance(entry, dict):
        return {title: _filled(inside, pages) for title, inside in entry.items()}
    if not isinstance(entry, list):
        return entry
    filled: list[Any] = []
    for one in entry:
        if isinstance(one, str) and "*" in one:
            filled += fnmatch.filter(pages, one)
        else:
            filled.append(_filled(one, pages))
    return filled


def _names(entry: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the pages that a navigation names."""
    if isinstance(entry, str):
        yield entry
        return
    for one in entry.values() if isinstance(entry, dict) else entry:
        yield from _names(one)
