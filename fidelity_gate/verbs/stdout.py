"""Standard output, as verbs write it: at once, in whatever encoding it has, and never lost without a word."""

from __future__ import annotations

import sys

from fidelity_gate.errors import ReportNotWritten

STDOUT = "-"  # where a destination is asked for


def write_stdout(text: str) -> None:
    """Write to standard output now, in whatever encoding it has; raises ReportNotWritten."""
    stream = sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:  # a full disk, a closed pipe, a closed stream
        raise ReportNotWritten(f"cannot be written: {error}", where="standard output") from error
