"""What an export says of itself: read back as it was written, and refused where no export would have written it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.step_metadata import StepMetadata, Unit, step_metadata
from fidelity_gate.records import Depth

COUNTS = st.integers(1, 64)
CARRIES = st.dictionaries(
    st.sampled_from(["z_H", "z_L", "h", "a.b"]),
    arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=5), elements=st.floats(-9, 9, width=32)),
)


@given(st.sampled_from(Unit), st.builds(Depth, COUNTS, COUNTS, COUNTS), CARRIES, st.sampled_from(["", "ab" * 32]))
def test_metadata_is_read_as_it_was_written(unit, depth, initial, embedding):
    written = StepMetadata("trm", unit, depth, "d" * 64, initial, embedding)
    read = step_metadata({"producer": "somebody", **written.properties()})
    assert (read.family, read.unit, read.depth, read.embedding_digest) == ("trm", unit, depth, embedding)
    assert read.reference_digest == "d" * 64
    assert read.properties() == written.properties()
    assert sorted(read.initial) == sorted(initial)
    for name, array in initial.items():
        np.testing.assert_array_equal(read.initial[name], array)
    assert read.runs == depth.steps * (depth.h_cycles if unit is Unit.H_CYCLE else 1)


def test_a_graph_of_somebody_else_says_nothing():
    assert step_metadata({}) is None
    assert step_metadata({"onnx.infer": "onnxruntime.quant"}) is None


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("unit", "token", "'token' is no unit"),
        ("h_cycles", "0", "'0' is no number"),
        ("l_cycles", "-1", "'-1' is no number"),
        ("steps", "many", "'many' is no number"),
        ("steps", "999999999", "is no number"),
        ("steps", "\u0664", "is no number"),
        ("initial.z_H", "AAAA", "is no initial state"),
        ("initial.z_H", "[" * 100_000, "is no initial state"),
        ("initial.z_H", "[]", "is no initial state"),
        ("initial.z_H", '{"dtype":"float64","shape":[1],"base64":"AAAAAA=="}', "must be of dtype float32"),
        ("initial.z_H", '{"dtype":"float32","shape":[2],"base64":"AAAAAA=="}', "is no initial state"),
        ("initial.z_H", '{"dtype":"float32","shape":[1],"base64":"AAAA*A=="}', "is no initial state"),
        ("initial.z_H", '{"dtype":"float32","shape":[1],"base64":"AADAfw=="}', "not finite"),
        ("initial.z_H", '{"dtype":"float32","shape":[-1],"base64":"AAAAAA=="}', "has a size below 0"),
        ("initial.z_H", '{"dtype":"float32","shape":[1.5],"base64":"AAAAAA=="}', "is no initial state"),
        ("initial.z_H", '{"dtype":"float32","shape":[1]}', "is no initial state"),
    ],
)
def test_values_that_no_export_writes_are_refused_by_key(key, value, says):
    good = StepMetadata("trm", Unit.H_CYCLE, Depth(2, 2, 4), "d", {"z_H": np.zeros(1, np.float32)}).properties()
    with pytest.raises(ModelRefused) as refusal:
        step_metadata({**good, f"fidelity_gate.{key}": value}, "step.onnx")
    assert says in str(refusal.value)
    assert str(refusal.value).startswith(f"step.onnx: fidelity_gate.{key}: ")


def test_a_depth_that_is_missing_is_refused():
    good = StepMetadata("trm", Unit.H_CYCLE, Depth(2, 2, 4), "d").properties()
    del good["fidelity_gate.steps"]
    with pytest.raises(ModelRefused, match="no number"):
        step_metadata(good)
