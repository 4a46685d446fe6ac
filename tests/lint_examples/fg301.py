"""Examples of FG301: rounding on the carry's own path against rounding in front of a product."""

from tests.graph_texts import graph, rounded


def failing(folder):
    """The pair stands in front of both readers, as onnxruntime's quantize_static writes it."""
    return graph(folder, f"{rounded('h', 'd')} moved = MatMul(d, w) added = Add(d, x) h_out = Add(added, moved)")


def passing(folder):
    """The same pair feeds the product only; the sum reads the state itself."""
    return graph(folder, f"{rounded('h', 'd')} moved = MatMul(d, w) added = Add(h, x) h_out = Add(added, moved)")


def failing_on_what_is_added(folder):
    return graph(folder, f"mixed = Add(h, x) m = MatMul(mixed, w) {rounded('m', 'd')} h_out = Add(h, d)")


def failing_at_the_output(folder):
    return graph(folder, f"mixed = Add(h, x) m = MatMul(mixed, w) sum = Add(h, m) {rounded('sum', 'h_out')}")


def failing_without_a_residual(folder):
    return graph(folder, f"mixed = Add(h, x) m = MatMul(mixed, w) t = Tanh(m) {rounded('t', 'h_out')}")


def passing_with_16_bits(folder):
    return graph(folder, f"mixed = Add(h, x) m = MatMul(mixed, w) sum = Add(h, m) {rounded('sum', 'h_out', '16')}")


def passing_with_quantized_weights(folder):
    """The pair rounds a weight, whose values no input reaches."""
    return graph(folder, f"{rounded('w', 'd')} mixed = Add(h, x) m = MatMul(mixed, d) h_out = Add(h, m)")


def passing_with_rounded_logits(folder):
    signature = "(float[1,4,8] h, float[1,4,8] x) => (float[1,4,8] h_out, float[1,4,8] logits)"
    body = f"mixed = Add(h, x) m = MatMul(mixed, w) h_out = Add(h, m) {rounded('h_out', 'logits')}"
    return graph(folder, body, signature)
