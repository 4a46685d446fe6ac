"""fidelity-gate: decides in CI whether a compressed recursive model may ship."""

__version__ = "0.1.0"
