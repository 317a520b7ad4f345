"""Judging a model on pictures it has not seen, with intervals."""
