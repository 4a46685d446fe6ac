"""The room of devices: who runs a model, and says how long it takes. A device is one class and one line here."""

TABLE = {
    "host-cpu": "fidelity_gate.devices.host_cpu:HostCpu",
    "qai_hub": "fidelity_gate.devices.qai_hub:QaiHub",
    "recorded": "fidelity_gate.devices.recorded:Recorded",
}
