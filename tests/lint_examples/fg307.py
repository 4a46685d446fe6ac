"""Examples of FG307: norms that divide by what was rounded."""

from tests.graph_texts import graph, rms_norm, rounded

BEFORE = "mixed = Add(h, x) m = MatMul(mixed, w) sum = Add(h, m) "


def failing(folder):
    """The mean square is rounded together with its epsilon."""
    return graph(folder, BEFORE + rms_norm("sum", "h_out", after_epsilon=rounded("plain_eps", "mean_eps")))


def passing(folder):
    """The mean square is rounded, and its epsilon is added afterwards."""
    body = f"square = Mul(sum, sum) mean = ReduceMean(square, last) {rounded('mean', 'd')} mean_eps = Add(d, eps) "
    return graph(folder, f"{BEFORE} {body} root = Sqrt(mean_eps) h_out = Div(sum, root)")


def failing_with_a_rounded_root(folder):
    return graph(
        folder, BEFORE + rms_norm("sum", "h_out", divisor="d").replace(" h_out", f" {rounded('root', 'd')} h_out")
    )


def passing_where_the_quotient_is_rounded_too(folder):
    norm = rms_norm("sum", "n", after_epsilon=rounded("plain_eps", "mean_eps"))
    return graph(folder, f"{BEFORE} {norm} {rounded('n', 'h_out')}")


def passing_with_16_bits(folder):
    return graph(folder, BEFORE + rms_norm("sum", "h_out", after_epsilon=rounded("plain_eps", "mean_eps", "16")))


def passing_where_the_dividend_is_rounded(folder):
    norm = rms_norm("sum", "h_out").replace("h_out = Div(sum", f"{rounded('sum', 'd')} h_out = Div(d")
    return graph(folder, BEFORE + norm)
