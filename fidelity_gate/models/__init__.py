"""The room of model file formats. A format is one file and one line here."""

TABLE = {
    "artifact": "fidelity_gate.models.artifact_file:ArtifactFile",
    "checkpoint": "fidelity_gate.models.checkpoint:Checkpoint",
    "hooked": "fidelity_gate.models.hooked:Hooked",
    "onnx": "fidelity_gate.models.onnx_step:OnnxStep",
}
