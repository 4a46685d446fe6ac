"""Examples of FG609: external data with and without a checksum."""

from tests.graph_texts import graph
from tests.lint_examples.fg601 import model_at, put


def failing(folder):
    put(folder)
    return model_at(folder, checksum=None)


def passing(folder):
    put(folder)
    return model_at(folder)


def passing_with_its_weights_inside(folder):
    return graph(folder)
