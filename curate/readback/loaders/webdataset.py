"""The webdataset library's tar reader and grouping of members into samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from webdataset.tariterators import group_by_keys, tar_file_expander

LIBRARY = "webdataset"
_PICTURES = ("jpg", "png", "jpeg", "webp")


def read(folder: str, shards: Sequence[str]) -> Iterator[str | tuple[Any, Any, Any]]:
    """Yield every sample; one without a text or picture has None there."""
    for shard in shards:
        yield shard
        path = str(Path(folder, shard))
        with Path(path).open("rb") as stream:
            for sample in group_by_keys(tar_file_expander([{"url": path, "stream": stream}])):
                text = sample.get("txt")
                picture = next((sample[name] for name in _PICTURES if name in sample), b"")
                told = None if text is None else text.decode("utf-8")
                yield sample["__key__"], told, picture
