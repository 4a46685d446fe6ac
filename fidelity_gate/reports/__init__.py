"""The room of reports. A report is one file and one line here."""

TABLE = {
    "github": "fidelity_gate.reports.github:GitHub",
    "html": "fidelity_gate.reports.html.page:Html",
    "json": "fidelity_gate.reports.json:Json",
    "junit": "fidelity_gate.reports.junit:JUnit",
    "markdown": "fidelity_gate.reports.markdown:Markdown",
    "sarif": "fidelity_gate.reports.sarif:Sarif",
    "terminal": "fidelity_gate.reports.terminal:Terminal",
}
