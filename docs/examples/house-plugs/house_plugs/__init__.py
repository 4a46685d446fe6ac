"""Plugs of our own for fidelity-gate, found through the entry points of this package."""
