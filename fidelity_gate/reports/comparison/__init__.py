"""The room of reports of comparisons: what changed between two runs, as text. One file and one line here."""

TABLE = {
    "html": "fidelity_gate.reports.comparison.html:ComparisonHtml",
    "json": "fidelity_gate.reports.comparison.json:ComparisonJson",
    "markdown": "fidelity_gate.reports.comparison.markdown:ComparisonMarkdown",
    "terminal": "fidelity_gate.reports.comparison.terminal:ComparisonTerminal",
}
