"""Trainers' own readers, one file a library, each run by whichever interpreter has it.

A file here stands alone: it imports its library and the standard library, and nothing of curate.
It has ``LIBRARY``, the distribution's name, and

    read(folder, shards) -> yields a shard's name, then its samples; then the next shard's

where a sample is (key or None, text or None, picture's bytes or None). The picture is None where
the library decodes it itself.
"""
