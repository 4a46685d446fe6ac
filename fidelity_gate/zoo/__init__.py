"""Real trained weights in the package, and how they were made."""
