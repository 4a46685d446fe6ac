"""Exported step graphs: small, clean, the same every time, and the same model as in torch."""

import onnx
import pytest

from tests.exported import MODELS, exported


@pytest.mark.parametrize("name", MODELS)
def test_every_zoo_model_becomes_a_valid_step_graph(name):
    model = onnx.load(exported(name))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["z_H_out", "z_L_out", "logits", "q_halt"]
