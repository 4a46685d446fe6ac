"""`devices list`, `show`, `record` and `resume`: what people are told, what is written, and how it ends."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hub_runs import graph, impatient, phone, workload
from hubs import client_ini, hub  # noqa: F401  (fixtures)
from made import measured as made_measured
from onnx_steps import REASONER, reasoner, write
from saved_profiles import PROFILE, RUNS, profile

from fidelity_gate import measurements_file
from fidelity_gate.cli import answer
from fidelity_gate.device_records import sealing
from fidelity_gate.device_records.saved import Origin
from fidelity_gate.files import sha256_hex
from fidelity_gate.records import DeviceJob, DeviceProfile, DeviceRun, UnitShare
from fidelity_gate.shipped import policy_path

ROOT = Path(__file__).resolve().parents[1]
TABLE_11 = str(policy_path("examples/trm-table11.json"))
SERVICE_PROFILE = {
    "execution_summary": {
        "estimated_inference_time": 4205,
        "all_inference_times": [10003, 4205, 4300],
        "estimated_inference_peak_memory": 166_711_296,
        "inference_memory_peak_range": [2_654_208, 39_406_752],
    },
    "execution_detail": [{"name": "a", "type": "MatMul", "compute_unit": "NPU", "execution_time": 12}],
}
BOUND = ("--device", "Samsung Galaxy S24", "--os", "14", "--runtime", "onnx", "--measured", "2026-05-04")
JOB = DeviceJob(
    "jabc123",
    "https://hub/jabc123",
    "Samsung Galaxy S24",
    "14",
    "onnx",
    "npu",
    "cd" * 32,
    "2026-05-04T10:00:00Z",
    simulated=False,
)
RAN = DeviceRun("s24", "qai_hub", run_seconds=(0.004, 0.005), runs_a_step=2, job=JOB, profile=PROFILE.profile)


@pytest.fixture
def devices(tmp_path, monkeypatch, capsys):
    """Run a command of devices in an empty folder; return its code, its output, and its one line of error."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        code = int(answer(["devices", *map(str, args)]))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "records.json"
    sealing.add(path, (PROFILE, profile(variant="reference", precision="float", run_seconds=(0.001,) * 12)))
    return path


def model_in(folder):
    return write(folder, REASONER, reasoner(), name="int8")


# ---------------------------------------------------------------- list


def test_without_an_argument_the_kinds_of_device_are_listed_with_what_they_are(devices):
    code, out, _ = devices("list")
    assert code == 0
    kinds = [line.split("  ")[0] for line in out.splitlines()[1:]]
    assert {"host-cpu", "qai_hub", "recorded"} <= set(kinds)


def test_a_folder_lists_its_records_and_tells_of_files_that_are_none(devices, records, tmp_path):
    (tmp_path / "strange.json").write_text("{}")
    code, out, _ = devices("list", tmp_path)
    assert code == 0
    assert "Samsung Galaxy S24  14  onnx" in out
    assert "recorded by a run of the gate" in out
    assert "not read: " in out
    assert "strange.json" in out


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        (".", 3, "holds no records of devices"),
        ("nowhere.json", 2, "there is no such file"),
        ("nowhere.yaml", 2, "there is no such file"),
    ],
)
def test_where_nothing_is_to_be_listed_one_line_says_so(devices, where, code, said):
    came, out, err = devices("list", where)
    assert (came, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_policy_lists_its_devices_and_what_their_records_hold(devices, records, tmp_path):
    text = policy_path("examples/recorded-table11.yaml").read_text(encoding="utf-8")
    (tmp_path / "release.yaml").write_text(text)
    code, out, _ = devices("list", "release.yaml")
    assert code == 0
    assert "s24: recorded" in out
    assert "there is no such file" in out  # the table is not beside this copy
    code, out, _ = devices("list", policy_path("examples/recorded-table11.yaml"))
    assert code == 0
    assert "published, not of this file" in out


def test_the_services_devices_are_listed_by_a_pattern_of_their_names(devices, hub, client_ini):  # noqa: F811
    code, out, _ = devices("list", "--service", "samsung galaxy s24*")
    assert code == 0
    assert "Samsung Galaxy S24" in out
    assert "Dragonwing" not in out
    assert "simulated" in out
    code, _, err = devices("list", "--service", "Nokia*")
    assert code == 3
    assert "none of " in err


# ---------------------------------------------------------------- show


def test_a_table_shows_times_memory_layers_age_and_evidence_and_findings_say_why(devices, records):
    code, out, _ = devices("show", records)
    assert code == 0
    head, int8 = out.splitlines()[:2]
    for title in ("p50", "p90", "min", "peak: process", "inference", "layers", "age"):
        assert title in head
    for cell in ("Samsung Galaxy S24", "11.5 ms", "160 MiB", "2 MiB to 40 MiB", "npu 123"):
        assert cell in int8
    assert "2 recorded by a run of the gate" in out
    assert "slower-than-float  sudoku int8 on Samsung Galaxy S24, onnx: 11.5 times as slow as float" in out


def test_budgets_say_which_variants_of_table_11_meet_them_and_which_miss_them_by_how_much(devices):
    code, out, _ = devices("show", TABLE_11, "--max-step", "30ms", "--max-size", "8 MiB")
    assert code == 1
    steps = out.partition("step <= 30 ms\n")[2].partition("\n\n")[0].splitlines()
    assert len(steps) == 18
    met = [line.split(":")[0].split(maxsplit=1)[1] for line in steps if line.strip().startswith("meets")]
    assert met == [
        "TRM ARC-2024 int8, Samsung Galaxy S24",
        "TRM Maze-Hard int8, Samsung Galaxy S24",
        "TRM Sudoku-Extreme fp32, Samsung Galaxy S24",
        "TRM Sudoku-Extreme int8, Samsung Galaxy S24",
    ]
    assert "misses   TRM Sudoku-Extreme fp32, Samsung Galaxy S22 5G: 30.17 ms (one figure), 170 us too much" in out
    sizes = out.partition("file size <= 8 MiB\n")[2].partition("\n\n")[0]
    assert sizes.count("meets") == sizes.count("misses") == 9
    assert "18 published, not of this file: arXiv 2606.26488" in out
    assert out.count("slower-than-float") == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--max-step", "34.5 ms"), 0),  # three runs of 11.5 ms: a budget that is just met is met
        (("--max-step", "34.49 ms"), 1),
        (("--max-step", "38.1 ms", "--statistic", "p90"), 0),
        (("--max-step", "30 ms", "--statistic", "min"), 0),
        (("--max-memory", "160 MiB"), 0),
        (("--max-memory", "100 MiB"), 1),  # the largest of its figures counts, not the one that would meet it
        (("--max-size", "5 MiB"), 0),
        (("--max-step", "1 s", "--max-size", "1 MiB"), 1),
    ],
)
def test_every_budget_is_held_against_the_figure_it_is_about(devices, tmp_path, options, code):
    sealing.add(tmp_path / "one.json", (PROFILE,))
    assert devices("show", "one.json", *options)[0] == code


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"runs_per_step": None}, ("--max-step", "1s"), "--runs-per-step"),
        ({"run_seconds": RUNS[:9]}, ("--max-step", "1s", "--statistic", "p90"), "p90 of 9 runs says nothing"),
        ({"run_seconds": (0.01, 0.0)}, ("--max-step", "1s"), "a run took 0 s"),
        ({"run_seconds": ()}, ("--max-step", "1s"), "p50 of 0 runs says nothing"),
        ({"profile": DeviceProfile()}, ("--max-memory", "1GiB"), "no figure of memory was recorded"),
        ({"file_bytes": None}, ("--max-size", "1GiB"), "the size of its file was not recorded"),
    ],
)
def test_a_figure_that_is_not_known_meets_no_budget(devices, tmp_path, changes, options, said):
    sealing.add(tmp_path / "one.json", (profile(**changes),))
    code, out, _ = devices("show", "one.json", *options)
    assert code == 3
    assert "unknown  sudoku int8, Samsung Galaxy S24, onnx: " in out
    assert said in out


def test_what_a_filter_leaves_out_is_still_compared_with(devices, records):
    code, out, _ = devices("show", records, "--precision", "INT*")
    assert code == 0
    assert "reference" not in out.splitlines()[1]
    assert "slower-than-float" in out
    code, _, err = devices("show", records, "--device", "Nokia*")
    assert code == 3
    assert "none of 2 profiles" in err


def test_a_file_without_a_profile_says_so(devices, tmp_path):
    (tmp_path / "records.json").write_bytes(sealing.dump(()))
    code, _, err = devices("show", "records.json")
    assert (code, "records.json: holds no profile (devices record writes them)" in err) == (3, True)


def test_json_holds_seconds_and_bytes_raw_and_reads_strictly(devices, records):
    code, out, _ = devices("show", records, "--json", "--max-step", "30 ms")
    assert code == 1
    told = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    first = told["records"][0]
    assert first["run_seconds"] == list(PROFILE.run_seconds)
    assert first["label"] == "recorded by a run of the gate"
    assert first["fault"] == ""
    assert first["budgets"] == [
        {"what": "step", "max": 0.03, "observed": 3 * RUNS[15], "met": False, "told": "p50 of 30 runs, 3 runs a step"}
    ]
    assert told["findings"][0]["kind"] == "slower-than-float"


def test_names_of_strangers_cannot_act_on_a_terminal_or_a_log(devices, tmp_path):
    nasty = "\x1b[31m::error::x\nnext\u202e"
    sealing.add(tmp_path / "one.json", (profile(model=nasty, device=nasty, source=nasty, variant=nasty),))
    for options in ((), ("--max-step", "1 ms"), ("--json",)):
        _, out, _ = devices("show", "one.json", *options)
        assert "\x1b" not in out
        assert "::" not in out
        assert "\u202e" not in out
    _, out, _ = devices("list", "one.json")
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-step", "30"), "has no unit"),
        (("--max-step", "30 MiB"), "'MiB' does not fit"),
        (("--max-memory", "-1 MiB"), "must be above 0"),
        (("--target", "hexagon"), "did you mean hexagon-npu"),
    ],
)
def test_options_that_say_nothing_are_refused_in_one_line(devices, records, options, said):
    code, out, err = devices("show", records, *options)
    assert (code, out) == (2, "")
    assert said in err


# ---------------------------------------------------------------- record


def run_in(folder, *runs, name="measurements.json"):
    base = made_measured()
    records = [
        replace(one, facts=replace(one.facts, digest=f"{at:064x}"), device_runs=runs)
        for at, one in enumerate((base.reference, *base.candidates))
    ]
    whole = replace(base, reference=records[0], candidates=tuple(records[1:]))
    (folder / name).write_bytes(measurements_file.dump(whole))
    return whole


def test_a_saved_run_is_recorded_with_everything_that_binds_it(devices, tmp_path):
    whole = run_in(tmp_path, RAN)
    code, out, _ = devices("record", "measurements.json", "-o", "s24.json")
    assert code == 0
    assert "2 records added to s24.json" in out
    reference, int8 = sealing.read(tmp_path / "s24.json")
    assert int8.origin is Origin.RUN
    assert int8.model_digest == whole.candidates[0].facts.digest
    assert reference.model_digest == whole.reference.facts.digest
    assert (int8.device, int8.os, int8.runtime, int8.compute_unit) == (JOB.device, "14", "onnx", "npu")
    assert (int8.measured, int8.job_id, int8.graph_digest) == (JOB.finished, JOB.id, JOB.model_digest)
    assert (int8.run_seconds, int8.runs_per_step, int8.profile) == (RAN.run_seconds, 2, RAN.profile)
    assert "2 known already" in devices("record", "measurements.json", "-o", "s24.json")[1]


@pytest.mark.parametrize(
    "run",
    [
        replace(RAN, plug="recorded"),  # it would come out as if a run had measured it
        replace(RAN, job=None),
        replace(RAN, gap="the device was lost"),
    ],
)
def test_what_no_device_measured_in_that_run_makes_no_record(devices, tmp_path, run):
    run_in(tmp_path, run)
    code, _, err = devices("record", "measurements.json", "-o", "s24.json")
    assert code == 3
    assert "no device of a service ran a model in it" in err
    assert not (tmp_path / "s24.json").exists()


def test_a_figure_that_cannot_be_is_not_recorded_and_nothing_else_either(devices, tmp_path):
    run_in(tmp_path, RAN, replace(RAN, device="s25", run_seconds=(0.004, 0.0)))
    code, _, err = devices("record", "measurements.json", "-o", "s24.json")
    assert code == 3
    assert "a run took 0 s" in err
    assert not (tmp_path / "s24.json").exists()


def test_a_simulated_run_stays_simulated(devices, tmp_path):
    run_in(tmp_path, replace(RAN, job=replace(JOB, simulated=True)))
    _, out, _ = devices("record", "measurements.json", "-o", "s24.json")
    assert "simulated, recorded by a run of the gate" in out
    assert all(one.simulated for one in sealing.read(tmp_path / "s24.json"))


def test_a_profile_of_the_service_is_bound_by_the_word_of_who_records_it(devices, tmp_path):
    (tmp_path / "profile.json").write_text(json.dumps(SERVICE_PROFILE))
    path = model_in(tmp_path)
    code, out, _ = devices("record", "profile.json", "--model", path, *BOUND, "-o", "s24.json")
    assert code == 0
    assert "recorded by hand" in out
    (found,) = sealing.read(tmp_path / "s24.json")
    assert found.origin is Origin.BY_HAND
    assert found.run_seconds == (0.010003, 0.004205, 0.0043)
    assert found.profile.process_peak_bytes == 166_711_296
    assert found.profile.inference_peak_bytes == (2_654_208, 39_406_752)
    assert found.profile.shares == (UnitShare("npu", 1, 12e-6, (("MatMul", 1),)),)
    assert found.model_digest == found.graph_digest == sha256_hex(path.read_bytes())
    assert (found.model, found.measured) == ("int8", "2026-05-04")


@pytest.mark.parametrize(
    ("edit", "args", "code", "said"),
    [
        ({}, (), 2, "--model: is missing"),
        ({}, ("--model", "int8.onnx"), 2, "--device: is missing"),
        ({}, ("--model", "int8.onnx", *BOUND[:-1], "4 May"), 2, "--measured: '4 May' is no day"),
        ({}, ("--model", "int8.onnx", *BOUND[:-1], "2999-01-01"), 2, "--measured: 2999-01-01 has not come yet"),
        ({}, ("--model", "other.onnx", *BOUND), 2, "there is no such file"),
        (
            {"execution_summary": {}},
            ("--model", "int8.onnx", *BOUND),
            3,
            "profile.json: the profile holds no inference",
        ),
        ({"execution_summary": {"all_inference_times": [0]}}, ("--model", "int8.onnx", *BOUND), 3, "was not measured"),
    ],
)
def test_a_profile_that_is_not_bound_or_holds_nothing_is_not_recorded(devices, tmp_path, edit, args, code, said):
    model_in(tmp_path)
    (tmp_path / "profile.json").write_text(json.dumps(SERVICE_PROFILE | edit))
    came, _, err = devices("record", "profile.json", *args, "-o", "s24.json")
    assert came == code
    assert said in err
    assert not (tmp_path / "s24.json").exists()


@pytest.mark.parametrize(
    ("source", "args", "said"),
    [
        ("nowhere/profile.json", (), "there is no such file"),
        ("records.json", (), "holds records, or published rows, already"),
        ("measurements.json", ("--device", "Phone"), "a saved run says itself what ran where"),
        ("empty.json", BOUND, "is an empty profile, as the client writes of a job that failed"),
        ("list.json", (), "holds neither records of devices nor rows that somebody published"),
        ("step.onnx", (), "is not UTF-8 (byte 1) (records, published rows and saved runs are JSON)"),
    ],
)
def test_sources_that_make_no_record_are_refused(devices, records, tmp_path, source, args, said):
    run_in(tmp_path, RAN)
    for name, content in (("empty.json", b"{}"), ("list.json", b"[]"), ("step.onnx", b"\x08\xff")):
        (tmp_path / name).write_bytes(content)
    code, _, err = devices("record", source, *args, "-o", "new.json")
    assert code == 2
    assert said in err
    assert not (tmp_path / "new.json").exists()


@pytest.mark.parametrize("verb", [("record", "-o", "new.json"), ("show",)])
def test_a_run_that_a_newer_version_saved_says_so(devices, tmp_path, verb):
    run_in(tmp_path, RAN)
    path = tmp_path / "measurements.json"
    path.write_bytes(path.read_bytes().replace(b"measurements/v1", b"measurements/v2"))
    code, _, err = devices(*verb, "measurements.json")
    assert code == 2
    assert "'fidelity-gate/measurements/v2', written by a newer fidelity-gate (update: this version reads" in err


def test_records_never_replace_what_is_read_nor_a_file_of_something_else(devices, tmp_path):
    run_in(tmp_path, RAN)
    assert devices("record", "measurements.json", "-o", "measurements.json")[0] == 2
    assert devices("record", "measurements.json", "-o", "release.yaml")[0] == 2
    before = (tmp_path / "measurements.json").read_bytes()
    (tmp_path / "verdict.json").write_text('{"schema": "fidelity-gate/report/v1"}')
    assert devices("record", "measurements.json", "-o", "verdict.json")[0] == 2
    assert (tmp_path / "measurements.json").read_bytes() == before
    assert "report/v1" in (tmp_path / "verdict.json").read_text()


# ---------------------------------------------------------------- jobs of the service


@pytest.fixture
def job(hub, client_ini, monkeypatch):  # noqa: F811
    """Run a graph on the simulated hub, and return its job and the graph's file."""
    impatient(monkeypatch)
    run = phone().run(workload())
    return run.job


def test_a_job_is_fetched_shown_and_recorded_by_its_id_for_the_file_that_it_ran(devices, job, tmp_path):
    (tmp_path / "int8.onnx").write_bytes(graph().data)
    (tmp_path / "other.onnx").write_bytes(graph("another").data)
    code, out, err = devices("resume", job.id)
    assert code == 0, err
    assert "Samsung Galaxy S24" in out
    assert "simulated" in out
    code, _, err = devices("resume", job.id, "--model", "other.onnx", "-o", "s24.json")
    assert code == 2
    assert f"is not the file that job {job.id} ran" in err
    assert not (tmp_path / "s24.json").exists()
    code, _, err = devices("resume", job.id, "--model", "int8.onnx", "-o", "s24.json")
    assert code == 0, err
    (found,) = sealing.read(tmp_path / "s24.json")
    assert (found.origin, found.simulated, found.job_id) == (Origin.JOB, True, job.id)
    assert found.model_digest == found.graph_digest == graph().digest
    code, out, _ = devices("record", job.id, "--model", "int8.onnx", "-o", "s24.json")
    assert code == 0
    assert "1 known already" in out


@pytest.mark.parametrize(
    "args",
    [
        ("list", "--service", "*"),
        ("resume", "jabc123"),
        ("resume", "jabc123", "-o", "new.json"),
        ("record", "jabc123", "-o", "new.json"),
    ],
)
def test_without_the_client_whoever_needs_it_is_told_what_to_install_and_nothing_else_is_affected(
    devices, records, tmp_path, monkeypatch, args
):
    monkeypatch.setitem(sys.modules, "qai_hub", None)
    monkeypatch.setitem(sys.modules, "qai_hub.client", None)
    code, _, err = devices(*args)
    assert code == 3
    assert err.endswith("is not installed (pip install 'fidelity-gate[aihub]')\n")
    assert not (tmp_path / "new.json").exists()
    for other in (("list",), ("list", records), ("show", records), ("show", TABLE_11, "--max-step", "6 s")):
        assert devices(*other)[0] == 0


@pytest.mark.parametrize("args", [("list",), ("list", "records.json"), ("show", "records.json"), ("--help",)])
def test_what_needs_no_client_loads_none_and_nothing_that_runs_models(records, tmp_path, args):
    code = (
        "import sys\nfrom fidelity_gate.cli import answer\ncode = answer(['devices', *sys.argv[1:]])\n"
        "found = {'qai_hub', 'h5py', 'requests', 'botocore', 'torch', 'onnxruntime', 'google'} & set(sys.modules)\n"
        "sys.exit(str(sorted(found)) if found else int(code))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("j!",), "is no id of a job"),
        (("jabc123", "--timeout", "soon"), "--timeout"),
        (("jabc123", "--timeout", "0 s"), "is no time to wait"),
        (("jabc123", "-o", "int8.onnx"), "has the name of a model"),
    ],
)
def test_what_is_no_job_and_no_time_is_refused_before_anything_is_asked(devices, args, said):
    came, out, err = devices("resume", *args)
    assert (came, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_job_that_is_not_there_ends_in_exit_3(devices, hub, client_ini, monkeypatch):  # noqa: F811
    impatient(monkeypatch)
    for verb in (("resume", "jnosuchjob"), ("record", "jnosuchjob", "-o", "s24.json")):
        came, out, err = devices(*verb)
        assert (came, out) == (3, "")
        assert "jnosuchjob" in err


# ---------------------------------------------------------------- the group


@pytest.mark.parametrize("verb", ["list", "show", "record", "resume", "simulate"])
def test_every_verb_has_a_help_with_examples(devices, verb):
    code, out, _ = devices(verb, "--help")
    assert code == 0
    assert "Examples:" in out
    assert f"fidelity-gate devices {verb}" in out


def test_the_group_names_its_verbs_and_the_nearest_to_a_wrong_one(devices):
    code, out, _ = devices("--help")
    assert code == 0
    assert all(verb in out for verb in ("list", "show", "record", "resume", "simulate"))
    assert devices()[0] == 2
    assert "did you mean record?" in devices("recrod")[2]


# ---------------------------------------------------------------- the page


def test_the_page_shows_what_its_commands_print(devices, monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "recorded-devices.md").read_text(encoding="utf-8")
    shown = [line[2:] for line in page.splitlines() if line.startswith("$ ") and "policies/examples/" in line]
    commands = [shlex.split(line)[2:] for line in shown if line.startswith("fidelity-gate devices")]
    assert [command[0] for command in commands] == ["show", "list"]
    code, out, _ = devices(*commands[0])
    assert code == 1
    block = page.partition("step <= 30 ms\n")[2].partition("\n\n")[0]
    assert block == out.partition("step <= 30 ms\n")[2].partition("\n\n")[0]
    assert page.partition("findings\n")[2].partition("\n```")[0] == out.partition("findings\n")[2].rstrip("\n")
    assert devices(*commands[1])[0] == 0
    assert int(answer(["policy", "lint", "--strict", "policies/examples/recorded-table11.yaml"])) == 0
