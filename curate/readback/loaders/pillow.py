"""Lists of annotations over files of pictures, opened as BLIP and LLaVA open them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

LIBRARY = "pillow"


def read(folder: str, shards: Sequence[str]) -> Iterator[str | tuple[Any, Any, Any]]:
    """Yield every entry; a picture is opened and converted before it is handed on."""
    for shard in shards:
        yield shard
        entries = json.loads(Path(folder, shard).read_bytes())
        for entry in entries:
            path = Path(folder, entry["image"])
            with Image.open(path) as image:
                image.convert("RGB")
            key = entry.get("id", entry["image"])
            yield key, _text(entry), path.read_bytes()


def _text(entry: dict[str, Any]) -> Any:
    if "caption" in entry:
        return entry["caption"]
    return next((one["value"] for one in entry["conversations"] if one["from"] == "gpt"), None)
