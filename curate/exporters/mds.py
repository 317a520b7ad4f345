"""Mosaic Data Shards for mosaicml-streaming's StreamingDataset, written without that library.

It pins versions of numpy and transformers that cannot live beside ours, and the format is small
(https://docs.mosaicml.com/projects/streaming, MDS version 2). All integers are little-endian
uint32. A shard is

    count | offsets[count + 1] | settings as JSON | samples

with offsets from the file's start, and a sample is the sizes of its columns of variable size, in
the columns' order (by name), then the values. ``index.json`` lists the shards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from curate.core.atomic import write_json, write_whole
from curate.core.location import StorePath
from curate.core.samples import Sample, Samples, caption_facts
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._samples import SampleConfig
from curate.exporters._shards import ShardedExporter, json_text

#: Column -> encoding; the order is the format's: by name.
COLUMNS = {
    "caption": "str",
    "image": "bytes",
    "key": "str",
    "texts": "json",
    "uid": "str",
    "url": "str",
    "weight": "float64",
}
_SIZES: dict[str, int | None] = {"float64": 8}
_MOST = 2**32 - 1


class Config(SampleConfig):
    """Settings of the MDS exporter.

    Attributes:
        shard_bytes: bytes of pictures and texts a shard, at most; a single larger sample gets a
            shard of its own. StreamingDataset is at its best with some 64 MiB; offsets of 32 bits
            allow no more than 4 GiB.
        per: ``text`` writes a sample for each text; ``image`` a sample an image, its first text
            in ``caption`` and all of them, with scores and weights, in ``texts``.
    """

    shard_bytes: int | None = Field(1 << 26, ge=1, le=1 << 31)
    per: Literal["text", "image"] = "text"

    @model_validator(mode="after")
    def _bounded(self) -> Config:
        if self.shard_bytes is None:
            raise ValueError("an MDS shard needs a bound: give shard_bytes")
        return self

    def build(self) -> MDSExporter:
        """Build the exporter."""
        return MDSExporter(self)


class MDSExporter(ShardedExporter):
    """Writes a selection as MDS shards with their index."""

    kind = "mds"
    suffix = "mds"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config

    def place(self, name: str) -> str:
        """Return a shard's name as StreamingDataset's own writer gives it."""
        return f"shard.{name}.mds"

    def samples(self, table: CommittedTable, selection: Selection) -> Samples:
        """Return a sample a text, or an image."""
        return Samples(table, selection, self._config, self._config.per)

    def write_shard(self, path: Path, samples: Iterator[Sample]) -> Mapping[str, Any]:
        """Write one shard; its samples are held in memory, for the offsets come first."""
        encoded = [encode(_values(sample)) for sample in samples]
        settings = json_text(self._settings())
        head = 4 + 4 * (len(encoded) + 1) + len(settings)
        offsets = np.cumsum([head, *map(len, encoded)], dtype=np.uint64)
        if int(offsets[-1]) > _MOST:
            raise ValueError(f"{path.name} would have {offsets[-1]} bytes: lower shard_bytes")

        def write(file: IO[bytes]) -> None:
            file.write(np.uint32(len(encoded)).tobytes())
            file.write(offsets.astype("<u4").tobytes())
            file.write(settings)
            file.writelines(encoded)

        write_whole(path, write)
        return {}

    def _settings(self) -> dict[str, Any]:
        return {
            "column_encodings": list(COLUMNS.values()),
            "column_names": list(COLUMNS),
            "column_sizes": [_SIZES.get(encoding) for encoding in COLUMNS.values()],
            "compression": None,
            "format": "mds",
            "hashes": ["sha256"],
            "size_limit": self._config.shard_bytes,
            "version": 2,
        }

    def finish(self, output: StorePath, shards: list[dict[str, Any]]) -> None:
        """Write the index, from which StreamingDataset starts."""
        entries = [
            {
                **self._settings(),
                "raw_data": {
                    "basename": shard["file"],
                    "bytes": shard["bytes"],
                    "hashes": {"sha256": shard["sha256"]},
                },
                "samples": shard["samples"],
                "zip_data": None,
            }
            for shard in shards
        ]
        write_json(output / "index.json", {"shards": entries, "version": 2})


def encode(values: Mapping[str, bytes]) -> bytes:
    """Return a sample: sizes of the columns of variable size, then all values.

    Args:
        values: encoded value by column, every column of ``COLUMNS``.
    """
    sizes = [len(values[name]) for name, kind in COLUMNS.items() if kind not in _SIZES]
    return np.array(sizes, "<u4").tobytes() + b"".join(values[name] for name in COLUMNS)


def _values(sample: Sample) -> dict[str, bytes]:
    first = sample.captions[0]
    texts = [caption_facts(one) for one in sample.captions]
    return {
        "caption": first.text.encode(),
        "image": sample.image,
        "key": sample.key.encode(),
        "texts": json.dumps(texts, ensure_ascii=False, sort_keys=True).encode(),
        "uid": sample.uid.encode(),
        "url": (sample.facts.get("url") or "").encode(),
        "weight": np.array(first.weight, "<f8").tobytes(),
    }
