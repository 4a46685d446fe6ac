"""Rules on hygiene: what exactly they say, and that they leave alone what they should."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidelity_gate.analysis.linting import lint
from fidelity_gate.analysis.rules import _external as external
from fidelity_gate.analysis.rules.fg601_external_data_unsafe import ExternalDataUnsafe
from fidelity_gate.analysis.rules.fg602_custom_domain import CustomDomain
from fidelity_gate.analysis.rules.fg603_random_operator import RandomOperator
from fidelity_gate.analysis.rules.fg605_future_opset import FutureOpset
from fidelity_gate.analysis.rules.fg606_metadata_contradicts import MetadataContradicts
from fidelity_gate.analysis.rules.fg607_control_flow import ControlFlow
from fidelity_gate.analysis.rules.fg608_dead_weights import DeadWeights
from fidelity_gate.records import Depth, LintSettings, LocationKind
from fidelity_gate.zoo.catalog import names
from tests.graph_texts import STEP, graph
from tests.lint_examples import fg601, fg606, fg607
from tests.lint_made import subject

HYGIENE = LintSettings(select=("FG6",))


def found(rule, opened):
    return list(rule.check(opened))


def messages(rule, opened):
    return [item.message for item in rule.check(opened)]


# ------------------------------------------------------------------ external data


@pytest.mark.parametrize(
    ("example", "says"),
    [
        (fg601.failing, "1 tensor in '../w.bin', which is a path that leaves the folder"),
        (fg601.failing_as_a_windows_path, "which is an absolute path"),
        (fg601.failing_behind_a_linked_folder, "which is a link ('data')"),
        (fg601.failing_with_a_second_name, "which is a file with 2 names (hard links)"),
        (fg601.failing_as_a_folder, "which is not a regular file"),
        (fg601.failing_where_it_is_missing, "which is not there"),
        (fg601.failing_where_it_is_too_short, "ends at byte 256 of a file of 255"),
        (fg601.failing_with_a_negative_offset, "says 256 bytes from -4, and the tensor takes 256"),
        (fg601.failing_with_another_file_than_was_pinned, f"and {fg601.SHA1} is pinned"),
    ],
)
def test_every_way_in_which_external_data_is_wrong_is_said(tmp_path, example, says):
    (only,) = found(ExternalDataUnsafe(), example(tmp_path))
    assert says in only.message
    assert only.location.kind is LocationKind.TENSOR
    assert only.location.name == "w"


def test_many_tensors_of_one_missing_file_are_one_finding(tmp_path):
    def move(model):
        for tensor in model.graph.initializer:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="gone.bin")

    weights = {f"w{index}": np.ones((8, 8), np.float32) for index in range(50)}
    (only,) = found(ExternalDataUnsafe(), graph(tmp_path, constants=weights, edit=move))
    assert dict(only.figures) == {"tensors": 51}


def test_a_file_that_is_not_allowed_is_never_opened(tmp_path, monkeypatch):
    opened = fg601.failing_behind_a_link(tmp_path)
    monkeypatch.setattr(external, "checksum_problem", lambda *_: pytest.fail("opened"))
    monkeypatch.setattr(external.Path, "open", lambda *_, **__: pytest.fail("opened"))
    assert found(ExternalDataUnsafe(), opened)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a file, a folder with a file, and a link out of it."""
    above = tmp_path_factory.mktemp("above")
    folder = above / "home"
    (folder / "C").mkdir(parents=True)
    for path in (folder / "a", folder / "C" / "a", above / "b"):
        path.write_bytes(b"x")
    (folder / "b").symlink_to(above / "b")
    return folder


@given(st.text(alphabet="./\\ab:C\0", max_size=12))
def test_no_location_leads_out_of_its_folder(home, location):
    if not external.place_problem(home, location):
        assert (home / location).resolve().is_relative_to(home.resolve())
        assert (home / location).is_file()


def test_a_file_of_its_own_is_accepted(home):
    accepted = [
        name for name in ("a", "b", "C", "./a", "a/b", "C/a", "..", ".") if not external.place_problem(home, name)
    ]
    assert accepted == ["a", "./a", "C/a"]


# ------------------------------------------------------------------ operators and versions


def test_operators_are_named_with_their_domain_and_counted(tmp_path):
    body = "a = acme.Twist(h) b = acme.Twist(a) c = acme.Turn(b) h_out = Add(c, x)"
    opened = graph(tmp_path, body, domains=("acme",), checked=False)
    assert messages(CustomDomain(), opened) == [
        "acme.Turn is of the domain 'acme', which nothing here knows (1 node)",
        "acme.Twist is of the domain 'acme', which nothing here knows (2 nodes)",
    ]


@pytest.mark.parametrize(
    "made",
    [
        "n = RandomNormal<shape=[1,4,8]>()",
        "n = RandomNormalLike(h)",
        "n = RandomUniform<shape=[1,4,8]>()",
        "n = RandomUniformLike(h)",
        "n = Bernoulli(h)",
        "l = Reshape(h, two) k = Multinomial<sample_size=8>(l) c = Cast<to=1>(k) n = Reshape(c, three)",
    ],
)
def test_every_operator_that_draws_is_found(tmp_path, made):
    constants = {"two": np.array([4, 8]), "three": np.array([1, 4, 8])}
    (only,) = found(RandomOperator(), graph(tmp_path, f"{made} m = Add(h, n) h_out = Add(m, x)", constants=constants))
    assert "draws random numbers (1 node)" in only.message


def test_what_is_read_is_what_onnxruntime_reads(tmp_path):
    """The limits of FG605, tried: the runtime takes files at them and refuses files above them."""
    import onnxruntime

    rule = FutureOpset()
    for opset, ir_version in ((rule.opset, rule.ir_version), (rule.opset + 1, 10), (18, rule.ir_version + 1)):
        opened = graph(tmp_path, opset=opset, ir_version=ir_version, checked=False)
        wrong = bool(found(rule, opened))
        assert wrong is (opset > rule.opset or ir_version > rule.ir_version)
        if wrong:
            with pytest.raises(Exception, match=r"opset|IR version|ONNX"):
                onnxruntime.InferenceSession(opened.facts.path, providers=["CPUExecutionProvider"])
        else:
            onnxruntime.InferenceSession(opened.facts.path, providers=["CPUExecutionProvider"])


def test_the_runtime_of_a_device_may_be_older(tmp_path):
    assert messages(FutureOpset(opset=17), graph(tmp_path, opset=18)) == ["opset 18, and 17 is the newest that is read"]


def test_bodies_are_counted(tmp_path):
    (only,) = found(ControlFlow(), fg607.failing(tmp_path))
    assert only.message == "If decides at run time what is computed (1 node, 2 bodies)"


# ------------------------------------------------------------------ weights and labels


def test_what_only_a_branch_reads_is_not_dead(tmp_path):
    assert not found(DeadWeights(min_bytes=1), fg607.failing(tmp_path))


def test_dead_weights_are_added_up_and_the_largest_is_named(tmp_path):
    left = {"small": np.ones((16, 16), np.float32), "large": np.ones((32, 16), np.float32)}
    (only,) = found(DeadWeights(), graph(tmp_path, STEP, constants=left))
    assert only.message == "2 constants of 3,072 bytes that no output depends on"
    assert (only.location.name, only.location.context) == ("large", "float32 32x16")


def test_a_label_is_held_against_the_narrowest_matrix(tmp_path):
    (only,) = found(MetadataContradicts(), fg606.failing_as_int4(tmp_path))
    assert (only.location.kind, only.location.name) == (LocationKind.METADATA, "recipe")
    assert dict(only.figures) == {"claimed_bits": 4, "measured_bits": 8}
    assert only.message.startswith("says 'int4-naive', and the narrowest block matrix is int8")


def test_only_cycles_that_are_built_in_are_held_against_the_policy(tmp_path):
    opened = graph(tmp_path, metadata=fg606.ACT_STEP, depth=Depth(1, 4, 99))
    assert messages(MetadataContradicts(), opened) == [
        "2 are built into the graph, and the depth it is to run at says 4",
        "3 are built into the graph, and the depth it is to run at says 1",
    ]


# ------------------------------------------------------------------ the zoo


@pytest.mark.parametrize("recipe", ["", "fp16", "int8", "int8-bnb", "nf4-bnb", "int4-calibrated", "int3", "int2"])
def test_what_compress_writes_of_the_zoo_is_what_it_says(tmp_path, recipe):
    from fidelity_gate.compress.choosing import parse_recipe
    from fidelity_gate.models.opening import open_model
    from fidelity_gate.records import ModelSpec
    from fidelity_gate.storage.artifact import encode
    from fidelity_gate.zoo.catalog import entry

    for name in names()[:1]:
        path = entry(name).weights
        if recipe:
            made = parse_recipe(recipe).compress(open_model(ModelSpec("reference", str(path))), None)
            path = tmp_path / f"{name}.safetensors"
            path.write_bytes(encode(made))
        assert lint(subject(path), HYGIENE, model=str(path), candidate="c").findings == ()
