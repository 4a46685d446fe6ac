"""A simulated AI Hub: a loopback server that the unmodified qai-hub client talks to; no device runs anything.

with SimulatedHub(faults=["rate-limited:1"]) as hub:
    hub.write_client_ini(path)  # then QAIHUB_CLIENT_INI=path
"""

from fidelity_gate.simulated_hub.catalog import SimulatedDevice
from fidelity_gate.simulated_hub.faults import Fault, Faults
from fidelity_gate.simulated_hub.latency import Latency
from fidelity_gate.simulated_hub.replay import Replay
from fidelity_gate.simulated_hub.server import SimulatedHub

__all__ = ["Fault", "Faults", "Latency", "Replay", "SimulatedDevice", "SimulatedHub"]
