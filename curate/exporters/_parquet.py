"""Samples written to a Parquet file as they come, a row group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core.atomic import write_whole
from curate.core.samples import Sample

#: Rows of a row group with pictures: what a reader decodes at once to get one of them.
PICTURE_GROUP, NARROW_GROUP = 100, 10_000


def write_parquet_shard(
    path: Path,
    samples: Iterator[Sample],
    schema: pa.Schema,
    row: Callable[[Sample], dict[str, Any]],
    *,
    pictures: str | None,
) -> int:
    """Write a shard whole.

    Args:
        path: the file.
        samples: its samples.
        schema: its columns.
        row: values of a sample by column.
        pictures: Parquet's name of the column of encoded pictures, which is left uncompressed.

    Returns:
        Number of rows.
    """
    size = NARROW_GROUP if pictures is None else PICTURE_GROUP
    rows = 0

    def write(file: IO[bytes]) -> None:
        nonlocal rows
        compression = dict.fromkeys(_leaves(schema), "zstd")
        if pictures is not None:
            compression[pictures] = "none"
        plain = [name for name in compression if name != pictures]
        with pq.ParquetWriter(
            file, schema, compression=compression, use_dictionary=plain, write_statistics=plain
        ) as writer:
            while group := list(islice(samples, size)):
                values = [row(sample) for sample in group]
                writer.write_table(pa.Table.from_pylist(values, schema=schema), row_group_size=size)
                rows += len(values)

    write_whole(path, write)
    return rows


def _leaves(schema: pa.Schema) -> list[str]:
    names: list[str] = []
    for field in schema:
        if pa.types.is_struct(field.type):
            names += [f"{field.name}.{child.name}" for child in field.type]
        elif pa.types.is_list(field.type):
            names.append(f"{field.name}.list.element")
        else:
            names.append(field.name)
    return names
