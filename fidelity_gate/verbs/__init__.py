"""The room of command-line verbs. A verb is one file and one line in each table here."""

TABLE = {
    "run": "fidelity_gate.verbs.run:run",
    "measure": "fidelity_gate.verbs.measure:measure",
    "judge": "fidelity_gate.verbs.judge:judge",
    "report": "fidelity_gate.verbs.report:report",
    "baseline": "fidelity_gate.verbs.baseline:baseline",
    "history": "fidelity_gate.verbs.history:history",
    "compress": "fidelity_gate.verbs.compress:compress",
    "export": "fidelity_gate.verbs.export:export",
    "trace": "fidelity_gate.verbs.trace:trace",
    "inspect": "fidelity_gate.verbs.inspect:inspect",
    "lint": "fidelity_gate.verbs.lint:lint",
    "policy": "fidelity_gate.verbs.policy:policy",
    "devices": "fidelity_gate.verbs.devices:devices",
    "zoo": "fidelity_gate.verbs.zoo:zoo",
    "demo": "fidelity_gate.verbs.demo:demo",
    "doctor": "fidelity_gate.verbs.doctor:doctor",
}

# Shown by `fidelity-gate --help` without importing any verb.
SUMMARIES = {
    "run": "Measure, judge and report: the gate.",
    "measure": "Step the models side by side and save measurements.json.",
    "judge": "Judge saved measurements against a policy (no torch needed).",
    "report": "Render a saved verdict in another format.",
    "baseline": "Save a run that later ones are held against.",
    "history": "Show how the numbers of devices went, run by run.",
    "compress": "Write a compressed candidate of a reference.",
    "export": "Write one step of a TRM or an HRM as an ONNX graph.",
    "trace": "Save the carries of one model for other tools.",
    "inspect": "Say what a model file holds, without running it.",
    "lint": "Find known mistakes in model files, without running them.",
    "policy": "Check, show and start policy files.",
    "devices": "Record, list, show and fetch what real devices said.",
    "zoo": "List, find and train the embedded models.",
    "demo": "Gate three compressions of an embedded model.",
    "doctor": "Show versions, extras, threads and devices.",
}
