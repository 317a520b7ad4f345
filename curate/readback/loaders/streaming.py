"""mosaicml-streaming's StreamingDataset over local MDS shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from streaming import StreamingDataset
from streaming.base.util import clean_stale_shared_memory

LIBRARY = "mosaicml-streaming"


def read(folder: str, shards: Sequence[str]) -> Iterator[str | tuple[Any, Any, Any]]:
    """Yield every sample, in the order of the index."""
    clean_stale_shared_memory()
    dataset = StreamingDataset(local=folder, shuffle=False, batch_size=1)
    number = 0
    for shard, count in zip(dataset.shards, dataset.samples_per_shard, strict=True):
        name = shard.raw_data.basename
        if name in shards:
            yield name
            for at in range(number, number + int(count)):
                sample = dataset[at]
                yield sample["key"], sample["caption"], sample["image"]
        number += int(count)
