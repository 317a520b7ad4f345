"""A package of somebody else that adds a kind by an entry point."""
