"""Lance's own reader of a table, fragment by fragment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lance

LIBRARY = "pylance"
_DATA = f"{os.sep}data{os.sep}"


def read(folder: str, shards: Sequence[str]) -> Iterator[str | tuple[Any, Any, Any]]:
    """Yield every row of the table that the data files belong to."""
    if not shards:
        return
    root = str(Path(folder, shards[0])).rpartition(_DATA)[0]
    wanted = {Path(shard).name: shard for shard in shards}
    for fragment in lance.dataset(root).get_fragments():
        shard = wanted.get(Path(fragment.data_files()[0].path).name)
        if shard is None:
            continue
        yield shard
        for batch in fragment.to_batches(columns=["key", "caption", "image"], batch_size=100):
            for row in batch.to_pylist():
                yield row["key"], row["caption"], row["image"] or b""
