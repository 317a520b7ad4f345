"""Scorers: add numbers to texts, decide nothing."""
