"""`devices simulate` as a user runs it: how it leads the client here, what it refuses, and how it ends."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fidelity_gate.cli import answer
from fidelity_gate.errors import UsageError
from fidelity_gate.simulated_hub import Latency, SimulatedHub
from fidelity_gate.simulated_hub.catalog import DEVICES
from fidelity_gate.simulated_hub.replay import read_replay
from fidelity_gate.simulated_hub.settings import latencies
from tests.hubs import tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = str(Path(__file__).resolve().parents[1])
USER = """
import sys, qai_hub, qai_hub.client
qai_hub.client.Job._polling_interval = 0.0625
job = qai_hub.submit_inference_job(sys.argv[1], qai_hub.Device("Samsung Galaxy S24"))
print(len(job.download_profile()["execution_summary"]["all_inference_times"]))
"""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ROOT, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **more}


@pytest.fixture
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start the command with the marker's arguments; give it and its configuration once it listens."""
    ini = tmp_path / "hub.ini"
    command = [sys.executable, "-m", "fidelity_gate.cli", "devices", "simulate", "--client-ini", str(ini)]
    process = subprocess.Popen(
        [*command, *getattr(request, "param", ())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=tmp_path,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    assert "no device runs anything" in lines[0]
    assert lines[1] == f"export QAIHUB_CLIENT_INI={shlex.quote(str(ini))}\n", (lines, process.poll())
    try:
        yield process, ini
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("started", [("--once", "--latency", "runs=7", "--fault", "rate-limited:1")], indirect=True)
def test_a_user_leads_the_client_to_it_and_it_leaves_after_the_first_results(
    started: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    process, ini = started
    command = [sys.executable, "-c", USER, str(tiny_model(tmp_path))]
    user = subprocess.run(
        command, env=environment(QAIHUB_CLIENT_INI=str(ini)), capture_output=True, text=True, timeout=100, check=False
    )
    assert user.stdout == "7\n", user.stderr
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    told = [line.split()[1:] for line in err.splitlines()]
    assert ["GET", "devices/", "200"] in told
    assert [line[2] for line in told if line[:2] == ["POST", "jobs/"]] == ["429", "200"]
    assert not ini.exists()


@pytest.mark.parametrize("started", [("--once", "--latency", "runs=7", "--fault", "dropped-reply:1")], indirect=True)
def test_a_request_that_is_dropped_is_told_and_does_not_keep_it_from_leaving(
    started: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    process, ini = started
    command = [sys.executable, "-c", USER, str(tiny_model(tmp_path))]
    user = subprocess.run(
        command, env=environment(QAIHUB_CLIENT_INI=str(ini)), capture_output=True, text=True, timeout=100, check=False
    )
    assert user.stdout == "7\n", user.stderr
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    told = [line.split()[1:] for line in err.splitlines()]
    assert [line[2] for line in told if line[:2] == ["POST", "jobs/"]] == ["dropped", "200"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_clean(started: tuple[subprocess.Popen[str], Path], number: signal.Signals) -> None:
    process, ini = started
    assert "verbose = False" in ini.read_text()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert not ini.exists()


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--fault", "rate-limit"], "no fault is named 'rate-limit' (did you mean rate-limited?)"),
        (["--fault", "html:x"], "is no count"),
        (["--latency", "overhed_us=5"], "did you mean overhead_us?"),
        (["--latency", "overhead_us=many"], "latency overhead_us: must be a number"),
        (["--latency", "runs=0"], "latency runs: is 0"),
        (["--latency", "bandwidth_gbs=0"], "nothing to fall back to"),
        (["--latency", "nan.json"], "there is no such file"),
        (["--replay", "rows.json"], "there is no such file"),
        (["--port", "70000"], "is not in the range"),
        (["--job-seconds", "-1"], "is not in the range"),
        (["--job-seconds", "nan"], "must be at least 0"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert answer(["devices", "simulate", *given, "--for", "0"]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_it_never_writes_over_a_configuration_with_an_account(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = tmp_path / "client.ini"
    ini.write_text("[api]\napi_token = mine\n")
    assert answer(["devices", "simulate", "--client-ini", str(ini), "--for", "0"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert ini.read_text() == "[api]\napi_token = mine\n"


def test_a_time_that_is_no_number_is_refused_and_does_not_last_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["devices", "simulate", "--for", "nan"]) == 2
    assert "--for: is no number of seconds" in capsys.readouterr().err


def test_its_configuration_is_taken_away_at_the_end_and_a_newer_one_of_another_simulator_stays(tmp_path: Path) -> None:
    ini = tmp_path / "hub.ini"
    with SimulatedHub() as newer:

        def overwrite() -> None:
            for _ in range(200):
                if ini.exists():
                    break
                time.sleep(0.05)
            newer.write_client_ini(ini)

        writer = threading.Thread(target=overwrite)
        writer.start()
        assert answer(["devices", "simulate", "--client-ini", str(ini), "--for", "1"]) == 0
        writer.join()
        assert newer.token in ini.read_text()


def test_the_lines_for_a_shell_hold_whatever_the_folder_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    ini = folder / "hub.ini"
    assert answer(["devices", "simulate", "--client-ini", str(ini), "--for", "0"]) == 0
    lines = f'{capsys.readouterr().out}\nprintf %s "$QAIHUB_CLIENT_INI"'
    assert subprocess.run(["sh", "-c", lines], capture_output=True, text=True, check=True).stdout == str(ini)


def test_without_the_client_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "qai_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "qai_hub", None)
    assert answer(["devices", "simulate", "--for", "0"]) == 2
    assert "is not installed (pip install 'fidelity-gate[aihub]')" in capsys.readouterr().err


def test_importing_it_loads_no_client_and_no_runtime() -> None:
    code = (
        "import sys, fidelity_gate.simulated_hub, fidelity_gate.verbs.devices_simulate\n"
        "print(sorted({'qai_hub', 'onnx', 'onnxruntime', 'h5py', 'google.protobuf', 'requests'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_the_faults_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["devices", "simulate", "--faults"]) == 0
    assert "rate-limited" in capsys.readouterr().out


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatedHub() as hub:
        assert answer(["devices", "simulate", "--port", str(hub.port), "--for", "0"]) == 2
    assert "cannot be used" in capsys.readouterr().err


# ---------------------------------------------------------------- figures from the command line


def test_figures_apply_to_all_devices_or_to_one_in_the_order_they_are_given(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text('{"runs": 5, "devices": {"Samsung Galaxy S24": {"overhead_us": 9, "cpu_operators": ["Erf"]}}}')
    found = latencies(["overhead_us=7", str(path), "jitter=0"], DEVICES)
    assert (found["Samsung Galaxy S24"].overhead_us, found["Samsung Galaxy S23"].overhead_us) == (9, 7)
    assert {latency.runs for latency in found.values()} == {5}
    assert {latency.jitter for latency in found.values()} == {0}
    assert found["Samsung Galaxy S24"].cpu_operators == ("Erf",)
    by_name = {device.name: device.latency for device in DEVICES}
    assert found["Samsung Galaxy S23"].npu_float_gflops == by_name["Samsung Galaxy S23"].npu_float_gflops


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "must be an object"),
        ('{"devices": []}', "an object for each device"),
        ('{"devices": {"Galaxy S24": {}}}', "no device is named"),
        ('{"runs": 1.5}', "must be a whole number"),
        ('{"runs": true}', "must be a whole number"),
        ('{"overhead_us": NaN}', "is not acceptable JSON"),
        ('{"overhead_us": 1e999}', "is not acceptable JSON"),
        ('{"cpu_operators": [1]}', "names of operators"),
    ],
)
def test_a_file_of_figures_that_cannot_be_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        latencies([str(path)], DEVICES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "rows: is missing"),
        ("[]", "has no rows"),
        ('["x"]', r"rows\[1\]: must be an object"),
        ('[{"model": "m", "peak_mb": [2, 1]}]', "lowest, highest"),
        ('[{"model": "m", "peak_mb": [1, 2], "layers": {"npu": -1}}]', "whole number"),
        ('[{"model": "m", "peak_mb": [1, 2], "layers": {}, "inference_time_ms": 0}]', "above 0"),
        ('[{"model": "!", "peak_mb": [1, 2]}]', "model: is missing"),
    ],
)
def test_rows_that_cannot_be_are_refused(text: str, words: str, tmp_path: Path) -> None:
    from fidelity_gate.errors import InputsRefused

    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(InputsRefused, match=words):
        read_replay(path)


def test_a_latency_of_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no device is named"):
        SimulatedHub(latency={"Galaxy": Latency()})
