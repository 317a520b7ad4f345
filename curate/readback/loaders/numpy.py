"""numpy over a list of uids, as DataComp's resharder maps it into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LIBRARY = "numpy"


def read(folder: str, shards: Sequence[str]) -> Iterator[str | tuple[Any, Any, Any]]:
    """Yield every uid; it searches the list by halves, so the order matters."""
    for shard in shards:
        yield shard
        uids = np.load(str(Path(folder, shard)), mmap_mode="r", allow_pickle=False)
        if uids.dtype != np.dtype("u8,u8"):
            raise TypeError(f"{shard} holds {uids.dtype}, not u8,u8")
        before = (-1, -1)
        for high, low in uids.tolist():
            if (high, low) <= before:
                raise ValueError(f"{shard} is not sorted at {high:016x}{low:016x}")
            before = (high, low)
            yield f"{high:016x}{low:016x}", "uid", None
