"""Libraries that are imported where they are needed: one that is not there, and one that is broken."""

from __future__ import annotations

import sys

import pytest

from fidelity_gate import heavy
from fidelity_gate.errors import NotMeasured

LIBRARIES = {
    "torch": heavy.torch_module,
    "onnxruntime": heavy.onnxruntime_module,
    "bitsandbytes": heavy.bitsandbytes_module,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_not_there_is_said_to_be_missing(monkeypatch, library) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(NotMeasured, match=rf"^{library} is not installed \(pip install "):
        LIBRARIES[library]()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_does_not_load_is_not_said_to_be_missing(monkeypatch, tmp_path, library) -> None:
    """As where a file of the working folder is called like a module that the library imports."""
    (tmp_path / f"{library}.py").write_text("from timeit import of_somebody_else\n")
    monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NotMeasured, match=rf"^{library} is there and cannot be imported: .*of_somebody_else"):
        LIBRARIES[library]()
