"""Barriers that find duplicates over the whole set, out of core, earliest row surviving."""
