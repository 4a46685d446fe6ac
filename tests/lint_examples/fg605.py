"""Examples of FG605: files at and beyond what onnxruntime reads."""

from tests.graph_texts import graph


def failing(folder):
    return graph(folder, opset=27, checked=False)


def passing(folder):
    return graph(folder, opset=26, ir_version=13, checked=False)


def failing_with_a_newer_file_format(folder):
    return graph(folder, ir_version=14, checked=False)
