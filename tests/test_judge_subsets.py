"""A check may ask for some of the probes; nothing but that option makes fewer values than probes a measurement."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import measured, measurement, policy

from fidelity_gate import measurements_file
from fidelity_gate.judge import judge
from fidelity_gate.records import Aggregate, Bound, Check, Outcome

SOME = (("device", "phone"), ("probes", 8))
CHECK = Check("on-phone", "device_step_fidelity", Bound(minimum=0.9), options=SOME, aggregate=Aggregate.MEAN)
ROWS = (4, 9, 14, 19, 24, 29, 34, 39)


def judged(check=CHECK, *, values=(0.95,) * 8, rows=ROWS, probes=40, minimum=1):
    taken = measurement(values, metric="device_step_fidelity", options=check.options, rows=rows)
    made = policy(check, minimum_probes=minimum)
    return judge(made, measured(taken, probes=probes)).results[0]


def test_the_probes_that_a_check_asks_for_decide_it_and_the_worst_is_named_by_its_row_in_the_inputs():
    result = judged(values=(0.95, 0.95, 0.91, *(0.95,) * 5))
    assert result.outcome is Outcome.PASS
    assert result.worst_probe == 14
    assert judged(values=(0.5,) * 8).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("rows", "values", "reason"),
    [
        ((4, 9), (0.95,) * 2, "has values for 2 probes only, and the check does not ask for those"),
        (ROWS, (0.95,) * 7, "has 7 values, and 8 are needed"),
        (ROWS[::-1], (0.95,) * 8, "has values for probes that there are not"),
        ((4, *ROWS[:7]), (0.95,) * 8, "has values for probes that there are not"),
        ((*ROWS[:7], 40), (0.95,) * 8, "has values for probes that there are not"),
        ((-1, *ROWS[1:]), (0.95,) * 8, "has values for probes that there are not"),
        ((), (0.95,) * 8, "has 8 values, and 40 are needed"),
    ],
)
def test_other_probes_than_those_that_are_asked_for_are_no_measurement(rows, values, reason):
    result = judged(rows=rows, values=values)
    assert result.outcome is Outcome.NOT_MEASURED
    assert reason in result.reason


@pytest.mark.parametrize("rows", [(0, *ROWS[1:]), range(8), range(32, 40)])
def test_the_first_and_the_last_probe_may_be_among_them(rows):
    assert judged(rows=tuple(rows)).outcome is Outcome.PASS


@pytest.mark.parametrize("options", [(("device", "phone"),), (("probes", 0),), (("probes", True),), (("probes", "8"),)])
def test_a_check_that_asks_for_all_probes_is_not_decided_by_some(options):
    assert judged(replace(CHECK, options=options)).outcome is Outcome.NOT_MEASURED


def test_some_probes_may_be_fewer_than_the_policy_wants_of_all_but_not_fewer_than_eight():
    assert judged(minimum=500).outcome is Outcome.PASS
    seven = replace(CHECK, options=(("device", "phone"), ("probes", 7)))
    few = judged(seven, values=(0.95,) * 7, rows=ROWS[:7], minimum=500)
    assert (few.outcome, few.reason) == (
        Outcome.INCONCLUSIVE,
        "7 probes were measured, and a part of them needs at least 8",
    )
    assert judged(seven, values=(0.95,) * 7, rows=ROWS[:7], minimum=7).outcome is Outcome.PASS


def test_a_percentile_of_some_probes_needs_as_many_as_of_all():
    result = judged(replace(CHECK, aggregate=Aggregate.P05))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.reason == "8 probes say nothing about p05, which needs at least 20"


def test_the_rows_survive_the_file_of_measurements():
    taken = measured(measurement((0.95,) * 8, rows=ROWS), probes=40)
    assert measurements_file.load(measurements_file.dump(taken), "m.json") == taken


@given(st.lists(st.integers(-2, 45), max_size=12), st.integers(0, 12))
def test_some_probes_pass_only_where_they_are_those_that_the_check_states(rows, asked):
    check = replace(CHECK, options=(("device", "phone"), ("probes", asked)))
    result = judged(check, values=(0.95,) * (len(rows) or 40), rows=tuple(rows))
    stated = len(rows) == asked and rows == sorted(set(rows)) and all(0 <= row < 40 for row in rows)
    assert (result.outcome is Outcome.PASS) is (not rows or stated)
