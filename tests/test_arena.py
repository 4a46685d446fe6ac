"""The activation arena: who is alive when, who may share a buffer, and how close the plan comes to what is possible."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from fidelity_gate.analysis.arena import arena_of, plan
from fidelity_gate.analysis.footprint import paper_footprint
from fidelity_gate.analysis.lifetimes import Lifetime, lifetimes
from fidelity_gate.analysis.placement import (
    ALIGNMENT,
    CLOSE,
    MOST_PLACEMENTS,
    ORDERS,
    aligned,
    alive_bytes,
    best_layout,
    layout_of,
)
from fidelity_gate.errors import NotMeasured
from fidelity_gate.measuring.arenas import planned
from fidelity_gate.metrics.files import SramPeak
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import (
    Depth,
    Geometry,
    GraphConstant,
    GraphNode,
    GraphValue,
    ModelRecord,
    ModelSpec,
    StatePair,
    StepGraph,
)
from fidelity_gate.zoo.catalog import entry
from tests.exported import MODELS, exported
from tests.lint_made import save_onnx, value

ROOT = Path(__file__).parent.parent
FAR = 1.05  # the most an arena may take of what is alive at once, on the graphs that models consist of


def step_graph(nodes, values, inputs, outputs, *, constants=(), states=()) -> StepGraph:
    """Return a graph of `(op, inputs, outputs)` nodes; values are name -> shape, or name -> (dtype, shape)."""
    known = {name: GraphValue(name, *(told if isinstance(told[0:1][0], str) else ("float32", told)))
             for name, told in values.items()}  # fmt: skip
    return StepGraph(
        nodes=tuple(
            GraphNode(place, f"{op}_{place}", op, "", tuple(read), tuple(made), {})
            for place, (op, read, made) in enumerate(nodes)
        ),
        inputs=tuple(known[name] for name in inputs),
        outputs=tuple(known[name] for name in outputs),
        constants={name: GraphConstant(name, "float32", (4,), 16, "") for name in constants},
        values=known,
        opsets={"": 18},
        states=tuple(StatePair(*pair) for pair in states),
    )


def buffer_of(graph, name, **options):
    found = lifetimes(graph, **options)
    (buffer,) = [one for one in found.buffers if name in (one.name, *one.others)]
    return buffer


# ---------------------------------------------------------------- who is alive when


def test_both_sides_of_a_carry_live_across_the_step():
    graph = step_graph(
        [("MatMul", ["z", "w"], ["a"]), ("MatMul", ["a", "w"], ["b"]), ("MatMul", ["b", "w"], ["z_out"])],
        {"z": (4, 4), "a": (4, 4), "b": (4, 4), "z_out": (4, 4)},
        ["z"],
        ["z_out"],
        constants=["w"],
        states=[("z", "z_out")],
    )
    old, new = buffer_of(graph, "z"), buffer_of(graph, "z_out")
    assert (old.first, old.last) == (-1, 3)  # nothing reads it after the first node; the host may
    assert (new.first, new.last) == (2, 3)
    assert plan(graph).state_bytes == 2 * 64
    assert plan(graph).lower_bound == 3 * 64  # at either MatMul: the old carry, what it reads, what it makes


def test_an_input_that_is_no_state_is_given_up_after_its_last_reader():
    graph = step_graph(
        [("MatMul", ["x", "w"], ["a"]), ("MatMul", ["a", "w"], ["y"])],
        {"x": (4, 4), "a": (4, 4), "y": (4, 4)},
        ["x"],
        ["y"],
        constants=["w"],
    )
    assert buffer_of(graph, "x").last == 0
    assert buffer_of(graph, "y").last == 2
    assert plan(graph).arena_bytes == 2 * 64


def test_an_input_that_nothing_reads_still_takes_its_room_before_the_first_operator():
    graph = step_graph([("Relu", ["x"], ["y"])], {"x": (4,), "y": (4,), "unused": (1000,)}, ["x", "unused"], ["y"])
    found = plan(graph)
    assert found.lower_bound == 4000 + 16
    assert found.peak_node == ""


def test_weights_are_not_in_the_arena():
    nodes = [("Gemm", ["x", "w", "b"], ["y"])]
    graph = step_graph(nodes, {"x": (1, 4), "y": (1, 4)}, ["x"], ["y"], constants=["w", "b"])
    assert plan(graph).arena_bytes == 32


def test_what_is_computed_from_constants_alone_is_a_constant():
    graph = step_graph(
        [("Transpose", ["w"], ["w_t"]), ("MatMul", ["x", "w_t"], ["y"])],
        {"x": (4, 4), "w_t": (4000, 4), "y": (4, 4)},
        ["x"],
        ["y"],
        constants=["w"],
    )
    assert (plan(graph).arena_bytes, plan(graph).folded) == (128, 1)


def test_a_size_is_a_constant_where_it_is_known_and_so_is_what_is_computed_from_it():
    graph = step_graph(
        [("Shape", ["x"], ["s"]), ("Gather", ["s", "i"], ["n"]), ("Reshape", ["x", "n"], ["y"]), ("Exp", ["y"], ["z"])],
        {"x": (4, 4), "y": (16,), "z": (16,)},
        ["x"],
        ["z"],
        constants=["i"],
    )
    assert plan(graph).folded == 2
    assert plan(graph).arena_bytes == 128  # x is an input: y may lie in it, z may not


def test_random_values_are_drawn_anew_and_never_folded():
    nodes = [("RandomNormalLike", ["w"], ["r"]), ("Add", ["x", "r"], ["y"])]
    graph = step_graph(nodes, {"x": (4,), "r": (4,), "y": (4,)}, ["x"], ["y"], constants=["w"])
    assert plan(graph).folded == 0
    assert plan(graph).buffers == 2  # y is written over r


def test_a_value_that_nothing_reads_is_alive_where_it_is_made():
    graph = step_graph(
        [("Split", ["x"], ["a", "b"]), ("Relu", ["a"], ["y"])],
        {"x": (8,), "a": (4,), "b": (4,), "y": (4,)},
        ["x"],
        ["y"],
    )
    unread = buffer_of(graph, "b")
    assert (unread.first, unread.last) == (0, 0)


# ---------------------------------------------------------------- who may share a buffer


def unary(op="Relu", *, reads_again=False, dtypes=("float32", "float32"), sizes=(4, 4)):
    """Return MatMul -> `op` -> MatMul, and whether the operator in the middle was put in place."""
    nodes = [("MatMul", ["x", "w"], ["a"]), (op, ["a"], ["b"]), ("MatMul", ["b", "w"], ["y"])]
    if reads_again:
        nodes.append(("Add", ["y", "a"], ["z"]))
    values = {"x": (4,), "a": (dtypes[0], (sizes[0],)), "b": (dtypes[1], (sizes[1],)), "y": (4,), "z": (4,)}
    return plan(step_graph(nodes, values, ["x"], [nodes[-1][2][0]], constants=["w"]))


def test_an_elementwise_operator_writes_over_an_input_that_dies_there():
    assert unary().in_place == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"op": "Transpose"},  # reads other places than it writes
        {"op": "Softmax"},  # a value depends on its whole row
        {"dtypes": ("float32", "int32")},
        {"dtypes": ("float32", "float16"), "sizes": (4, 8)},
        {"sizes": (1, 4)},
    ],
)
def test_nothing_else_is_written_in_place(changed):
    assert unary(**changed).in_place == 0


def test_an_input_that_is_read_later_is_not_written_over():
    found = unary(reads_again=True)
    assert found.in_place == 1  # the Add at the end writes over y, the operator in the middle over nothing
    assert found.lower_bound == 3 * 16


def test_a_graph_input_is_never_written_over():
    graph = step_graph([("Relu", ["x"], ["y"])], {"x": (4,), "y": (4,)}, ["x"], ["y"])
    assert (plan(graph).in_place, plan(graph).arena_bytes) == (0, 32)


def test_a_graph_output_is_never_written_over():
    nodes = [("MatMul", ["x", "w"], ["y"]), ("Relu", ["y"], ["z"])]
    values = {"x": (4,), "y": (4,), "z": (4,)}
    assert plan(step_graph(nodes, values, ["x"], ["y", "z"], constants=["w"])).in_place == 0
    assert plan(step_graph(nodes, values, ["x"], ["z"], constants=["w"])).in_place == 1


def test_the_second_input_is_written_over_where_the_first_cannot_be():
    nodes = [("MatMul", ["x", "w"], ["a"]), ("Add", ["x", "a"], ["y"])]
    found = plan(step_graph(nodes, {"x": (4,), "a": (4,), "y": (4,)}, ["x"], ["y"], constants=["w"]))
    assert (found.in_place, found.buffers) == (1, 2)


def test_a_condition_is_not_written_over():
    nodes = [("Greater", ["x", "w"], ["c"]), ("MatMul", ["x", "w"], ["a"]), ("Where", ["c", "x", "a"], ["y"])]
    values = {"x": ("uint8", (4,)), "c": ("bool", (4,)), "a": ("uint8", (4,)), "y": ("uint8", (4,))}
    graph = step_graph(nodes, values, ["x"], ["y"], constants=["w"])
    assert buffer_of(graph, "y").name == "a"


@pytest.mark.parametrize("op", ["Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"])
def test_another_shape_of_the_same_bytes_takes_no_room(op):
    nodes = [("MatMul", ["x", "w"], ["a"]), (op, ["a"], ["b"]), ("MatMul", ["b", "w"], ["y"])]
    graph = step_graph(nodes, {"x": (2, 4), "a": (2, 4), "b": (8,), "y": (2, 4)}, ["x"], ["y"], constants=["w"])
    assert plan(graph).aliases == 1
    assert buffer_of(graph, "a") == buffer_of(graph, "b")
    assert (buffer_of(graph, "a").first, buffer_of(graph, "a").last) == (0, 2)


def test_an_operator_of_another_domain_is_known_by_its_name_alone_and_so_is_given_its_own_buffer():
    graph = step_graph(
        [("MatMul", ["x", "w"], ["a"]), ("Relu", ["a"], ["y"])], {"x": (4,), "a": (4,), "y": (4,)}, ["x"], ["y"],
        constants=["w"],
    )  # fmt: skip
    strange = replace(graph, nodes=(graph.nodes[0], replace(graph.nodes[1], domain="com.example")))
    assert (plan(graph).in_place, plan(strange).in_place) == (1, 0)


def test_two_values_that_the_host_sees_are_two_buffers():
    graph = step_graph([("Identity", ["z"], ["z_out"])], {"z": (4,), "z_out": (4,)}, ["z"], ["z_out"],
                       states=[("z", "z_out")])  # fmt: skip
    assert plan(graph).buffers == 2
    assert plan(graph).aliases == 0


def test_a_shape_of_a_carry_is_not_written_over_either():
    nodes = [("Reshape", ["z"], ["flat"]), ("Relu", ["flat"], ["z_out"])]
    graph = step_graph(nodes, {"z": (2, 2), "flat": (4,), "z_out": (4,)}, ["z"], ["z_out"], states=[("z", "z_out")])
    assert (plan(graph).aliases, plan(graph).in_place, plan(graph).buffers) == (1, 0, 2)


# ---------------------------------------------------------------- how many bytes


@pytest.mark.parametrize(
    ("dtype", "count", "size"),
    [("float32", 5, 20), ("float16", 5, 10), ("bfloat16", 5, 10), ("bool", 5, 5), ("int64", 2, 16), ("int4", 5, 3),
     ("uint4", 4, 2), ("int2", 5, 2), ("float4_e2m1", 3, 2), ("float8_e4m3", 3, 3), ("complex128", 1, 16)],
)  # fmt: skip
def test_elements_below_a_byte_are_packed(dtype, count, size):
    graph = step_graph([], {"x": (dtype, (count,))}, ["x"], [])
    assert buffer_of(graph, "x").size_bytes == size
    assert plan(graph).arena_bytes == aligned(size)


def test_scalars_and_empty_tensors_have_their_own_sizes():
    graph = step_graph([], {"s": ("float32", ()), "e": ("float32", (0, 4))}, ["s", "e"], [])
    assert [one.size_bytes for one in lifetimes(graph).buffers] == [4, 0]
    assert plan(graph).arena_bytes == 16


def test_a_named_dimension_is_given_a_value():
    values = {"x": ("float32", ("batch", "tokens")), "y": ("float32", ("batch", "tokens"))}
    graph = step_graph([("Softmax", ["x"], ["y"])], values, ["x"], ["y"])
    assert plan(graph, {"tokens": 4}).arena_bytes == 32  # a batch is 1 unless it is said
    assert plan(graph, {"tokens": 4, "batch": 8}).arena_bytes == 8 * 32
    assert plan(graph, {"tokens": 4}).dimensions == (("batch", 1), ("tokens", 4))
    with pytest.raises(NotMeasured, match=r"x: has a size that is not known: tokens \(.*tokens=1"):
        plan(graph)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (("float32", None), "no known element type and shape"),
        (("", (4,)), "no known element type and shape"),
        (("float32", (None, 4)), "a size that is not known: unnamed"),
        (("string", (4,)), "elements of type string"),
    ],
)
def test_a_value_of_unknown_size_is_named_and_not_guessed(told, sentence):
    graph = step_graph([("Softmax", ["x"], ["y"])], {"x": (4,), "y": told}, ["x"], ["y"])
    with pytest.raises(NotMeasured, match=sentence) as caught:
        plan(graph)
    assert caught.value.field == "y"


def test_a_value_that_nothing_is_known_of_is_named():
    graph = step_graph([("Softmax", ["x"], ["h"]), ("Relu", ["h"], ["y"])], {"x": (4,), "y": (4,)}, ["x"], ["y"])
    with pytest.raises(NotMeasured, match="h: has no known"):
        plan(graph)


def test_a_loop_is_not_measured():
    graph = step_graph([("Loop", ["x"], ["y"])], {"x": (4,), "y": (4,)}, ["x"], ["y"])
    looping = replace(graph, nodes=(replace(graph.nodes[0], subgraphs=1),))
    with pytest.raises(NotMeasured, match="Loop_0: is a Loop, whose body"):
        plan(looping)


# ---------------------------------------------------------------- how close to what is possible


def some(rng, low, high):
    return int(rng.integers(low, high + 1))


def chain(rng, length):
    values = {f"v{place}": (some(rng, 1, 4000),) for place in range(length + 1)}
    nodes = [("MatMul", [f"v{place}", "w"], [f"v{place + 1}"]) for place in range(length)]
    return step_graph(nodes, values, ["v0"], [f"v{length}"], constants=["w"])


def diamonds(rng, count):
    values, nodes = {"v0": (some(rng, 1, 4000),)}, []
    for place in range(count):
        left, right, last = f"l{place}", f"r{place}", f"v{place + 1}"
        values |= {name: (some(rng, 1, 4000),) for name in (left, right, last)}
        nodes += [
            ("MatMul", [f"v{place}", "w"], [left]),
            ("MatMul", [f"v{place}", "w"], [right]),
            ("Concat", [left, right], [last]),
        ]
    return step_graph(nodes, values, ["v0"], [f"v{count}"], constants=["w"])


def residual_stack(rng, count, *, prefix="v", width=None):
    """Return blocks of x + down(act(up(x))), as transformers have them."""
    width = width or some(rng, 1, 1000)
    values, nodes = {f"{prefix}0": (width,)}, []
    for place in range(count):
        first, last = f"{prefix}{place}", f"{prefix}{place + 1}"
        up, act, down = (f"{kind}{prefix}{place}" for kind in ("up", "act", "down"))
        inner = width * some(rng, 1, 4)
        values |= {up: (inner,), act: (inner,), down: (width,), last: (width,)}
        nodes += [
            ("MatMul", [first, "w"], [up]),
            ("Gelu", [up], [act]),
            ("MatMul", [act, "w"], [down]),
            ("Add", [first, down], [last]),
        ]
    return step_graph(nodes, values, [f"{prefix}0"], [f"{prefix}{count}"], constants=["w"])


def two_states(rng, count):
    """Return two carries updated in turn from one another, as in TRM and HRM."""
    width = some(rng, 1, 1000)
    values, nodes = {"h0": (width,), "l0": (width,), "x": (width,)}, []
    for place in range(count):
        values |= dict.fromkeys((f"a{place}", f"l{place + 1}", f"b{place}", f"h{place + 1}"), (width,))
        values |= {name: (width * some(rng, 1, 4),) for name in (f"u{place}", f"s{place}")}
        nodes += [
            ("Add", [f"h{place}", "x"], [f"a{place}"]),
            ("MatMul", [f"a{place}", "w"], [f"u{place}"]),
            ("Concat", [f"u{place}", f"l{place}"], [f"l{place + 1}"]),
            ("MatMul", [f"l{place + 1}", "w"], [f"s{place}"]),
            ("Softmax", [f"s{place}"], [f"b{place}"]),
            ("Add", [f"b{place}", f"h{place}"], [f"h{place + 1}"]),
        ]
    states = [("h0", f"h{count}"), ("l0", f"l{count}")]
    return step_graph(nodes, values, ["h0", "l0", "x"], [f"h{count}", f"l{count}"], constants=["w"], states=states)


@pytest.mark.parametrize("make", [chain, diamonds, residual_stack, two_states])
@pytest.mark.parametrize("size", [1, 2, 5, 20, 40])
def test_the_plan_is_close_to_what_is_alive_at_once(make, size):
    for seed in range(6):
        found = plan(make(np.random.default_rng([size, seed]), size))
        assert found.lower_bound <= found.arena_bytes <= FAR * found.lower_bound, seed
        assert found.arena_bytes <= found.largest_first_bytes


@pytest.mark.parametrize("unit", ["h-cycle", "act-step"])
@pytest.mark.parametrize("name", MODELS)
def test_the_plan_of_a_zoo_model_is_close_to_what_is_alive_at_once(name, unit):
    opened = open_model(ModelSpec("reference", str(exported(name, unit=unit))))
    found = plan(opened.step_graph())
    assert found.lower_bound <= found.arena_bytes <= FAR * found.lower_bound
    assert found.largest_first_bytes <= FAR * found.lower_bound
    assert found.in_place
    tokens, width = opened.step_graph().values[opened.step_graph().states[0].input].shape[1:]
    assert found.state_bytes == 2 * 2 * tokens * width * 4  # two carries, in and out, float32


# ---------------------------------------------------------------- whatever the graph


@st.composite
def random_graphs(draw):
    """Draw a DAG of up to 25 nodes with any fan-in, fan-out, sizes and states, aliases and elementwise operators."""
    inputs = [f"i{place}" for place in range(draw(st.integers(1, 3)))]
    values = {name: (draw(st.integers(0, 300)),) for name in inputs}
    nodes = []
    for place in range(draw(st.integers(0, 25))):
        op = draw(st.sampled_from(["MatMul", "Add", "Relu", "Reshape", "Split", "Identity", "Transpose"]))
        read = draw(st.lists(st.sampled_from([*values, "w"]), min_size=1, max_size=3))
        made = [f"n{place}_{which}" for which in range(2 if op == "Split" else 1)]
        keeps = op in ("Add", "Relu", "Reshape", "Identity") and read[0] != "w"
        values |= {name: values[read[0]] if keeps else (draw(st.integers(0, 300)),) for name in made}
        nodes.append((op, read, made))
    outputs = draw(st.lists(st.sampled_from(list(values)), min_size=1, max_size=3, unique=True))
    states = [pair for pair in zip(inputs, outputs, strict=False) if pair[0] != pair[1]] if draw(st.booleans()) else []
    return step_graph(nodes, values, inputs, outputs, constants=["w"], states=states)


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_every_value_has_a_buffer_and_is_alive_when_it_is_read(graph):
    found = lifetimes(graph)
    names = [name for one in found.buffers for name in (one.name, *one.others)]
    assert len(names) == len(set(names))
    where = {name: one for one in found.buffers for name in (one.name, *one.others)}
    folded = set(graph.constants)
    for moment, node in enumerate(graph.nodes):
        if node.outputs[0] not in where:
            assert all(name in folded for name in node.inputs)
            folded.update(node.outputs)
            continue
        for name in {*node.inputs, *node.outputs} - folded:
            assert where[name].first <= moment <= where[name].last
            assert where[name].size_bytes == 4 * graph.values[name].shape[0]
    for output in graph.outputs:
        assert where[output.name].last == len(graph.nodes)
    for pair in graph.states:
        assert (where[pair.input].first, where[pair.input].last) == (-1, len(graph.nodes))


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_no_operator_writes_over_what_is_still_needed(graph):
    """Runs the graph with names for values: what a node or the host reads must be what was written there."""
    where = {name: place for place, one in enumerate(lifetimes(graph).buffers) for name in (one.name, *one.others)}
    held = {where[value.name]: value.name for value in graph.inputs}
    origin = {value.name: value.name for value in graph.inputs}  # of an alias: the value whose bytes it is
    for node in graph.nodes:
        assert all(held[where[name]] == origin[name] for name in node.inputs if name in where)
        for name in node.outputs:
            aliased = node.op in ("Reshape", "Identity") and where.get(node.inputs[0], -1) == where.get(name)
            origin[name] = origin[node.inputs[0]] if aliased else name
            held |= {where[name]: origin[name]} if name in where else {}
    seen = [value.name for value in graph.outputs] + [pair.input for pair in graph.states]
    assert all(held[where[name]] == origin[name] for name in seen)


buffers = st.lists(
    st.builds(
        lambda size, first, length: Lifetime("b", size, first, first + length),
        st.integers(0, 500), st.integers(-1, 12), st.integers(0, 6),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(buffers, st.sampled_from(sorted(ORDERS)))
def test_no_two_buffers_that_are_alive_at_once_overlap(found, order):
    layout = layout_of(found, order)
    assert len(layout.offsets) == len(found)
    assert all(offset >= 0 and offset % ALIGNMENT == 0 for offset in layout.offsets)
    ends = [offset + aligned(one.size_bytes) for one, offset in zip(found, layout.offsets, strict=True)]
    assert layout.arena_bytes == max(ends, default=0)
    for left, right in combinations(range(len(found)), 2):
        if found[left].first <= found[right].last and found[right].first <= found[left].last:
            assert ends[left] <= layout.offsets[right] or ends[right] <= layout.offsets[left]


@settings(max_examples=100, deadline=None)
@given(random_graphs())
def test_an_arena_is_never_below_what_is_alive_at_once_and_always_the_same(graph):
    found = plan(graph)
    assert found == plan(graph)
    assert found.arena_bytes >= found.lower_bound
    assert found.lower_bound == max(
        alive_at(lifetimes(graph).buffers, moment) for moment in range(-1, len(graph.nodes) + 1)
    )
    assert found.largest_first_bytes >= found.arena_bytes
    assert found.separate_bytes >= found.lower_bound


def alive_at(found, moment):
    return sum(aligned(one.size_bytes) for one in found if one.first <= moment <= one.last)


@settings(max_examples=100, deadline=None)
@given(buffers)
def test_the_kept_plan_is_as_small_as_that_of_any_order(found):
    alive = alive_bytes(found, 20)
    assert alive.tolist() == [alive_at(found, moment) for moment in range(-1, 21)]
    kept = best_layout(found, int(alive.max())).arena_bytes
    smallest = min(layout_of(found, order).arena_bytes for order in ORDERS)
    assert alive.max() <= kept <= max(smallest, CLOSE * alive.max())


# The arena's head, as the interpreter of tflite-micro 0.dev20261023 reports it for random graphs of fully connected,
# add, logistic, concatenation and reshape operators, and the bytes and life of every tensor of those graphs.
TFLITE_MICRO = [
    (416, [(40, -1, 5), (40, 0, 6), (96, 1, 7), (40, 2, 8), (40, 3, 3), (112, 4, 10), (40, 5, 6), (40, 6, 12),
           (96, 7, 7), (40, 8, 9), (40, 9, 11), (112, 10, 10), (40, 11, 11), (40, 12, 13)]),
    (720, [(144, -1, 5), (144, 0, 3), (144, 1, 2), (144, 2, 2), (144, 3, 4), (288, 4, 6), (148, 5, 5), (56, 6, 7),
           (56, 7, 8)]),
    (384, [(20, -1, 1), (124, 0, 0), (16, 1, 5), (80, 2, 8), (76, 3, 3), (228, 4, 4), (8, 5, 10), (80, 6, 6),
           (8, 7, 12), (80, 8, 11), (8, 9, 14), (104, 10, 10), (80, 11, 14), (116, 12, 12), (80, 13, 13),
           (88, 14, 15)]),
    (992, [(104, -1, 3), (104, 0, 6), (164, 1, 14), (104, 2, 8), (104, 3, 9), (104, 4, 4), (156, 5, 10), (4, 6, 11),
           (104, 7, 9), (104, 8, 12), (208, 9, 13), (160, 10, 10), (4, 11, 11), (92, 12, 12), (208, 13, 14)]),
]  # fmt: skip


@pytest.mark.parametrize(("head", "told"), TFLITE_MICRO)
def test_the_first_order_comes_to_what_tflite_micro_itself_allocates(head, told):
    found = [Lifetime(f"tensor {place}", *one) for place, one in enumerate(told)]
    bound = int(alive_bytes(found, 20).max())
    assert layout_of(found).arena_bytes == head
    assert bound < head  # where every order comes to the same, nothing is shown
    assert bound <= best_layout(found, bound).arena_bytes <= FAR * bound


def test_without_sharing_every_value_has_a_buffer_of_its_own():
    nodes = [("MatMul", ["x", "w"], ["a"]), ("Reshape", ["a", "w"], ["b"]), ("Relu", ["b"], ["y"])]
    graph = step_graph(nodes, {"x": (4,), "a": (4,), "b": (4,), "y": (4,)}, ["x"], ["y"], constants=["w"])
    assert len(lifetimes(graph).buffers) == 2
    assert len(lifetimes(graph, sharing=False).buffers) == 4


def test_the_largest_buffer_comes_first_and_of_equals_the_one_made_last():
    found = [Lifetime("a", 16, 0, 5), Lifetime("b", 32, 0, 5), Lifetime("c", 16, 0, 5)]
    assert layout_of(found, "size").offsets == (48, 0, 32)


def test_a_buffer_takes_the_lowest_gap_it_fits_into():
    found = [Lifetime("a", 64, 0, 1), Lifetime("b", 48, 0, 9), Lifetime("c", 32, 5, 9), Lifetime("d", 32, 5, 9)]
    assert layout_of(found, "size").offsets == (0, 64, 32, 0)


def test_a_large_graph_is_planned_in_the_first_order_alone():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 500, MOST_PLACEMENTS // 2 + 1)
    found = [Lifetime("b", int(size), int(at), int(at)) for size, at in zip(first % 97 * 16 + 16, first, strict=True)]
    bound = int(alive_bytes(found, 500).max())
    assert best_layout(found, bound // 2).order == "size"  # no plan is close to that


# ---------------------------------------------------------------- as a metric


def record_of(path):
    opened = open_model(ModelSpec("candidate", str(path)))
    (record,) = planned((opened,), (ModelRecord("candidate", opened.facts, Depth()),))
    return record


def test_the_arena_is_a_scenario_of_the_sram_peak():
    record = record_of(exported("trm-addition"))
    whole, apart = (SramPeak(scenario).measure(record, record) for scenario in ("arena", "arena_apart"))
    assert whole.values == (float(record.arena.arena_bytes),)
    assert apart.values == (float(record.arena.separate_bytes),)
    assert record.arena.peak_node in whole.detail
    assert f"reference {record.arena.arena_bytes:,} bytes" in whole.detail


def test_the_detail_says_which_batch_it_means():
    record = record_of(exported("trm-addition", batch=None))
    assert "batch = 1" in SramPeak("arena").measure(record, record).detail


def test_a_checkpoint_has_no_arena():
    record = record_of(entry("trm-addition").weights)
    with pytest.raises(NotMeasured, match="no step graph"):
        SramPeak("arena").measure(record, record)


def test_an_arena_that_is_not_known_says_of_which_value(tmp_path):
    nodes = [helper.make_node("NonZero", ["x"], ["places"]), helper.make_node("Cast", ["places"], ["y"], to=1)]
    path = save_onnx(tmp_path, "open", nodes, [value("x", [4, 4])], [value("y", [2, "found"])], checked=False)
    record = record_of(path)
    with pytest.raises(NotMeasured, match="places has a size that is not known"):
        SramPeak("arena").measure(record, record)


def reshaping(folder):
    """Write a graph whose batch is open, and whose inner shapes follow only once it is known."""
    shapes = {"split": np.array([-1, 2, 4], np.int64), "joined": np.array([-1, 8], np.int64)}
    nodes = [
        helper.make_node("Exp", ["x"], ["h"]),
        helper.make_node("Reshape", ["h", "split"], ["parts"]),
        helper.make_node("Softmax", ["parts"], ["shares"]),
        helper.make_node("Reshape", ["shares", "joined"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["y"]),
    ]
    ends = [value("x", ["batch", 8])], [value("y", ["batch", 8])]
    return save_onnx(folder, "reshaping", nodes, *ends, shapes, checked=False)


def test_shapes_are_worked_out_again_once_the_batch_is_known(tmp_path):
    opened = open_model(ModelSpec("candidate", str(reshaping(tmp_path))))
    assert not opened.step_graph().values["parts"].static
    assert opened.step_graph({"batch": 3}).values["parts"].shape == (3, 2, 4)
    assert opened.step_graph({"batch": 3}).inputs[0].shape == (3, 8)
    one, three = arena_of(opened), arena_of(opened, {"batch": 3})
    assert (one.arena_bytes, three.arena_bytes) == (96, 288)  # x is a state: it is kept while two others live
    assert (one.dimensions, three.dimensions) == ((("batch", 1),), (("batch", 3),))


@pytest.mark.parametrize("unit", ["h-cycle", "act-step"])
@pytest.mark.parametrize("name", MODELS)
def test_the_page_on_footprints_prints_what_is_planned(name, unit):
    found = record_of(exported(name, unit=unit)).arena
    geometry = open_model(ModelSpec("reference", str(entry(name).weights))).facts.geometry
    cells = geometry.tokens * geometry.width
    bare = Geometry(geometry.tokens, geometry.width, layers=0, layer_values=0, streams=geometry.streams)
    formula = paper_footprint(bare, 4.0).streaming
    assert formula == cells * (4 * geometry.streams + 24)
    figures = (found.arena_bytes, found.lower_bound, found.separate_bytes, found.state_bytes, formula)
    row = " | ".join([f"| {name}", unit, *(f"{figure:,}" for figure in figures)]) + " |"
    assert row in (ROOT / "docs" / "footprint.md").read_text(encoding="utf-8")
