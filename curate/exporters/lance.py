"""A Lance table of pictures and texts, for trainers that read Lance.

Its data files are named by shard and have the same bytes for the same selection. What Lance itself
writes around them, ``_versions`` and ``_transactions``, holds times and random names, and differs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.core.atomic import TEMPORARY_SUFFIX, flush_directory, remove_tree, storage_errors
from curate.core.lance_storage import lance_address
from curate.core.location import StorePath
from curate.core.samples import Sample, Samples
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._parquet import PICTURE_GROUP
from curate.exporters._records import RecordConfig, RecordSamples
from curate.exporters._shards import ShardedExporter

DATASET = "pairs.lance"


class Config(RecordConfig):
    """Settings of the Lance exporter."""

    def build(self) -> LanceExporter:
        """Build the exporter."""
        return LanceExporter(self)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How Lance numbers a schema's columns in its files.

    Attributes:
        fields: number of each column of a file.
        columns: index of each in the file.
        version: of the file format, major and minor.
    """

    fields: list[int]
    columns: list[int]
    version: tuple[int, int]


class LanceExporter(ShardedExporter):
    """Writes a selection as a Lance table, a fragment a shard."""

    kind = "lance"
    suffix = "lance"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config
        self._records: RecordSamples | None = None

    def place(self, name: str) -> str:
        """Return a shard's data file in the table."""
        return f"{DATASET}/data/{name}.lance"

    def samples(self, table: CommittedTable, selection: Selection) -> Samples:
        """Return a sample a text, or an image."""
        self._records = RecordSamples(table, selection, self._config)
        return self._records.samples

    @property
    def _schema(self) -> pa.Schema:
        assert self._records is not None
        return pa.schema([*self._records.fields, pa.field("image", pa.binary())])

    def write_shard(self, path: Path, samples: Iterator[Sample]) -> Mapping[str, Any]:
        """Write one data file, which belongs to no table yet."""
        from lance.file import LanceFileWriter

        assert self._records is not None
        schema = self._schema
        version = "{}.{}".format(*_layout(schema).version)
        temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with LanceFileWriter(str(temporary), schema, version=version) as writer:
                while group := list(islice(samples, PICTURE_GROUP)):
                    rows = [{**self._records.record(one), "image": one.image} for one in group]
                    writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.rename(path)
            flush_directory(path.parent)
        return {}

    def finish(self, output: StorePath, shards: list[dict[str, Any]]) -> None:
        """Make one table of the data files."""
        import lance
        from lance.fragment import DataFile, FragmentMetadata

        dataset = output / DATASET
        for name in ("_versions", "_transactions"):
            remove_tree(dataset / name)
        layout = _layout(self._schema)
        fragments = []
        for number, shard in enumerate(shards):
            name = Path(shard["file"]).name
            data = DataFile(name, layout.fields, layout.columns, *layout.version, shard["bytes"])
            fragments.append(FragmentMetadata(number, [data], shard["samples"]))
        if isinstance(dataset, Path):
            dataset.mkdir(parents=True, exist_ok=True)
        address, options = lance_address(dataset)
        lance.LanceDataset.commit(
            address,
            lance.LanceOperation.Overwrite(self._schema, fragments),
            storage_options=options or None,
        )


def _layout(schema: pa.Schema) -> _Layout:
    """Ask Lance how it lays this schema out, by a table of one row in a scratch folder."""
    import lance

    row = pa.Table.from_pylist([{}], schema=schema)
    with tempfile.TemporaryDirectory() as scratch:
        made = lance.write_dataset(row, f"{scratch}/one.lance", mode="create")
        (fragment,) = made.get_fragments()
        (data,) = fragment.metadata.files
        version = (data.file_major_version, data.file_minor_version)
        return _Layout(list(data.fields), list(data.column_indices), version)
