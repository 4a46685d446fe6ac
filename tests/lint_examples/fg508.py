"""Examples of FG508: one ACT step against two in one graph."""

from onnx import helper

from fidelity_gate.records import Depth
from tests.step_graphs import step

DEPTH = Depth(2, 2, 8)  # an ACT step applies a weight at most six times


def _chained(folder, calls, depth):
    names = ["mixed", *(f"x{call}" for call in range(1, calls)), "moved"]
    nodes = [helper.make_node("MatMul", [names[call], "w"], [names[call + 1]]) for call in range(calls)]
    return step(folder, product=nodes, depth=depth)


def failing(folder):
    return _chained(folder, 12, DEPTH)


def failing_through_transposes(folder):
    nodes = [helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0])]
    names = ["mixed", *(f"x{call}" for call in range(1, 12)), "moved"]
    nodes += [helper.make_node("MatMul", [names[call], "turned"], [names[call + 1]]) for call in range(12)]
    return step(folder, product=nodes, depth=DEPTH)


def failing_unknown_depth(folder):
    return _chained(folder, 48, None)


def passing(folder):
    return _chained(folder, 6, DEPTH)


def passing_unknown_depth(folder):
    return _chained(folder, 12, None)
