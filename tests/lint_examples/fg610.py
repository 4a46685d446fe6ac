"""Examples of FG610: opsets before and from 13 on."""

from tests.graph_texts import graph


def failing(folder):
    return graph(folder, opset=12)


def passing(folder):
    return graph(folder, opset=13)
