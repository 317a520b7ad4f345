"""Which shards hold rows that have to go, and the samples that stay in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from curate.core.samples import Position, Sample, Samples, image_key


def holds(shard: Mapping[str, Any], gone: Mapping[int, Set[int]]) -> bool:
    """Whether a shard's first and last key enclose that of a row that has to go.

    Args:
        shard: its entry in the manifest.
        gone: rows by partition.
    """
    first, last = image_key(shard["first"]), image_key(shard["last"])
    return any(
        first <= f"{number:08d}{row:06d}" <= last
        for number in range(int(first[:8]), int(last[:8]) + 1)
        for row in gone.get(number, ())
    )


def stay(samples: Samples, shard: Mapping[str, Any]) -> Iterator[tuple[Sample, Position]]:
    """Yield the samples between a shard's first and last key, as the table has them now."""
    first, last = shard["first"], shard["last"]
    nowhere = Position(0, 0)
    for number in samples.table.partitions:
        if int(first[:8]) <= number <= int(last[:8]):
            for sample in samples.partition(number):
                if first <= sample.key <= last:
                    yield sample, nowhere
