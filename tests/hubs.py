"""A simulated AI Hub for a test, and the unmodified client led to it, with waits short enough for tests.

    from tests.hubs import client_ini, hub  # noqa: F401  (fixtures)

    def test_it(hub, client_ini):
        hub.faults.add("rate-limited:1")
        ...

`hub` is a fresh server a test; `client_ini` sets QAIHUB_CLIENT_INI and makes the client retry at once and poll often.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from fidelity_gate.simulated_hub import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_SECONDS = 0.0625  # exact in binary: the client adds it up and looks for multiples
LOOPBACK = "127.0.0.1,localhost"


@pytest.fixture
def hub() -> Iterator[SimulatedHub]:
    """Return a hub that listens."""
    with SimulatedHub() as listening:
        yield listening


@pytest.fixture
def client_ini(hub: SimulatedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lead the client to `hub`, and return its configuration file."""
    path = hub.write_client_ini(tmp_path / "client.ini")
    quicken(monkeypatch)
    lead(monkeypatch, path)
    return path


def lead(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Make the client read this configuration, and go round every proxy and every ~/.netrc."""
    monkeypatch.setenv("QAIHUB_CLIENT_INI", str(path))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, LOOPBACK)
    monkeypatch.setenv("NETRC", str(path.parent / "no.netrc"))
    # Its module functions share one client, which keeps the first configuration that it read.
    hub_module = importlib.import_module("qai_hub.hub")
    monkeypatch.setattr(hub_module._global_client, "_config", None)


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the client poll often and retry at once."""
    session = importlib.import_module("qai_hub.util.session")
    monkeypatch.setattr(session, "MAX_RETRIES", 1)
    monkeypatch.setattr(session, "BACKOFF_FACTOR", 0.001)
    monkeypatch.setattr(importlib.import_module("qai_hub.client").Job, "_polling_interval", POLL_SECONDS)


def tiny_model(folder: Path, *, operator: str = "Relu", rows: int = 4) -> Path:
    """Write a graph of two products with an operator between: `x` (rows, 16) -> `y` (rows, 8)."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights = {name: draw.normal(size=size).astype(np.float32) for name, size in (("v", (16, 32)), ("w", (32, 8)))}
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["h"], "first"),
        helper.make_node(operator, ["h"], ["r"], "between"),
        helper.make_node("MatMul", ["r", "w"], ["y"], "second"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [rows, s]) for n, s in (("x", 16), ("y", 8))]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], constants)
    path = folder / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def tiny_inputs(samples: int, *, rows: int = 4) -> dict[str, list[Any]]:
    """Return inputs for `tiny_model`."""
    import numpy as np

    draw = np.random.default_rng(1)
    return {"x": [draw.normal(size=(rows, 16)).astype(np.float32) for _ in range(samples)]}


def tiny_outputs(model: Path, inputs: dict[str, list[Any]]) -> list[Any]:
    """Return what onnxruntime says of `tiny_model` here."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return [session.run(["y"], {"x": sample})[0] for sample in inputs["x"]]
