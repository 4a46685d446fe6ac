"""compute and energy as metrics: what a policy bounds, what is not measured and why, and what people read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made import measured
from made import policy as made_policy

import fidelity_gate.models.families as families
from fidelity_gate import measurements_file, registry
from fidelity_gate.analysis.compute import compute_of
from fidelity_gate.cli import answer
from fidelity_gate.errors import NotMeasured, PolicyError
from fidelity_gate.measuring.costing import costed
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.models.opening import open_model
from fidelity_gate.policy.loading import load_policy
from fidelity_gate.records import Bound, Check, Compute, Depth, ModelSpec, Probes, Severity
from fidelity_gate.zoo.catalog import entry

torch = pytest.importorskip("torch")

DEPTH = Depth(2, 2, 8)
COUNT = Compute(2e9, 20e9, 160e9, DEPTH, "closed form", (("heads", 1e9), ("matrices", 19e9)))


def record(compute=COUNT, **changes):
    return replace(measured().candidates[0], depth=DEPTH, compute=compute, **changes)


def value_of(metric, candidate, reference=None, **options):
    plug = registry.build("metrics", metric, tuple(options.items()))
    return plug.measure(reference or record(), candidate)


@pytest.mark.parametrize(("per", "flops"), [("puzzle", 160e9), ("step", 20e9), ("block_call", 2e9)])
def test_compute_and_energy_are_of_the_part_that_was_asked_for(per, flops):
    assert value_of("compute", record(), per=per).values == (flops,)
    assert value_of("energy", record(), per=per).values == (pytest.approx(flops * 1e-12),)


def test_energy_calls_itself_an_estimate_and_names_its_model():
    told = value_of("energy", record()).detail
    assert told.startswith("estimated from 160 GFLOP at 1 mJ per GFLOP (cortex-m55)")
    own = value_of("energy", record(), model="our-board", mj_per_gflop=0.5)
    assert own.values == (pytest.approx(0.08),)
    assert "0.5 mJ per GFLOP (our-board)" in own.detail


def test_the_reference_stands_beside_where_its_cost_is_known():
    half = record(replace(COUNT, puzzle=80e9))
    assert value_of("compute", half).detail == (
        "one puzzle at H=2 L=2 steps=8, counted by closed form; 50.0% of the reference's 160 GFLOP"
    )
    assert "reference" not in value_of("compute", half, record(None)).detail


@pytest.mark.parametrize("metric", ["compute", "energy"])
def test_a_figure_that_would_be_too_low_is_not_one(metric):
    partly = replace(COUNT, not_counted=("Loop (Loop_3): it runs a graph of its own, how often is not known",))
    with pytest.raises(NotMeasured, match=r"Loop \(Loop_3\)"):
        value_of(metric, record(partly))
    with pytest.raises(NotMeasured, match="the depth is not known"):
        value_of(metric, record(None, compute_gap="the depth is not known"))
    with pytest.raises(NotMeasured, match="one call of the recursive block"):
        value_of(metric, record(replace(COUNT, block_call=None)), per="block_call")


def test_an_energy_model_that_nobody_knows_is_a_mistake_in_the_policy():
    with pytest.raises(PolicyError, match=r"model: no energy model is named 'cortex'.*cortex-m55"):
        registry.build("metrics", "energy", (("model", "cortex"),), field="checks.a.options")


def test_what_was_counted_survives_the_measurements_file():
    data = measured()
    whole = replace(data, candidates=(record(replace(COUNT, not_counted=("a", "b"), block_call=None)),))
    assert measurements_file.load(measurements_file.dump(whole), "m.json") == whole
    gap = replace(data, candidates=(record(None, compute_gap="why"),))
    assert measurements_file.load(measurements_file.dump(gap), "m.json") == gap


# ---------------------------------------------------------------- through the gate


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    target = str(folder / "int8.safetensors")
    assert answer(["compress", "zoo:trm-addition", "--recipe", "int8", "-o", target]) == 0
    return folder


POLICY = """
apiVersion: fidelity-gate/v1
name: budget
reference: zoo:trm-addition
candidates: {{int8: int8.safetensors}}
recursion: {{h_cycles: 1, l_cycles: 2, steps: 2}}
inputs: zoo:trm-addition
{more}
checks:
  affordable: {{metric: compute, require: {{max: {compute}}}}}
  battery: {{metric: energy, options: {options}, require: {{max: {energy}}}}}
"""


def judged(shop, capsys, *, compute="10 MFLOP", energy="10 uJ", options="{}", more=""):
    (shop / "p.yaml").write_text(POLICY.format(compute=compute, energy=energy, options=options, more=more))
    code = answer(["run", str(shop / "p.yaml"), "--report", "terminal"])
    return code, capsys.readouterr().out


def test_a_policy_bounds_flop_and_joules_and_no_model_is_run_for_it(shop, capsys):
    code, told = judged(shop, capsys)
    assert code == 0
    assert "9.558 MFLOP" in told
    assert "battery int8: 9.558 uJ, required <= 10 uJ, an estimate (estimated from 9.558 MFLOP at 1 mJ" in told


@pytest.mark.parametrize("bound", [{"compute": "9 MFLOP"}, {"energy": "9 uJ"}])
def test_a_model_over_its_budget_fails_and_no_report_forgets_that_energy_is_an_estimate(shop, capsys, bound):
    code, told = judged(shop, capsys, **bound)
    assert code == 1
    assert told.splitlines()[-1].endswith("> 9 uJ, an estimate" if "energy" in bound else "> 9 MFLOP")
    assert answer(["run", str(shop / "p.yaml"), "--report", "junit"]) == 1
    cases = [line for line in capsys.readouterr().out.splitlines() if "battery int8:" in line]
    assert cases
    assert all("an estimate" in line for line in cases)


def test_a_policy_brings_its_own_energy_model(shop, capsys):
    more = 'energy_models: {our-board: {mj_per_gflop: 0.5, source: "a power rail"}}'
    code, told = judged(shop, capsys, energy="5 uJ", options="{model: our-board}", more=more)
    assert code == 0
    assert "4.779 uJ" in told
    (shop / "q.yaml").write_text(POLICY.format(compute="1 GFLOP", energy="1 J", options="{model: our-bord}", more=more))
    with pytest.raises(PolicyError, match="our-bord"):
        load_policy(str(shop / "q.yaml"))


class Fused(torch.nn.Module):
    """A recurrent layer that torch runs as one kernel, which its counter has no formula for."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 8)
        self.recur = torch.nn.LSTM(8, 8, batch_first=True)

    def forward(self, tokens):
        return self.recur(self.embed(tokens))[0]


def rows_of(tokens):
    return Probes(np.zeros((3, tokens), np.int32), None, np.zeros(3, np.int32), "", "zeros")


def hooked(**options):
    spec = ModelSpec("own", "", tuple(sorted(options.items())), use="hooked")
    return open_model(spec, allow_code=True)


UNIVERSAL = {"factory": "hooked_models:UniversalTransformer", "carry": "block", "answers": "head"}


def test_a_module_of_ones_own_is_counted_on_a_probe_that_runs():
    model = hooked(**UNIVERSAL)
    with pytest.raises(NotMeasured, match="only by running"):
        compute_of(model, Depth(steps=4))
    found = compute_of(model, Depth(steps=4), rows_of(6))
    layer = 2 * 6 * (4 * 8 * 8 + 2 * 8 * 16) + 4 * 6 * 6 * 8  # L = 6, D = 8, an MLP of 16
    assert found.puzzle == 4 * layer + 2 * 6 * 8 * 5
    assert found.step == found.puzzle / 4
    assert (found.block_call, found.not_counted, found.counted_by) == (None, (), "torch FlopCounterMode")
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()


def test_an_operator_that_torch_has_no_formula_for_is_named():
    found = compute_of(hooked(factory="test_compute_metrics:Fused", carry="recur", select="0"), Depth(), rows_of(6))
    assert found.not_counted == ("aten.mkldnn_rnn_layer",)


@pytest.mark.parametrize(
    ("severity", "metric", "runs"), [("error", "compute", 1), ("error", "model_size", 0), ("off", "energy", 0)]
)
def test_a_module_runs_for_its_compute_only_where_a_check_asks(severity, metric, runs):
    model = hooked(**UNIVERSAL)
    loads = []

    class Watched:
        facts = model.facts

        def step_graph(self):
            return None

        def load(self, run):
            loads.append(run)
            return model.load(run)

    check = Check("c", metric, Bound(maximum=1e15), severity=Severity(severity))
    policy = replace(made_policy(check), recursion=Depth(steps=4))
    records = tuple(record(None, name=name) for name in ("reference", "int8"))
    records = tuple(replace(one, depth=Depth(steps=4)) for one in records)
    found = costed(policy, (Watched(), Watched()), records, rows_of(6))
    assert len(loads) == 2 * runs
    assert [one.compute is not None for one in found] == [bool(runs)] * 2
    assert all(one.compute or "only by running" in one.compute_gap for one in found)


# ---------------------------------------------------------------- families of other packages


class Foreign(Trm):
    """A recursion that another package brings."""

    name = "foreign"


@pytest.fixture
def foreign(monkeypatch):
    monkeypatch.setitem(families.TABLE, "foreign", "test_compute_metrics:Foreign")
    opened = open_model(ModelSpec("m", str(entry("trm-addition").weights)))
    return replace(opened, facts=replace(opened.facts, family="foreign"))


def test_a_family_of_another_package_is_counted_by_torch_without_its_weights(foreign):
    ours = compute_of(open_model(ModelSpec("m", str(entry("trm-addition").weights))))
    found = compute_of(foreign)
    assert (found.step, found.puzzle, found.counted_by) == (ours.step, ours.puzzle, "torch FlopCounterMode")


def test_a_recursion_that_looks_at_values_is_counted_on_a_probe_instead(foreign, monkeypatch):
    def build(self, weights, run):
        assert not any(bool(weight.isnan().any()) for weight in weights.values())
        return Trm.build(self, weights, run)

    monkeypatch.setattr(Foreign, "build", build)
    with pytest.raises(NotMeasured, match="without values"):
        compute_of(foreign)
    assert compute_of(foreign, None, rows_of(3)).puzzle == compute_of(replace(foreign, facts=ours_facts())).puzzle


def ours_facts():
    return open_model(ModelSpec("m", str(entry("trm-addition").weights))).facts
