"""The steps of ci/reference/action.yml; needs nothing but the standard library and this checkout.

    python3 -I ci/fetch_reference.py name     # says in GITHUB_OUTPUT what the file is called in a cache: its digest
    python3 -I ci/fetch_reference.py bring    # leaves it in $RUNNER_TEMP/fidelity-gate-fetched/$FG_FILE

What is wanted comes in variables: FG_URL, FG_DIGEST, FG_FILE. Exits with 0 only if the file is there
and has the digest, with 2 where it is another one or nobody can mean it, with 3 where it cannot be fetched.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fidelity_gate.errors import GateError, UsageError
from fidelity_gate.verbs.ci_fetch import STORE, Wanted, brought
from fidelity_gate.verbs.ci_runner import TEMP, Runner, command


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    runner = Runner(dict(os.environ))
    try:
        if arguments not in (["name"], ["bring"]):
            raise UsageError("one word is expected", hint="ci/fetch_reference.py name|bring")
        wanted = Wanted(runner.text("FG_URL"), runner.text("FG_DIGEST").lower(), runner.text("FG_FILE"))
        temp = runner.folder(TEMP)
        if arguments == ["name"]:
            runner.say({"digest": wanted.digest, "file": wanted.name, "store": str(temp / STORE)})
            return 0
        _, fetched = brought(wanted, temp)
        runner.say({"fetched": "true" if fetched else "false"})
    except GateError as error:
        print(f"fidelity-gate: error: {error}", file=sys.stderr)
        print(command("error", str(error)))
        return int(error.exit_code)
    print(f"{wanted.name}: SHA-256 {wanted.digest}, {'fetched' if fetched else 'out of the cache'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
