"""Exporters: a selection handed to a trainer as files."""
