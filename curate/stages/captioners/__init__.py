"""Captioners: write synthetic captions for images."""
