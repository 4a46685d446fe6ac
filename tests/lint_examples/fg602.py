"""Examples of FG602: operators that only a library knows."""

from tests.graph_texts import graph


def failing(folder):
    body = "mixed = Add(h, x) moved = acme.ops.FastMatMul(mixed, w) h_out = Add(h, moved)"
    return graph(folder, body, domains=("acme.ops",), checked=False)


def passing(folder):
    body = "mixed = Add(h, x) moved = com.microsoft.FusedMatMul(mixed, w) h_out = Add(h, moved)"
    return graph(folder, body, domains=("com.microsoft",), checked=False)


def passing_with_a_domain_that_nothing_uses(folder):
    return graph(folder, domains=("acme.ops",))


def failing_as_a_compiled_model(folder):
    body = 'h_out = com.microsoft.EPContext<ep_cache_context="bytes">(h, x)'
    return graph(folder, body, domains=("com.microsoft",), checked=False)
