"""The room of metrics. A metric is one class and one line here."""

TABLE = {
    "answer_agreement": "fidelity_gate.metrics.answers:AnswerAgreement",
    "carry_fidelity": "fidelity_gate.metrics.carry_fidelity:CarryFidelity",
    "carry_norm_ratio": "fidelity_gate.metrics.carry_norm:CarryNormRatio",
    "carry_range": "fidelity_gate.metrics.carry_range:CarryRange",
    "cell_accuracy": "fidelity_gate.metrics.accuracy:CellAccuracy",
    "cell_accuracy_drop": "fidelity_gate.metrics.accuracy:CellAccuracyDrop",
    "changed_cell_accuracy": "fidelity_gate.metrics.accuracy:ChangedCellAccuracy",
    "compressed_share": "fidelity_gate.metrics.files:CompressedShare",
    "compute": "fidelity_gate.metrics.compute:ComputeCost",
    "consecutive_similarity": "fidelity_gate.metrics.consecutive:ConsecutiveSimilarity",
    "energy": "fidelity_gate.metrics.compute:Energy",
    "halt_agreement": "fidelity_gate.metrics.answers:HaltAgreement",
    "latency": "fidelity_gate.metrics.latency:Latency",
    "lint": "fidelity_gate.metrics.lint:Lint",
    "model_size": "fidelity_gate.metrics.files:ModelSize",
    "peak_memory": "fidelity_gate.metrics.peak_memory:PeakMemory",
    "puzzle_exact": "fidelity_gate.metrics.accuracy:PuzzleExact",
    "puzzle_exact_drop": "fidelity_gate.metrics.accuracy:PuzzleExactDrop",
    "sram_peak": "fidelity_gate.metrics.files:SramPeak",
    "step_fidelity": "fidelity_gate.metrics.step_fidelity:StepFidelity",
}
