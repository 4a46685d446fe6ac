"""Models of several files: every one of them is signed, and has to be there."""

import shutil

import numpy as np
import onnx
import pytest
from model_files import ATTENTION, weights_of
from onnx_steps import REASONER, WIDTH, reasoner, write
from proofs import FILES_ALONE, desk_in, payload_of
from safetensors.numpy import save_file

from fidelity_gate.cli import answer
from fidelity_gate.files import sha256_hex
from fidelity_gate.model_files import digest_of
from fidelity_gate.reports import json as saved

STARTED = "{path: step.onnx, uncompressed: true, model: {initial: parts/start.safetensors}}"
CONFIGURED = "{path: model.safetensors, uncompressed: true}"


def gated(folder, candidate, name="passed"):
    (folder / f"{name}.yaml").write_text(FILES_ALONE.replace("CANDIDATE", candidate))
    return answer(["run", str(folder / f"{name}.yaml"), "--report", f"json:{folder / name}.json"])


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A step graph whose state starts from a file in a folder below."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "parts").mkdir()
    write(folder, REASONER, reasoner())
    save_file({"z": np.ones(WIDTH, np.float32)}, folder / "parts" / "start.safetensors")
    assert gated(folder, STARTED) == 0
    return folder


@pytest.fixture
def desk(judged, tmp_path):
    return desk_in(tmp_path / "release", judged, "step.onnx")


def digest(path):
    return sha256_hex(path.read_bytes())


def test_every_file_that_the_gate_read_is_signed_and_verified(desk, capsys):
    assert desk.attest() == 0
    start = desk.folder / "parts" / "start.safetensors"
    wanted = [("step.onnx", digest(desk.artifact)), ("parts/start.safetensors", digest(start))]
    assert [(one["name"], one["digest"]["sha256"]) for one in payload_of(desk.proof)["subject"]] == wanted
    assert desk.verify() == 0
    assert "step.onnx with parts/start.safetensors may be deployed" in capsys.readouterr().out


def test_a_file_that_is_missing_or_another_blocks(desk, capsys):
    assert desk.attest() == 0
    start = desk.folder / "parts" / "start.safetensors"
    data = start.read_bytes()
    start.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert desk.verify() == 2
    assert "start.safetensors: is not the file that was judged" in capsys.readouterr().err
    start.unlink()
    assert desk.verify() == 2
    assert (
        "start.safetensors: there is no such file (parts/start.safetensors is a part of the model"
        in capsys.readouterr().err
    )
    assert desk.attest() == 2
    assert not desk.proof.exists()


def test_files_that_lie_elsewhere_are_named(desk, capsys):
    elsewhere = desk.folder / "moved.safetensors"
    (desk.folder / "parts" / "start.safetensors").rename(elsewhere)
    assert desk.attest() == 2
    order = ["attest", str(desk.folder / "passed.json"), "--key", desk.private, "-o", str(desk.proof)]
    assert answer([*order, "--artifact", str(desk.artifact), "--artifact", str(elsewhere)]) == 0
    assert desk.verify() == 2
    assert desk.verify(str(elsewhere)) == 0
    capsys.readouterr()
    assert desk.verify(str(elsewhere), desk.public) == 2
    assert "gate.pub: is no file of the model step.onnx" in capsys.readouterr().err


def test_the_models_own_file_comes_first(desk, capsys):
    desk.attest()
    (desk.folder / "step.onnx").rename(desk.folder / "own.onnx")
    shutil.copy(desk.folder / "parts" / "start.safetensors", desk.artifact)
    assert desk.verify(str(desk.folder / "own.onnx")) == 2
    assert "is about a model that this file" in capsys.readouterr().err


def test_the_configuration_beside_a_checkpoint_is_a_part_of_it(tmp_path, capsys):
    made = tmp_path / "made"
    made.mkdir()
    save_file(weights_of(ATTENTION), made / "model.safetensors")
    sidecar = made / "model.safetensors.model.yaml"
    sidecar.write_text("num_heads: 2\npositions: rope\nseq_len: 6\nh_cycles: 1\nl_cycles: 2\nsteps: 2\n")
    assert gated(made, CONFIGURED) == 0
    desk = desk_in(tmp_path / "release", made, "model.safetensors")
    assert desk.attest() == 0
    assert [one["name"] for one in payload_of(desk.proof)["subject"]] == ["model.safetensors", sidecar.name]
    assert desk.verify() == 0
    (desk.folder / sidecar.name).write_text(sidecar.read_text().replace("steps: 2", "steps: 3"))
    assert desk.verify() == 2
    assert "is not the file that was judged" in capsys.readouterr().err


def test_tensors_in_files_that_nobody_read_are_not_signed(tmp_path, capsys):
    """A policy on files alone may pass such a graph; whoever exchanges its weights would not be noticed."""
    folder = tmp_path / "outside"
    folder.mkdir()
    model = onnx.load(write(tmp_path, REASONER, reasoner()))
    onnx.save_model(model, folder / "step.onnx", save_as_external_data=True, location="w.bin", size_threshold=100)
    assert gated(folder, "{path: step.onnx, uncompressed: true}") == 0
    desk = desk_in(tmp_path / "release", folder, "step.onnx")
    assert desk.attest() == 2
    assert "in other files, which the gate did not read" in capsys.readouterr().err
    assert not desk.proof.exists()


def test_a_record_that_does_not_say_its_files_is_not_signed(desk, capsys):
    verdict = desk.folder / "passed.json"
    found = saved.read(str(verdict))
    (record,) = found.measured.candidates
    assert digest_of(record.facts.files) == record.facts.digest
    data = verdict.read_text()
    listed = data[data.index('"files":[{') : data.index("}]", data.index('"files":[{')) + 2]
    verdict.write_text(data.replace(listed, '"files":[]', 1))
    assert desk.attest() == 2
    assert "consists of more than files that can be signed" in capsys.readouterr().err
    verdict.write_text(data.replace(digest(desk.artifact), "0" * 64, 1))
    assert desk.attest() == 2
    assert "has another digest than its files together" in capsys.readouterr().err


def test_no_statement_is_written_over_a_file_of_the_model(tmp_path, capsys):
    made = tmp_path / "made"
    made.mkdir()
    write(made, REASONER, reasoner())
    start = made / "start.npz"
    np.savez(start, z=np.ones(WIDTH, np.float32))
    assert gated(made, STARTED.replace("parts/start.safetensors", start.name)) == 0
    report = made / "passed.json"
    report.write_text(report.read_text().replace(start.name, "start.json"))  # a name that outputs may have
    (made / "start.json").write_bytes(start.read_bytes())
    order = ["attest", str(report), "--artifact", str(made / "step.onnx"), "--predicate"]
    assert answer([*order, str(made / "start.json")]) == 2
    assert "start.json is read by this command" in capsys.readouterr().err
    assert (made / "start.json").read_bytes() == start.read_bytes()
    assert answer([*order, "-"]) == 2
    assert answer([*order, str(made / "predicate.json")]) == 0
