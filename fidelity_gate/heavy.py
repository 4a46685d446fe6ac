"""Imports torch, onnxruntime and bitsandbytes where they are really needed, and says what to install."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = "pip install 'fidelity-gate[torch]'"
ONNX_HINT = "pip install onnxruntime"


def torch_module() -> Any:  # noqa: ANN401  (the library; annotating it would import it)
    """Return torch.

    Raises:
        NotMeasured: it is not installed, or does not load.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise _missing("torch", error, HINT) from error


def onnxruntime_module(where: str = "") -> Any:  # noqa: ANN401  (the library)
    """Return onnxruntime.

    Raises:
        NotMeasured: it is not installed, or does not load.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise _missing("onnxruntime", error, ONNX_HINT, where) from error


def bitsandbytes_module(where: str = "") -> Any:  # noqa: ANN401  (the library)
    """Return bitsandbytes, imported without its chatter and without leave to download code.

    Raises:
        NotMeasured: it is not installed, or does not load.
    """
    # Odd widths go through torch.compile, which takes seconds, or a compiler that is not there.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at every product in fp16
    if sys.modules.get("bitsandbytes") is not None:
        return sys.modules["bitsandbytes"]
    silence = io.StringIO()
    try:
        with _without_kernels(), contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise _missing("bitsandbytes", error, HINT, where) from error


def _missing(library: str, error: ImportError, hint: str, where: str = "") -> NotMeasured:
    """Return what keeps a library from being used: it is not there, or a file of the same name as a part of it is."""
    if isinstance(error, ModuleNotFoundError) and error.name == library:
        return NotMeasured(f"{library} is not installed", where=where, hint=hint)
    return NotMeasured(f"{library} is there and cannot be imported: {error}", where=where, hint="mend what it names")


@contextlib.contextmanager
def _without_kernels() -> Iterator[None]:
    """Hide the package `kernels`, with which bitsandbytes would fetch code from the network when it is imported."""
    before = {name: module for name, module in sys.modules.items() if name == "kernels"}
    sys.modules["kernels"] = None  # type: ignore[assignment]  # Python's own way of saying "there is none"
    try:
        yield
    finally:
        del sys.modules["kernels"]
        sys.modules.update(before)
