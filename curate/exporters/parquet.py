"""Parquet in the conventions of img2dataset (pictures inside) or of DataComp (metadata alone).

``img2dataset``: ``00000.parquet`` with its columns (url, caption, key, status, ...; the picture's
bytes last) and ``00000_stats.json`` beside it. ``datacomp``: the columns of DataComp's metadata
(uid, url, text, original_width, ...), from which its tools choose and reshard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from curate.core.atomic import write_json
from curate.core.samples import Sample, Samples
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._parquet import write_parquet_shard
from curate.exporters._records import RecordConfig, RecordSamples
from curate.exporters._shards import ShardedExporter

_STATUS = [
    pa.field("status", pa.string()),
    pa.field("error_message", pa.string()),
]


class Config(RecordConfig):
    """Settings of the Parquet exporter.

    Attributes:
        layout: ``img2dataset``: pictures and all columns; ``datacomp``: metadata alone, with
            ``text`` instead of ``caption``.
        image_column: column of the encoded pictures; img2dataset names it by their format.
            With ``layout: img2dataset``.
        uid: column that is handed on as ``uid``; ``source_uid`` for rows that came with a uid of
            their own, as DataComp's do.
    """

    layout: Literal["img2dataset", "datacomp"] = "img2dataset"
    image_column: str = Field("jpg", min_length=1)
    uid: str = Field("uid", min_length=1)

    @model_validator(mode="after")
    def _pictures(self) -> Config:
        if self.layout == "datacomp" and self.image_column != "jpg":
            raise ValueError("image_column with layout: datacomp changes nothing: no pictures")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The uid's column, and the images where they are written."""
        own = [name for name in super().reads if self.layout == "img2dataset" or name != "image"]
        return tuple(dict.fromkeys([*own, self.uid]))

    def build(self) -> ParquetExporter:
        """Build the exporter."""
        return ParquetExporter(self)


class ParquetExporter(ShardedExporter):
    """Writes a selection as Parquet files."""

    kind = "parquet"
    suffix = "parquet"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config
        self._records: RecordSamples | None = None

    def samples(self, table: CommittedTable, selection: Selection) -> Samples:
        """Return a sample a text, or an image."""
        pictures = self._config.layout == "img2dataset"
        table.check_names([self._config.uid])
        self._records = RecordSamples(table, selection, self._config, images=pictures)
        return self._records.samples

    def write_shard(self, path: Path, samples: Iterator[Sample]) -> Mapping[str, Any]:
        """Write a Parquet file, with img2dataset's statistics beside it."""
        assert self._records is not None
        schema = self._schema(self._records.fields)
        pictures = self._config.image_column if self._config.layout == "img2dataset" else None
        rows = write_parquet_shard(path, samples, schema, self._row, pictures=pictures)
        if pictures is not None:
            write_json(path.with_name(f"{path.stem}_stats.json"), _stats(rows))
        return {}

    def _schema(self, fields: list[pa.Field]) -> pa.Schema:
        if self._config.layout == "img2dataset":
            picture = pa.field(self._config.image_column, pa.binary())
            return pa.schema([*fields, *_STATUS, picture])
        renamed = {"caption": "text"}
        return pa.schema([pa.field(renamed.get(f.name, f.name), f.type) for f in fields])

    def _row(self, sample: Sample) -> dict[str, Any]:
        assert self._records is not None
        row = self._records.record(sample)
        row["uid"] = row[self._config.uid]
        if self._config.layout == "datacomp":
            return {**row, "text": row["caption"]}
        return {**row, "status": "success", self._config.image_column: sample.image}


def _stats(rows: int) -> dict[str, Any]:
    """Return a shard's statistics as img2dataset keeps them; it measured no times here."""
    return {
        **{"count": rows, "successes": rows, "failed_to_download": 0, "failed_to_resize": 0},
        **{"duration": 0.0, "start_time": 0.0, "end_time": 0.0},
        "status_dict": {"success": rows},
    }
