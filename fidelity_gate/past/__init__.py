"""The past in files: baselines, which hold one run, and histories, to which every run adds lines."""
