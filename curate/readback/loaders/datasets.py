"""Hugging Face datasets over Parquet files with Image features."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # local files: nothing is asked of the hub

from datasets import Image, load_dataset

LIBRARY = "datasets"


def read(folder: str, shards: Sequence[str]) -> Iterator[str | tuple[Any, Any, Any]]:
    """Yield every row."""
    for shard in shards:
        yield shard
        path = str(Path(folder, shard))
        rows = load_dataset("parquet", data_files=path, split="train", streaming=True)
        if not isinstance(rows.features["image"], Image):
            raise TypeError(f"{shard}: column 'image' is no Image feature")
        for row in rows.cast_column("image", Image(decode=False)):
            yield row["key"], row["caption"], row["image"]["bytes"] or b""
