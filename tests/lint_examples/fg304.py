"""Examples of FG304: states that the next step cannot take."""

from fidelity_gate.records import Depth
from tests.graph_texts import STEP, graph

TWO = "(float[1,4,8] a, float[1,4,8] b, float[1,4,8] x) => (float[1,4,8] a_out, float[1,4,8] b_out)"
TWO_BODY = "m = MatMul(b, w) a_out = Add(a, m) n = Add(a_out, x) b_out = Add(b, n)"


def failing(folder):
    """The state grows by a token a step."""
    body = "mixed = Add(h, x) moved = MatMul(mixed, w) h_out = Concat<axis=1>(h, moved)"
    return graph(folder, body, "(float[1,4,8] h, float[1,4,8] x) => (float[1,8,8] h_out)")


def passing(folder):
    return graph(folder)


def passing_with_open_sizes(folder):
    return graph(folder, STEP, "(float[n,4,8] h, float[n,4,8] x) => (float[m,4,8] h_out)", checked=False)


def failing_of_another_type(folder):
    body = "mixed = Add(h, x) moved = MatMul(mixed, w) sum = Add(h, moved) h_out = Cast<to=10>(sum)"
    return graph(folder, body, "(float[1,4,8] h, float[1,4,8] x) => (float16[1,4,8] h_out)")


def failing_with_two_outputs_for_one_state(folder):
    signature = "(float[1,4,8] h, float[1,4,8] x) => (float[1,4,8] h_out, float[1,4,8] h_next)"
    return graph(folder, "h_out = Add(h, x) h_next = MatMul(h_out, w)", signature)


def failing_with_a_state_less_than_its_reference(folder):
    """b is computed as before, and handed out no more."""
    signature = TWO.replace(", float[1,4,8] b_out)", ")")
    body = TWO_BODY.rpartition(" b_out")[0]
    return graph(folder, body, signature, reference=graph(folder, TWO_BODY, TWO, name="reference"))


def passing_with_the_states_of_its_reference(folder):
    return graph(folder, TWO_BODY, TWO, reference=graph(folder, TWO_BODY, TWO, name="reference"))


def _no_state(folder, **kw):
    return graph(folder, "logits = MatMul(x, w)", "(float[1,4,8] x) => (float[1,4,8] logits)", **kw)


def failing_without_any_state_at_a_depth(folder):
    return _no_state(folder, depth=Depth(2, 2, 8))


def passing_where_nobody_says_that_it_is_a_step(folder):
    return _no_state(folder)
