"""Reading a source as an engine would, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.core.stage import Mapped, Source, SourceFile


def register(
    source: Source, spool: Path, known: dict[str, SourceFile] | None = None
) -> list[SourceFile]:
    """Return the source's files."""
    spool.mkdir(parents=True, exist_ok=True)
    return list(source.files(spool, known or {}))


def partitions(source: Source, files: list[SourceFile], rows: int) -> Iterator[Mapped]:
    """Yield every partition's rows, having checked their form."""
    schema = source.schema()
    for file in files:
        for start in range(0, file.rows, rows):
            stop = min(start + rows, file.rows)
            mapped = source.read(file, start, stop)
            assert mapped.rows.schema == schema
            assert mapped.rows.num_rows == stop - start
            mapped.rows.validate(full=True)
            for column in (mapped.reasons, mapped.details):
                assert column is not None and len(column) == stop - start
            yield mapped


def read_all(source: Source, spool: Path, *, rows: int = 1000) -> list[dict[str, Any]]:
    """Return all rows with their ``reason`` and ``detail``, in order."""
    got: list[dict[str, Any]] = []
    for mapped in partitions(source, register(source, spool), rows):
        table = mapped.rows.append_column("reason", mapped.reasons)
        got += table.append_column("detail", mapped.details).to_pylist()
    return got


def table(**columns: Any) -> pa.Table:
    """Return a table of the given columns."""
    return pa.table(columns)
