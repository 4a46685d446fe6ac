"""The stages of a measurement, which gate.py conducts: guards, plans, stages, provenance."""
