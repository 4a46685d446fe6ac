"""Probes as a command line names them."""

from __future__ import annotations

import numpy as np
import pytest

from fidelity_gate.errors import UsageError
from fidelity_gate.inputs.opening import from_path, open_inputs
from fidelity_gate.verbs.given_inputs import given_inputs
from fidelity_gate.verbs.stages import prepare
from fidelity_gate.zoo.catalog import entry

ADDITION = entry("trm-addition")


def rows(path):
    return open_inputs(from_path(str(path)), ".").inputs


@pytest.mark.parametrize(
    ("text", "part", "expected"),
    [
        ("zoo:trm-addition", "evaluation", rows(ADDITION.evaluation)),
        ("zoo:trm-addition", "calibration", rows(ADDITION.calibration)),
        ("zoo:trm-addition/evaluation", "calibration", rows(ADDITION.evaluation)),
        ("zoo:trm-addition,count=3", "calibration", rows(ADDITION.calibration)[:3]),
        ("npz:path=zoo:trm-addition/calibration,count=3", "evaluation", rows(ADDITION.calibration)[:3]),
        (str(ADDITION.calibration), "evaluation", rows(ADDITION.calibration)),
    ],
)
def test_rows_of_the_zoo_are_named_like_any_others(text, part, expected):
    np.testing.assert_array_equal(given_inputs(text, part).inputs, expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zoo:trm-additoin", "no zoo model is named 'trm-additoin'"),
        ("zoo:trm-addition/training", "a zoo model has no rows 'training'"),
        ("zoo:trm-addition,cuont=3", "--calibration: npz has no option 'cuont' (did you mean count?)"),
        ("zoo:trm-addition,3", "--calibration: '3' is not key=value"),
        ("puzzles.txt", "puzzles.txt: --calibration: cannot tell from its suffix"),
    ],
)
def test_a_mistake_names_the_option(text, says):
    with pytest.raises(UsageError) as caught:
        given_inputs(text, field="--calibration")
    assert says in str(caught.value)


def test_run_takes_a_part_of_the_zoos_rows_too(tmp_path):
    policy = tmp_path / "gate.yaml"
    policy.write_text(
        "apiVersion: fidelity-gate/v1\nname: part\nreference: zoo:trm-addition\ncandidates: {int8: int8.safetensors}\n"
        "inputs: zoo:trm-addition\nrecursion: {h_cycles: 1, l_cycles: 2, steps: 2}\n"
        "checks: {same: {metric: carry_fidelity, aggregate: mean, require: {min: 0.9}}}\n"
    )
    spec = prepare(str(policy), reference=None, candidates=(), inputs="zoo:trm-addition,count=5").inputs
    assert len(open_inputs(spec)) == 5
