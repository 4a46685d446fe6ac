"""Examples of FG302: a carry in float16 where float32 is stated."""

import numpy as np

from tests.graph_texts import FLOAT, STEP, graph

HALF = "(float16[1,4,8] h, float16[1,4,8] x) => (float16[1,4,8] h_out)"
STATED = {"fidelity_gate.initial.h": '{"dtype":"float32","shape":[8],"base64":"AAAAAA=="}'}


def _half(folder, name="half", **kw):
    return graph(folder, STEP, HALF, name=name, constants={"w": FLOAT.astype(np.float16)}, **kw)


def failing(folder):
    return _half(folder, reference=graph(folder, name="reference"))


def passing(folder):
    """Float16 inside, float32 from step to step."""
    body = "k = Cast<to=10>(h) y = Cast<to=10>(x) m = MatMul(k, w) a = Add(m, y) c = Cast<to=1>(a) h_out = Add(h, c)"
    return graph(folder, body, constants={"w": FLOAT.astype(np.float16)}, reference=graph(folder, name="reference"))


def failing_by_its_own_metadata(folder):
    return _half(folder, metadata=STATED)


def passing_like_its_reference(folder):
    return _half(folder, reference=_half(folder, "reference"))


def passing_where_nothing_is_stated(folder):
    return _half(folder)
