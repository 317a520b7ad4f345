"""Engines: where a plan's work is done. The local one defines the meaning."""
