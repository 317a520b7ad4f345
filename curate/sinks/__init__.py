"""Sinks: views of the finished table in other formats."""
