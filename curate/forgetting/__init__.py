"""Forgetting: rows taken out of a run and of all that was made from it; see ``forget.py``."""
