"""Room: lint rules. One rule, one file; the table's keys are their codes, which are never used again.

FG1xx not really compressed, FG2xx scales, FG3xx carry path, FG4xx target fit, FG5xx drift from the reference,
FG6xx hygiene.
"""

TABLE: dict[str, str] = {}
