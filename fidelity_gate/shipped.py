"""Where the policies that ship with the package are: inside an installed one, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from fidelity_gate.errors import Internal

FOLDER = "policies"


def policy_path(name: str) -> Path:
    """Return the path of a shipped policy.

    Args:
        name: relative to the folder of shipped policies: "demo.yaml".

    Raises:
        Internal: the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / FOLDER, package.parent / FOLDER):
        if (folder / name).is_file():
            return folder / name
    raise Internal("is not installed", where=name, hint="install fidelity-gate again")
