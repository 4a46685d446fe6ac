"""The room of reports. A report is one file and one line here."""

TABLE = {
    "html": "fidelity_gate.reports.html.page:Html",
    "json": "fidelity_gate.reports.json:Json",
    "junit": "fidelity_gate.reports.junit:JUnit",
    "sarif": "fidelity_gate.reports.sarif:Sarif",
    "terminal": "fidelity_gate.reports.terminal:Terminal",
}
