"""The perf.yaml that ai-hub-models publishes beside a model, recorded and gated as rows that were published."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hub_runs import workload

from fidelity_gate.cli import answer
from fidelity_gate.device_records import sealing
from fidelity_gate.device_records.saved import Origin
from fidelity_gate.devices.recorded import Recorded
from fidelity_gate.errors import NotMeasured, PolicyError
from fidelity_gate.records import UnitShare

MIB = 2**20
NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)
JOB = """\
              job_id: jg9we61qp
              job_status: Passed
              inference_time_milliseconds: 0.885
              estimated_peak_memory_range_mb:
                min: 0
                max: 159
              primary_compute_unit: NPU
              layer_counts:
                total: 38
                npu: 36
                cpu: 2
              tool_versions:
                qairt: 2.41.0.251128145156_191518-auto
                tflite: 2.17
"""
PERF = f"""\
supported_devices:
- Samsung Galaxy S24
supported_chipsets:
- qualcomm-snapdragon-8gen3
precisions:
  float:
    components:
      ResNet18:
        universal_assets:
          tflite:
            model_id: mmdz3dekq
        performance_metrics:
          Samsung Galaxy S24:
            tflite:
{JOB}\
            onnx:
              job_id: j5m3yjyqg
              job_status: Failed
  w8a8:
    components:
      ResNet18:
        performance_metrics:
          QCS8550 (Proxy):
            qnn_dlc:
              job_status: Passed
              inference_time_milliseconds: 25.69
              primary_compute_unit: 'null'
  w4a16:
    components:
      Chat:
        performance_metrics:
          Samsung Galaxy S24:
            genie:
              llm_metrics:
              - context_length: 4096
                tokens_per_second: 12.5
      Files: {{}}
"""
SAID = ("--name", "resnet18", "--measured", "2026-02-12")


@pytest.fixture
def record(tmp_path, monkeypatch, capsys):
    """Record the text of a perf.yaml; return the exit code, both outputs, and the records that were written."""
    monkeypatch.chdir(tmp_path)

    def run(text, *args, name="perf.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        code = int(answer(["devices", "record", name, "-o", "rows.json", *args]))
        said = capsys.readouterr()
        there = sealing.read("rows.json") if (tmp_path / "rows.json").exists() else ()
        return code, said.out, said.err, there

    return run


def test_every_job_that_has_a_time_becomes_a_published_row(record):
    code, out, err, (first, second) = record(PERF, *SAID)
    assert (code, err) == (0, "2 jobs of perf.yaml without a time left out\n")
    assert out.splitlines()[:2] == [
        "2 records added to rows.json; it holds 2",
        "  resnet18 float: Samsung Galaxy S24, tflite, npu, 2026-02-12, published, not of this file",
    ]
    assert first.source.startswith("ai-hub-models, perf.yaml (sha256 ")
    assert (first.origin, first.model, first.variant) == (Origin.PUBLISHED, "resnet18", "float")
    assert (first.device, first.runtime, first.compute_unit) == ("Samsung Galaxy S24", "tflite", "npu")
    assert (first.run_seconds, first.profile.estimated_seconds) == ((), 0.000885)
    assert first.profile.inference_peak_bytes == (0, 159 * MIB)
    assert first.profile.shares == (UnitShare("npu", 36), UnitShare("cpu", 2))
    assert first.tools == (("qairt", "2.41.0.251128145156_191518-auto"), ("tflite", "2.17"))
    assert (second.device, second.precision, second.compute_unit) == ("QCS8550 (Proxy)", "w8a8", "")
    assert second.profile.estimated_seconds == 0.02569


def test_such_a_row_is_gated_where_the_policy_says_that_it_is_published(record, tmp_path):
    record(PERF, *SAID)
    asked = {"path": "rows.json", "device": "Samsung Galaxy S24", "runtime": "tflite", "max_age": 100.0}
    device = Recorded(**asked, published=True, model="resnet18", rows="int8=float", runs_per_step=2)
    assert device.replayed(workload(), NOW).profile.estimated_seconds == 0.000885
    with pytest.raises(NotMeasured, match="every row there was published"):
        Recorded(**asked).replayed(workload(), NOW)


def test_a_model_in_parts_is_recorded_as_its_parts(record):
    parts = PERF.replace(
        "      Files: {}\n", f"      Encoder:\n        performance_metrics:\n          X:\n            onnx:\n{JOB}"
    )
    *_, found = record(parts, *SAID)
    assert [one.model for one in found] == ["resnet18/ResNet18", "resnet18/ResNet18", "resnet18/Encoder"]


@pytest.mark.parametrize(
    ("then", "now", "code", "said"),
    [
        ("NPU", "DSP", 2, "Samsung Galaxy S24.tflite.unit: must be one of npu, gpu, cpu"),
        ("0.885", "0", 2, "tflite.inference_time_ms: must be above 0: a service writes 0"),
        ("0.885", "fast", 2, "tflite.inference_time_ms: must be a number"),
        ("max: 159", "max: -1", 2, "peak_mb: must be two whole numbers of MiB"),
        ("max: 159", "mean: 9", 2, "estimated_peak_memory_range_mb.max: is missing"),
        ("total: 38", "total: 3", 2, "layers.total: is less than its parts together"),
        ("tflite: 2.17", "tflite: ''", 2, "tools.tflite: must be text of 1 to 500 characters"),
        ("job_status: Passed", "p99_milliseconds: 4", 2, "tflite.p99_milliseconds: is not a field of this format"),
        ("Passed", "Failed", 3, "holds no time: its 4 jobs failed, or are of language models"),
        ("precisions:", "models:", 2, "precisions: has no such key, and is no perf.yaml"),
        ("components:", "components: 3\n    parts:", 2, "precisions.float.components: must be an object"),
        ("Samsung", "&x Samsung", 2, "anchors and aliases are not allowed"),
        ("precisions:", "precisions: [", 2, "is not valid YAML"),
    ],
)
def test_what_is_no_such_file_is_refused_at_its_field_and_nothing_is_written(record, then, now, code, said):
    assert then in PERF
    got, out, err, found = record(PERF.replace(then, now), *SAID)
    assert (got, out, found) == (code, "", ())
    assert said in err
    assert "perf.yaml" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "--name: is missing: a perf.yaml does not say it"),
        (SAID[:2], "--measured: is missing: a perf.yaml does not say it"),
        ((*SAID, "--os", "14"), "--os: a perf.yaml says itself what ran where (leave it out)"),
        ((*SAID[:3], "2126-02-12"), "--measured: 2126-02-12 has not come yet"),
        ((*SAID[:3], "lately"), "--measured: 'lately' is no day"),
    ],
)
def test_whoever_records_it_says_model_and_day_and_nothing_else(record, args, said):
    code, _, err, found = record(PERF, *args)
    assert (code, found) == (2, ())
    assert said in err


def test_many_records_are_told_by_the_first_and_their_number(record):
    jobs = "".join(f"            onnx_{number}:\n{JOB}" for number in range(30))
    code, out, _, found = record(PERF.replace(f"            tflite:\n{JOB}", jobs), *SAID)
    assert (code, len(found)) == (0, 31)
    assert out.splitlines()[-1] == "  ... and 11 more: fidelity-gate devices show rows.json"
    assert len(out.splitlines()) == 22


def test_a_perf_yaml_is_no_file_of_records_and_says_how_it_becomes_one(record, capsys):
    record(PERF, name="perf.yml")
    assert int(answer(["devices", "show", "perf.yml"])) == 2
    said = "is YAML, and holds no records (of a perf.yaml: fidelity-gate devices record FILE --name MODEL"
    assert said in capsys.readouterr().err
    asked = {"path": "perf.yml", "device": "Samsung Galaxy S24", "runtime": "tflite", "max_age": 100.0}
    with pytest.raises(PolicyError, match="is YAML, and holds no records"):
        Recorded(**asked).replayed(workload(), NOW)
