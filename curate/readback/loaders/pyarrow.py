"""pyarrow over Parquet files in img2dataset's or DataComp's columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LIBRARY = "pyarrow"


def read(folder: str, shards: Sequence[str]) -> Iterator[str | tuple[Any, Any, Any]]:
    """Yield every row; the picture is in the one column of bytes, if there is one."""
    for shard in shards:
        yield shard
        with pq.ParquetFile(str(Path(folder, shard))) as file:
            schema = file.schema_arrow
            pictures = [field.name for field in schema if pa.types.is_binary(field.type)][:1]
            text = "caption" if "caption" in schema.names else "text"
            name = "key" if "key" in schema.names else "uid"
            for batch in file.iter_batches(100, columns=[name, text, *pictures]):
                for row in batch.to_pylist():
                    picture = (row[pictures[0]] or b"") if pictures else None
                    yield row[name], row[text], picture
