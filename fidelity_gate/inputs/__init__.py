"""The room of probe sources. A source is one file and one line here."""

TABLE = {
    "npz": "fidelity_gate.inputs.npz:Npz",
    "safetensors": "fidelity_gate.inputs.safetensors:Safetensors",
    "frames": "fidelity_gate.inputs.frames:Frames",
    "wav": "fidelity_gate.inputs.wav:Wav",
    "sudoku": "fidelity_gate.inputs.sudoku:Sudoku",
    "maze": "fidelity_gate.inputs.maze:Maze",
    "modular-addition": "fidelity_gate.inputs.modular_addition:ModularAddition",
}
