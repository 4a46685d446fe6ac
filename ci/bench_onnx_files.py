"""The models, the probes and the policy of `ci.bench_onnx`: made once, kept in a folder for temporary files.

python -m ci.bench_onnx_files FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import ModelSpec, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TOKENS, WIDTH, VOCABULARY, CYCLES = 97, 512, 11, 6
MOST_PROBES = 16
# One H-cycle a step, so that the gate compares the carries after every run of the graph.
MODEL = Trm(hidden_size=WIDTH, vocab_size=VOCABULARY, mixer="mlp", positions="none", seq_len=TOKENS)
CONFIG = "arch:\n  H_cycles: 1\n  L_cycles: {cycles}\n  halt_max_steps: {steps}\n"
POLICY = """\
apiVersion: fidelity-gate/v1
name: bench
reference: step.onnx
candidates: {{int8: int8.onnx}}
inputs: {{use: npz, path: probes-{probes}.npz}}
recursion: {{h_cycles: 1, l_cycles: {cycles}, steps: {steps}}}
checks:
  z_H: {{metric: carry_fidelity, options: {{stream: z_H}}, aggregate: mean, require: {{min: 0.5}}}}
  z_L: {{metric: carry_fidelity, options: {{stream: z_L}}, aggregate: mean, require: {{min: 0.5}}}}
  answers: {{metric: answer_agreement, options: {{level: cell}}, aggregate: mean, require: {{min: 10 %}}}}
"""


def make(folder: Path, steps: int) -> None:
    """Write a reference step graph, an INT8 one made of it, probes, and where the carry starts."""
    from safetensors.numpy import save_file

    from fidelity_gate.exporting.plan import ExportPlan
    from fidelity_gate.exporting.step import export_step
    from fidelity_gate.models.opening import open_model

    weights = dict(_weights())
    save_file(weights, folder / "reference.safetensors")
    (folder / "all_config.yaml").write_text(CONFIG.format(cycles=CYCLES, steps=steps))
    opened = open_model(ModelSpec("reference", str(folder / "reference.safetensors")))
    (folder / "step.onnx").write_bytes(export_step(opened, ExportPlan(batch=1)).data)
    quantize(folder / "step.onnx", folder / "int8.onnx")
    rows = np.random.default_rng(1).integers(1, VOCABULARY, (MOST_PROBES, TOKENS), dtype=np.int32)
    for count in (4, MOST_PROBES):
        np.savez(folder / f"probes-{count}.npz", inputs=rows[:count])
    names = {"z_H": "H_init", "z_L": "L_init"}
    np.savez(folder / "starts.npz", **{to: np.tile(weights[name], (1, TOKENS, 1)) for to, name in names.items()})


def job(folder: Path, probes: int, steps: int, *, perturbation: float = 0.0, batch: int = 32) -> Path:
    """Write what the comparisons read, and return its path.

    Args:
        folder: of the models and the probes.
        probes: how many.
        steps: of each.
        perturbation: of a noise floor; 0 for none.
        batch: probes that the gate steps together; 32 is its default.
    """
    path = folder / f"job-{probes}-{steps}-{perturbation:g}-{batch}.json"
    told = {
        "reference": "step.onnx",
        "candidate": "int8.onnx",
        "probes": f"probes-{probes}.npz",
        "starts": "starts.npz",
    }
    files = {name: str(folder / file) for name, file in told.items()}
    settings = {"steps": steps, "l_cycles": CYCLES, "perturbation": perturbation, "batch": batch}
    path.write_text(json.dumps({**files, **settings}))
    return path


def policy(folder: Path, probes: int, steps: int) -> Path:
    """Write a policy of the same comparison, and return its path."""
    path = folder / f"policy-{probes}-{steps}.yaml"
    path.write_text(POLICY.format(probes=probes, steps=steps, cycles=CYCLES))
    return path


def _weights() -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield random weights; small down projections keep an untrained recursion from being chaotic."""
    draws = np.random.default_rng(0)
    for name, (shape, role) in MODEL.tensors().items():
        scale = 1.0 if len(shape) < 2 else shape[-1] ** -0.5
        calm = 0.1 if role is Role.BLOCK and "down_proj" in name else 1.0
        yield name, (draws.standard_normal(shape) * scale * calm).astype(np.float32)


def quantize(source: Path, target: Path) -> None:
    """Quantize every MatMul with a constant: INT8 weights, and activations whose scale is found at every run."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_dynamic(str(prepared), str(target), weight_type=QuantType.QInt8)
    prepared.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
