import numpy as np
import pytest
from fakes import DEPTH, PROBES, SHELF, FakeOpened, FakeRecursion, nan_at, some_facts, some_probes
from safetensors import safe_open
from safetensors.numpy import load_file

import fidelity_gate.inputs
import fidelity_gate.models
from fidelity_gate.cli import answer
from fidelity_gate.records import Depth
from fidelity_gate.storage.tensorfile import read_tensors


@pytest.fixture(autouse=True)
def stocked(monkeypatch):
    monkeypatch.setitem(fidelity_gate.models.TABLE, "fake", "fakes:FakeFormat")
    monkeypatch.setitem(fidelity_gate.inputs.TABLE, "fake", "fakes:FakeInputs")
    PROBES.clear()
    PROBES["probes"] = some_probes(10)
    SHELF.clear()
    SHELF["ref"] = FakeOpened(some_facts("ref"), FakeRecursion())


@pytest.fixture
def trace(tmp_path, capsys):
    """Run the verb as a user does; return the exit code, standard output and the error line."""

    def run(*arguments, output=None):
        words = ["trace", "ref", "--use", "fake", "--inputs", "fake", "-o", str(output or tmp_path / "t.safetensors")]
        code = answer([*words, *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def expected(depth=DEPTH):
    return list(FakeRecursion().run(PROBES["probes"], depth))


def test_the_file_holds_every_state_of_every_probe(trace, tmp_path):
    code, out, _ = trace("--batch", 4)
    assert code == 0
    assert "10 probes, H=1 L=2 steps=6" in out
    found = load_file(tmp_path / "t.safetensors")
    assert {name: each.shape for name, each in found.items()} == {
        "z_H": (10, 6, 9, 16),
        "z_L": (10, 6, 9, 16),
        "logits": (10, 6, 9, 6),
        "halt": (10, 6, 2),
    }
    for step, state in enumerate(expected()):
        assert np.allclose(found["z_L"][:, step], state.carry["z_L"], atol=1e-6)
        assert np.allclose(found["logits"][:, step], state.logits, atol=1e-5)


def test_the_file_is_strict_safetensors_and_says_what_made_it(trace, tmp_path):
    trace()
    data = (tmp_path / "t.safetensors").read_bytes()
    assert len(read_tensors(data).tensors) == 4
    with safe_open(tmp_path / "t.safetensors", "np") as file:
        facts = file.metadata()
    assert facts["model_sha256"] == SHELF["ref"].facts.digest
    assert facts["depth"] == "H=1 L=2 steps=6"
    assert facts["probes"] == "0:10"
    trace()
    assert (tmp_path / "t.safetensors").read_bytes() == data


def test_probes_and_depth_can_be_chosen(trace, tmp_path):
    code, out, _ = trace("--probes", "3:7", "--steps", 2, "--l-cycles", 1)
    assert code == 0
    assert "4 probes, H=1 L=1 steps=2" in out
    found = load_file(tmp_path / "t.safetensors")
    assert found["z_H"].shape == (4, 2, 9, 16)
    assert np.allclose(found["z_H"][:, 1], expected(Depth(1, 1, 2))[1].carry["z_H"][3:7], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--probes", "7:3"], "there are no probes 7:3"),
        (["--probes", "0:11"], "there are 10"),
        (["--probes", "1-3"], "is not A:B"),
        (["--steps", "0"], "--steps"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_one_line(trace, tmp_path, arguments, words):
    code, out, error = trace(*arguments)
    assert code == 2
    assert out == ""
    assert words in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "t.safetensors").exists()


def test_a_file_that_declares_no_depth_needs_one(trace):
    SHELF["ref"] = FakeOpened(some_facts("ref", depth=None), FakeRecursion())
    code, _, error = trace("--steps", 3)
    assert code == 2
    assert "--h-cycles and --l-cycles" in error
    assert trace("--steps", 3, "--h-cycles", 1, "--l-cycles", 2)[0] == 0


def test_a_broken_model_leaves_no_file_not_even_an_older_one(trace, tmp_path):
    assert trace()[0] == 0
    SHELF["ref"] = FakeOpened(some_facts("ref"), FakeRecursion(warp=nan_at(3, 2)))
    code, _, error = trace()
    assert code == 2
    assert "z_H is not finite at step 3 for probe 2" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "words"), [("carries.txt", "must end in"), ("model.safetensors", "no trace of ours")])
def test_nothing_but_an_older_trace_is_written_over(trace, tmp_path, name, words):
    target = tmp_path / name
    target.write_bytes(b"\x10\0\0\0\0\0\0\0{}              weights")
    code, _, error = trace(output=target)
    assert code == 2
    assert words in error
    assert target.read_bytes().endswith(b"weights")
