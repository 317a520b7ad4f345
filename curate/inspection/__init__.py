"""Inspection: looking at a run without changing it."""
