"""What every test shares: one thread, and the folder of real data beside the project."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Before numpy or torch are imported: their thread pools read it once.
os.environ["OMP_NUM_THREADS"] = "1"

pytest_plugins = ("pytester",)

_BESIDE_THE_PROJECT = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with real data sets and checkpoints; skip where it is absent."""
    folder = Path(os.environ.get("FIDELITY_GATE_SHARED") or _BESIDE_THE_PROJECT)
    if not folder.is_dir():
        pytest.skip(f"{folder.name}/ is not beside the project (set FIDELITY_GATE_SHARED)")
    return folder


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Pin torch to one thread, without importing it for tests that do not."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
