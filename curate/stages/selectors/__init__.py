"""Selectors: decide text by text which pairs a selection holds, from stored scores alone."""
