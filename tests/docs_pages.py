"""The pages of the documentation as things to do: files to write, commands to run, and what the page shows of them.

What a page may say, beside plain fenced blocks:

    ```console                      commands after "$ ", what they print beneath them; "..." stands for anything
    ```yaml title="release.yaml"    a file, written before the commands that follow
    <!-- setup: NAME -->            a function of docs_setups.py makes what the page takes for granted
    <!-- exit 1 -->                 how the last command of the next block ends, where what is shown of it does not tell
    <!-- not run: KEY -->           the next block is not run; docs_setups.NOT_RUN says why

What is shown tells the exit code where it says "(exit N)" or begins with the program's error line (exit 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
_PIECE = re.compile(
    r"^<!-- (?P<word>setup|not run|exit)[: ] *(?P<said>.*?) -->$"
    r"|^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')
_EXIT = re.compile(r"\(exit ([0-9]+)\)")
_ERROR = "fidelity-gate: error:"
REFUSED = 2


@dataclass(frozen=True)
class Setup:
    """A function of docs_setups.py, by its name."""

    name: str


@dataclass(frozen=True)
class Written:
    """A file that the page shows."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command line, with its place, how it has to end and what the page shows of its output."""

    line: str
    place: str
    code: int
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Skipped:
    """A command that is not run, and the key of the reason."""

    line: str
    place: str
    reason: str


@dataclass(frozen=True)
class Block:
    """A fenced block as it stands."""

    language: str
    body: str
    place: str


def pages() -> list[Path]:
    """Return README and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """Return a page's name from the repository's root."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Yield every fenced block of a page."""
    for found, place in _pieces(page):
        if found["fence"]:
            yield Block(_language(found["info"]), found["body"], place)


def things_to_do(page: Path) -> Iterator[Setup | Written | Command | Skipped]:
    """Yield what a page says, in its order."""
    said = {"not run": "", "exit": ""}
    for found, place in _pieces(page):
        if found["word"] == "setup":
            yield from (Setup(name) for name in found["said"].split())
        elif found["word"]:
            said[found["word"]] = found["said"]
        else:
            yield from _of_block(found, place, said)
            said = {"not run": "", "exit": ""}


def _pieces(page: Path) -> Iterator[tuple[re.Match[str], str]]:
    text = page.read_text(encoding="utf-8")
    for found in _PIECE.finditer(text):
        yield found, f"{name_of(page)}:{text.count(chr(10), 0, found.start()) + 1}"


def _language(info: str) -> str:
    return info.split()[0] if info.split() else ""


def _of_block(found: re.Match[str], place: str, said: dict[str, str]) -> Iterator[Written | Command | Skipped]:
    title = _TITLE.search(found["info"])
    if title:
        yield Written(title[1], found["body"])
    if _language(found["info"]) not in ("console", "shell"):
        return
    parts = re.split(r"^\$ ", found["body"], flags=re.MULTILINE)[1:]
    for number, part in enumerate(parts, start=1):
        line, shown = _line_of(part)
        if said["not run"]:
            yield Skipped(line, place, said["not run"])
        else:
            marked = said["exit"] if number == len(parts) else ""
            yield Command(line, place, int(marked) if marked else _told_code(shown), shown)


def _line_of(part: str) -> tuple[str, tuple[str, ...]]:
    """Return a command with its continued lines, and the lines that are shown of its output."""
    lines = part.rstrip("\n").split("\n")
    end = next(number for number, line in enumerate(lines) if not line.rstrip().endswith("\\"))
    return "\n".join(lines[: end + 1]), tuple(line for line in lines[end + 1 :] if line.strip())


def _told_code(shown: tuple[str, ...]) -> int:
    told = _EXIT.findall("\n".join(shown))
    if told:
        return int(told[-1])
    return REFUSED if shown and shown[0].startswith(_ERROR) else 0


_SAME = (
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "#"),  # digests
    (re.compile(r"[-+]?[0-9][0-9.,]*([TZ:+-][0-9.,:]+)*"), "#"),  # figures, dates
    (re.compile("[▁-█]+"), "~"),
    (re.compile("─+"), "─"),
    (re.compile(r"\s+"), " "),
)


# What differs from run to run or from machine to machine: digests, times, durations, the row of the worst probe.
_OF_A_RUN = re.compile(r"\b[0-9a-f]{7,64}\b|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.+Z-]+)?|#[0-9]+|[0-9.,]+ (ms|s)\b")
_FIGURE = re.compile(r"[-+]?[0-9][0-9,]*(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?")
RELATIVE, ABSOLUTE = 0.02, 0.005


def missing(shown: tuple[str, ...], printed: str) -> list[str]:
    """Return the lines that a page shows and that the command did not print.

    Figures have to be those of the page, but for what rounding makes of them on another machine; where a line leaves
    something out, they are not compared.
    """
    lines = [(_shape(line), line) for line in printed.split("\n")]
    return [line for line in shown if not any(_is_shown(line, *other) for other in lines)]


def _is_shown(line: str, shape: str, printed: str) -> bool:
    if not re.fullmatch(_pattern(line), shape):
        return False
    pairs = zip(_figures(line), _figures(printed), strict=False)
    return "..." in line or all(abs(a - b) <= max(ABSOLUTE, RELATIVE * abs(a)) for a, b in pairs)


def _figures(line: str) -> list[float]:
    return [float(text.replace(",", "")) for text in _FIGURE.findall(_OF_A_RUN.sub(" ", line))]


def _shape(line: str) -> str:
    for pattern, word in _SAME:
        line = pattern.sub(word, line)
    return line.strip()


def _pattern(line: str) -> str:
    """Return a line as a pattern in which "..." stands for anything."""
    return ".*".join(re.escape(_shape(part)).replace(r"\ ", " ") for part in line.split("..."))
