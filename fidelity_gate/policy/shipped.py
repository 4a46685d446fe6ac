"""Where the policies that ship with the gate are: in the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from fidelity_gate.errors import Internal

STARTER = "starter.yaml"


def folder() -> Path:
    """Return the folder of shipped policies; raises Internal where the installation lacks it."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "policies", package.parent / "policies"):
        if (place / STARTER).is_file():
            return place
    raise Internal("the shipped policies are missing", where=package, hint="install fidelity-gate again")


def starter() -> str:
    """Return the commented policy that `policy init` writes."""
    return (folder() / STARTER).read_text(encoding="utf-8")
