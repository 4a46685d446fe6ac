"""What tests of signed statements share: keys, a policy on files alone, and statements that are changed."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from fidelity_gate.cli import answer
from fidelity_gate.proof.envelope import sealed
from fidelity_gate.proof.keys import private_key

FILES_ALONE = """\
apiVersion: fidelity-gate/v1
name: release
reference: zoo:trm-addition
candidates: {int8: CANDIDATE}
inputs: zoo:trm-addition
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
checks:
  size: {metric: model_size, require: {max: 2 MiB}}
"""


def pem_pair(folder, key=None, name="gate", password=None):
    """Write both halves of a key, an Ed25519 key where none is given, and return their paths."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, spki))
    return str(private), str(public)


def payload_of(proof):
    """Return the statement in an envelope."""
    return json.loads(base64.b64decode(json.loads(proof.read_text())["payload"]))


def rewrite(proof, change, *, key=None):
    """Change what the statement says, and sign that again where there is a key; else keep the old signature."""
    envelope, statement = json.loads(proof.read_text()), payload_of(proof)
    change(statement)
    payload = json.dumps(statement, sort_keys=True).encode()
    if key:
        proof.write_text(sealed(payload, private_key(key)))
    else:
        proof.write_text(json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}))


@dataclass(frozen=True)
class Desk:
    """A folder with a candidate, a policy, a verdict and a key, and how to attest and verify there."""

    folder: Path
    artifact: Path
    private: str
    public: str

    @property
    def proof(self):
        """The signed statement."""
        return self.folder / "model.intoto.json"

    def attest(self, name="passed", **changed):
        """Sign what `NAME.json` says, and return the exit code; options are changed by their names."""
        options = {"--artifact": str(self.artifact), "--key": self.private, "-o": str(self.proof)} | changed
        words = (part for pair in options.items() for part in pair)
        return answer(["attest", str(self.folder / f"{name}.json"), *words])

    def verify(self, *extra, name="passed", **changed):
        """Verify the candidate by `NAME.yaml`, and return the exit code."""
        policy = str(self.folder / f"{name}.yaml")
        options = {"--attestation": str(self.proof), "--key": self.public, "--policy": policy} | changed
        return answer(["verify", str(self.artifact), *(part for pair in options.items() for part in pair), *extra])


def desk_in(folder, made, artifact):
    """Copy a folder that was made once, with a fresh key."""
    shutil.copytree(made, folder)
    return Desk(folder, folder / artifact, *pem_pair(folder))
