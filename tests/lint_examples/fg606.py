"""Examples of FG606: labels that the tensors contradict."""

import dataclasses

from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import Depth
from tests.graph_texts import graph
from tests.lint_made import save_artifact, subject
from tests.step_graphs import static_product, step

UNIT = {
    "fidelity_gate.unit": "h-cycle",
    "fidelity_gate.h_cycles": "3",
    "fidelity_gate.l_cycles": "2",
    "fidelity_gate.steps": "8",
}
ACT_STEP = {**UNIT, "fidelity_gate.unit": "act-step"}
TRM = Trm(hidden_size=32, vocab_size=8, num_heads=2, layers=1, seq_len=8)


def _int8(folder, **kw):
    nodes, constants = static_product()
    return step(folder, product=nodes, constants=constants, **kw)


def failing(folder):
    return graph(folder, metadata={"acme.precision": "int8"})


def passing(folder):
    return graph(folder, metadata={"acme.precision": "float32"})


def passing_as_int8(folder):
    return _int8(folder, metadata={"acme.precision": "int8", "acme.quantized": "true", "weight_bits": "8"})


def failing_as_int4(folder):
    return _int8(folder, metadata={"recipe": "int4-naive"})


def failing_as_float32(folder):
    return _int8(folder, metadata={"dtype": "float32"})


def failing_as_not_quantized(folder):
    return _int8(folder, metadata={"quantized": "false"})


def failing_as_quantized(folder):
    return graph(folder, metadata={"quantized": "yes"})


def passing_with_words_of_no_width(folder):
    return graph(folder, metadata={"recipe": "distilled", "author": "int8 people", "dtype": "mixed"})


def _artifact(folder, recipe, said):
    opened = subject(save_artifact(folder, "model", TRM, recipe=recipe))
    return dataclasses.replace(opened, facts=dataclasses.replace(opened.facts, recipe=said))


def failing_with_the_recipe_of_another_artifact(folder):
    return _artifact(folder, "int8", "int4-naive,embeddings=float32,heads=float32")


def passing_with_its_own_recipe(folder):
    return subject(save_artifact(folder, "model", TRM, recipe="int4-naive"))


def failing_with_other_cycles_than_the_policy(folder):
    return graph(folder, metadata=UNIT, depth=Depth(3, 4, 8))


def passing_where_the_host_turns_less_often(folder):
    return graph(folder, metadata=UNIT, depth=Depth(1, 2, 4))


def failing_where_the_host_cannot_turn_less_often(folder):
    return graph(folder, metadata=ACT_STEP, depth=Depth(1, 2, 4))


def passing_at_its_own_depth(folder):
    return graph(folder, metadata=ACT_STEP, depth=Depth(3, 2, 8))
