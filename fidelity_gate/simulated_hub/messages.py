"""The client's own protobuf messages, imported when a hub starts; and what marks an answer as simulated."""

from __future__ import annotations

import importlib
import time
from typing import Any

from fidelity_gate import __version__
from fidelity_gate.devices.qai_hub_errors import INSTALL, without_client
from fidelity_gate.errors import UsageError

SIMULATED = f"simulated by fidelity-gate {__version__}"
TYPE = "application/x-protobuf"  # exactly: the client compares it as text


def messages() -> Any:  # noqa: ANN401  (a protobuf module; annotating it would import it)
    """Return qai_hub.public_api_pb2.

    Raises:
        UsageError: qai-hub is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module("qai_hub.public_api_pb2")
    except Exception as error:  # (not ImportError alone: protobuf raises TypeErrors and errors of its own)
        raise UsageError(without_client(error), hint=INSTALL) from error


def stamp(field: Any, seconds: float) -> None:  # noqa: ANN401
    """Write a moment, in seconds since 1970, into a Timestamp field."""
    field.seconds, field.nanos = int(seconds), int(seconds % 1 * 1e9)


def now() -> float:
    """Return the moment, in seconds since 1970."""
    return time.time()
