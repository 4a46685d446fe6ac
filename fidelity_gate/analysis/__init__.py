"""Facts from files alone: nothing here runs a model."""
