"""Stages: plain Python that takes a partition and returns a partition; one file per kind."""
