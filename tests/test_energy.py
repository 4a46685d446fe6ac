"""Energy: an estimate from FLOPs under a named model, and never more than that."""

from __future__ import annotations

import pytest

from fidelity_gate.energy import MODELS, energy_model, joules
from fidelity_gate.errors import UsageError


def test_the_papers_model_gives_3000_and_500_millijoules():
    model = energy_model("cortex-m55")
    assert joules(3_000e9, model) == pytest.approx(3.0)
    assert joules(500e9, model) == pytest.approx(0.5)


def test_every_model_of_the_table_names_its_source_and_is_found_by_its_name():
    assert [model.name for model in MODELS] == sorted({model.name for model in MODELS})
    for model in MODELS:
        assert model.source
        assert model.mj_per_gflop > 0
        assert energy_model(model.name) is model


def test_a_figure_of_ones_own_counts_before_the_table():
    own = energy_model("our-board", 0.4)
    assert (own.name, own.mj_per_gflop, own.source) == ("our-board", 0.4, "")
    assert energy_model("cortex-m55", 2.0).mj_per_gflop == 2.0
    assert joules(1e9, own) == pytest.approx(0.4e-3)


def test_a_model_that_nobody_knows_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean cortex-m55"):
        energy_model("cortex-m5")


@pytest.mark.parametrize("figure", [0.0, -1.0, float("nan"), float("inf")])
def test_a_figure_that_cannot_be_is_refused(figure):
    with pytest.raises(UsageError, match="must be above 0"):
        energy_model("our-board", figure)
