"""Writes a page for every lint rule, docs/lint/FGnnn.md, and their table in docs/lint.md: `make pages`.

Everything on a page comes from the rule's class, so that `lint --explain` and the page cannot disagree.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from ci import made_pages
from fidelity_gate import registry
from fidelity_gate.analysis.explaining import GROUPS, NEEDS, documented, options_of
from fidelity_gate.analysis.linting import ROOM

if TYPE_CHECKING:
    from fidelity_gate.protocols import LintRule

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "lint"
INDEX = ROOT / "docs" / "lint.md"
EXAMPLES = ROOT / "tests" / "lint_examples"
BEGIN, END = "<!-- rules: made by `make pages` -->", "<!-- end of rules -->"
MADE = "<!-- Made by `make pages` from the rule's class: change that one. -->"


def main() -> None:
    """Write every page that is not as it should be, and delete those of rules that are gone."""
    made_pages.write(pages(), FOLDER)


def pages() -> dict[Path, str]:
    """Return every page as it should be: path -> text."""
    table = registry.table_of(ROOM)
    ours = [code for code in table if table[code].startswith("fidelity_gate.")]
    rules = [registry.build(ROOM, code, ()) for code in ours]
    return {INDEX: _index(rules), **{FOLDER / f"{rule.code}.md": _page(rule) for rule in rules}}


def _index(rules: list[LintRule]) -> str:
    """Return docs/lint.md with its table made anew; what stands around it is written by hand."""
    before, _, rest = INDEX.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    parts = []
    for prefix, name in GROUPS.items():
        rows = [_row(rule) for rule in rules if rule.code.startswith(prefix)]
        if rows:
            parts.append(
                f"### {prefix}xx {name}\n\n| code | severity | rule | looks for |\n|---|---|---|---|\n" + "".join(rows)
            )
    return f"{before}{BEGIN}\n\n" + "\n".join(parts) + f"\n{END}{after}"


def _row(rule: LintRule) -> str:
    looks_for = documented(type(rule))[0].removeprefix("Looks for ").removesuffix(".")
    return f"| [{rule.code}](lint/{rule.code}.md) | {rule.severity.value} | {rule.title} | {_cell(looks_for)} |\n"


def _page(rule: LintRule) -> str:
    summary, body = documented(type(rule))
    needs = ", ".join(NEEDS[need] for need in rule.needs) or "nothing but the file"
    group = f"{rule.code[:3]}xx, {GROUPS[rule.code[:3]]}"
    facts = f"| | |\n|---|---|\n| severity | {rule.severity.value} |\n| group | {group} |\n| needs | {needs} |"
    parts = [
        f"# {rule.code} {rule.title}",
        MADE,
        facts,
        summary,
        body,
        f"## Why it matters\n\n{rule.why}",
        f"## How to mend it\n\n{rule.fix}",
        f"## Options\n\n{_options(rule)}",
        f"## Examples\n\n{_examples(rule.code)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _options(rule: LintRule) -> str:
    rows = [f"| `{one.name}` | `{one.default}` | {_cell(one.told)} |\n" for one in options_of(rule)]
    if not rows:
        return f"None but the severity: `lint: {{severity: {{{rule.code}: warn}}}}`, or `ignore: [{rule.code}]`."
    first = options_of(rule)[0]
    how = f"In a policy `lint: {{options: {{{rule.code}: {{{first.name}: {first.default}}}}}}}`, "
    how += f"on the command line `--option {rule.code}.{first.name}={first.default}`."
    return f"| option | default | |\n|---|---|---|\n{''.join(rows)}\n{how}"


def _examples(code: str) -> str:
    """Return the functions of a rule's examples, which tests hold the rule against."""
    path = EXAMPLES / f"{code.lower()}.py"
    if not path.exists():
        return "None yet."  # the tests of the rules say so too
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    told = [
        f"{what}: {', '.join(f'`{one}`' for one in names if one.partition('_')[0] == what)}"
        for what in ("failing", "passing")
    ]
    return f"[{name}](../../{name}); {'; '.join(told)}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
