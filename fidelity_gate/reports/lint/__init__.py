"""The room of lint reports: what `lint` has found, as text. A report is one file and one line here."""

TABLE = {
    "json": "fidelity_gate.reports.lint.json:LintJson",
    "sarif": "fidelity_gate.reports.lint.sarif:LintSarif",
    "terminal": "fidelity_gate.reports.lint.terminal:LintTerminal",
}
