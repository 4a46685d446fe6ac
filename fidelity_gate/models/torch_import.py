"""Imports torch where it is really needed, and says what to install where it is missing."""

from __future__ import annotations

import importlib
from typing import Any

from fidelity_gate.errors import NotMeasured


def torch_module() -> Any:  # noqa: ANN401  (torch itself; annotating it would import it)
    """Return torch.

    Raises:
        NotMeasured: it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise NotMeasured("torch is not installed", hint="pip install 'fidelity-gate[torch]'") from error
