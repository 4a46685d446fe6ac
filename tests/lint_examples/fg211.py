"""Examples of FG211: integers in a data file beside the graph, and within it."""

import onnx
from onnx import TensorProto

from tests.lint_made import subject
from tests.step_graphs import static_product, step


def _moved(folder, *names):
    """Return the step with some of its constants in a file beside it."""
    nodes, constants = static_product()
    path = step(folder, product=nodes, constants=constants).facts.path
    model = onnx.load(path)
    for item in model.graph.initializer:
        if item.name in names:
            onnx.external_data_helper.set_external_data(item, "step.data")
            item.data_location = TensorProto.EXTERNAL
    onnx.save(model, path)
    return subject(folder / "step.onnx")


def failing(folder):
    return _moved(folder, "w_q")


def failing_with_its_scales(folder):
    return _moved(folder, "w_q", "scale", "zero")


def passing(folder):
    return _moved(folder)


def passing_float(folder):
    """Float weights have no scales."""
    made = step(folder)
    onnx.save(onnx.load(made.facts.path), folder / "step.onnx", save_as_external_data=True, size_threshold=0)
    return subject(folder / "step.onnx")
