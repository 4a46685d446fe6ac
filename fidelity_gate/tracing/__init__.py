"""Stepping models side by side: one aligned pair of states at a time, no trajectory is ever kept."""
