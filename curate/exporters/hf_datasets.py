"""A dataset that Hugging Face ``datasets`` loads: Parquet with Image features, and its card.

``datasets.load_dataset("FOLDER")`` reads it, and so does the hub once the folder is uploaded: the
features stand in the files' metadata, the files in the card. The library is not needed to write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.core.samples import Sample, Samples
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._parquet import write_parquet_shard
from curate.exporters._records import RecordConfig, RecordSamples
from curate.exporters._shards import ShardedExporter

_IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


class Config(RecordConfig):
    """Settings of the exporter for Hugging Face ``datasets``."""

    def build(self) -> HFDatasetsExporter:
        """Build the exporter."""
        return HFDatasetsExporter(self)


class HFDatasetsExporter(ShardedExporter):
    """Writes a selection as Parquet with features."""

    kind = "hf_datasets"
    suffix = "parquet"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config
        self._records: RecordSamples | None = None

    def samples(self, table: CommittedTable, selection: Selection) -> Samples:
        """Return a sample a text, or an image."""
        self._records = RecordSamples(table, selection, self._config)
        return self._records.samples

    def write_shard(self, path: Path, samples: Iterator[Sample]) -> Mapping[str, Any]:
        """Write a Parquet file whose metadata names the features."""
        assert self._records is not None
        fields = [_IMAGE, *self._records.fields]
        info = {"info": {"features": {field.name: _feature(field) for field in fields}}}
        schema = pa.schema(fields, {"huggingface": json.dumps(info)})
        write_parquet_shard(path, samples, schema, self._row, pictures="image.bytes")
        return {}

    def front_matter(self, shards: list[dict[str, Any]]) -> dict[str, Any]:
        """Name the files, so that nothing else in the folder is taken for data."""
        files = [{"split": "train", "path": [shard["file"] for shard in shards]}]
        configs = [{"config_name": "default", "data_files": files}] if shards else []
        return {"task_categories": ["image-to-text", "text-to-image"], "configs": configs}

    def _row(self, sample: Sample) -> dict[str, Any]:
        assert self._records is not None
        image = {"bytes": sample.image, "path": f"{sample.key}.{sample.suffix}"}
        return {"image": image, **self._records.record(sample)}


def _feature(field: pa.Field) -> dict[str, Any]:
    """Return a column's feature, as ``datasets`` writes it into Parquet's metadata."""
    if field.name == "image":
        return {"_type": "Image"}
    if pa.types.is_list(field.type):
        return {"feature": _value(field.type.value_type), "_type": "List"}
    return _value(field.type)


def _value(kind: pa.DataType) -> dict[str, Any]:
    named = {pa.float32(): "float32", pa.float64(): "float64"}
    return {"dtype": named.get(kind, str(kind)), "_type": "Value"}
