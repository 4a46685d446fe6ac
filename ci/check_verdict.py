"""The check of a required job on GitHub; needs nothing but the standard library and this checkout.

    python3 -I ci/check_verdict.py FOLDER

FOLDER is where the reports of the gate's job were downloaded to. Everything else comes in variables: what the gate's
job said of itself (FG_GATE_RESULT, FG_VERDICT_DIGEST), and which run this is (FG_COMMIT, FG_REPOSITORY, FG_RUN).
Exits with 0 only if the job succeeded and its verdict file, untouched and of this very run, says passed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fidelity_gate.errors import GateError, Undecided, UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.ci_runner import command
from fidelity_gate.verbs.ci_verdict import NAME, Demand, Verdict, required


def checked(folder: str, variables: dict[str, str]) -> Verdict:
    """Return the verdict of this run; raises GateError where there is none that can be believed."""
    result = variables.get("FG_GATE_RESULT", "")
    if result != "success":
        told = printable(result, 40) or "unknown"
        raise Undecided(f"the gate's job ended as '{told}'", hint="only a job that succeeded can have passed")
    demand = Demand(
        commit=_said(variables, "FG_COMMIT"),
        repository=_said(variables, "FG_REPOSITORY"),
        run=_said(variables, "FG_RUN"),
        verdict_digest=_said(variables, "FG_VERDICT_DIGEST"),
        policy_digest=variables.get("FG_POLICY_DIGEST", "").strip().lower(),
    )
    return required(str(Path(folder) / NAME), demand)


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 only if the gate passed."""
    try:
        if len(arguments) != 1:
            raise UsageError("one folder is expected", hint="ci/check_verdict.py FOLDER")
        found = checked(arguments[0], dict(os.environ))
    except GateError as error:
        print(f"fidelity-gate: error: {error}", file=sys.stderr)
        print(command("error", str(error)))
        return int(error.exit_code)
    line = f"{found.verdict} (exit {found.exit_code}): {found.reason}"
    print(printable(line, 400))
    return found.exit_code


def _said(variables: dict[str, str], name: str) -> str:
    value = variables.get(name, "").strip()
    if not value:
        raise Undecided(f"{name} is empty", hint="the gate's job says it in its outputs")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
