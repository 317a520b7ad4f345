"""Random access to rows of Parquet and Arrow IPC files, without holding them in memory."""

from __future__ import annotations

import functools
import gzip
import shutil
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.core.atomic import exists, write_whole
from curate.core.location import StorePath
from curate.sources._listing import Listed, Listing, local_path, open_location, unreadable

_BATCH_ROWS = 4096
_OPEN_FILES = 4
_READ_AHEAD = 1 << 20
_ARROW_MAGIC = b"ARROW1"


class Table(Protocol):
    """A file whose row ranges can be read."""

    schema: pa.Schema
    num_rows: int

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Return rows ``[start, stop)``."""

    def close(self) -> None:
        """Close the file."""


class ParquetTable:
    """Reads row ranges of a Parquet file with a cursor that moves forward.

    Lists on the web have row groups of a million rows. Decoding a whole one for every thousand
    rows would cost a thousandfold, and keeping it would cost gigabytes; a range that follows the
    last one costs its own rows alone, and one further on the rows between.
    """

    def __init__(self, location: str) -> None:
        """Open the file.

        Raises:
            SourceError: no readable Parquet file.
        """
        self._location = location
        try:
            self._file = pq.ParquetFile(
                local_path(location) or open_location(location), buffer_size=_READ_AHEAD
            )
        except (OSError, pa.ArrowException) as error:
            raise unreadable(location, error) from error
        self.schema = with_names(self._file.schema_arrow, location)
        metadata = self._file.metadata
        self.num_rows = metadata.num_rows
        groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._offsets = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
        if min(groups, default=0) < 0 or int(self._offsets[-1]) != self.num_rows:
            lie = pa.ArrowInvalid("its footer contradicts itself: rows of groups and of the file")
            raise unreadable(location, lie)
        self._columns: Sequence[str] = ()
        self._group = -1
        self._at = 0
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._left: pa.RecordBatch | None = None

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Return rows ``[start, stop)``.

        Raises:
            SourceError: the file is damaged there.
        """
        parts: list[pa.RecordBatch] = []
        try:
            while start < stop:
                group = int(np.searchsorted(self._offsets, start, side="right")) - 1
                end = min(stop, int(self._offsets[group + 1]))
                parts += self._read_group(group, start, end, columns)
                start = end
            return _joined(parts, self.schema, columns)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._location, error) from error

    def _read_group(
        self, group: int, start: int, stop: int, columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        if (group, columns) != (self._group, self._columns) or start < self._at:
            self._group, self._columns, self._at = group, columns, int(self._offsets[group])
            self._left = None
            self._batches = self._file.iter_batches(
                _BATCH_ROWS, row_groups=[group], columns=list(columns), use_threads=False
            )
        while self._at < stop:
            batch = self._left if self._left is not None else next(self._batches, None)
            if batch is None:
                raise pa.ArrowInvalid("it holds fewer rows than its footer says")
            take = min(stop - self._at, batch.num_rows)
            skip = min(max(0, start - self._at), take)
            if skip < take:
                yield batch.slice(skip, take - skip).select(list(columns))
            self._left = batch.slice(take) if take < batch.num_rows else None
            self._at += take

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ArrowTable:
    """Reads row ranges of an Arrow IPC file; a local one is mapped, not read."""

    def __init__(self, location: str) -> None:
        """Open the file.

        Raises:
            SourceError: no readable Arrow IPC file.
        """
        self._location = location
        local = local_path(location)
        try:
            self._source = (
                pa.memory_map(local) if local else pa.PythonFile(open_location(location), mode="r")
            )
            self._reader = pa.ipc.open_file(self._source)
            counts = [
                self._reader.get_batch(i).num_rows for i in range(self._reader.num_record_batches)
            ]
        except (OSError, pa.ArrowException) as error:
            raise unreadable(location, error) from error
        self.schema = with_names(self._reader.schema, location)
        self._offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.num_rows = int(self._offsets[-1])

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Return rows ``[start, stop)``.

        Raises:
            SourceError: the file is damaged there.
        """
        parts = []
        try:
            while start < stop:
                index = int(np.searchsorted(self._offsets, start, side="right")) - 1
                base, end = int(self._offsets[index]), min(stop, int(self._offsets[index + 1]))
                batch = self._reader.get_batch(index).slice(start - base, end - start)
                batch = batch.select(list(columns))
                for column in batch.columns:
                    _check(column)
                parts.append(batch)
                start = end
            return _joined(parts, self.schema, columns)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._location, error) from error

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _check(column: pa.Array) -> None:
    """Look at what a stranger's file says of itself: offsets may point anywhere in memory.

    Raises:
        pa.ArrowInvalid: they do. Text that is no UTF-8 is a matter of its row.
    """
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise


def _joined(parts: list[pa.RecordBatch], schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
    chosen = pa.schema([schema.field(name) for name in columns], schema.metadata)
    batches = [pa.RecordBatch.from_arrays(part.columns, schema=chosen) for part in parts]
    return pa.Table.from_batches(batches, chosen)


class OpenTables:
    """The few files read last, kept open; safe to use from several threads."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[OpenTables], tuple[()]]:
        """Pickle as nothing open."""
        return OpenTables, ()

    def read(self, location: str, start: int, stop: int, columns: Any) -> pa.Table:
        """Return rows ``[start, stop)``; ``columns`` is called with the file's schema.

        Raises:
            SourceError: the file cannot be read, or has fewer rows.
        """
        with self._lock:
            table = self._tables.pop(location, None) or open_table(location)
            self._tables[location] = table
            if len(self._tables) > _OPEN_FILES:
                self._tables.popitem(last=False)[1].close()
            if stop > table.num_rows:
                raise unreadable(
                    location, ValueError(f"{table.num_rows} rows, row {stop - 1} is asked for")
                )
            return table.read(start, stop, columns(table.schema))


def open_table(location: str) -> Table:
    """Open a Parquet or Arrow IPC file, by its ending.

    Raises:
        SourceError: it cannot be read as such.
    """
    return ParquetTable(location) if location.lower().endswith(".parquet") else ArrowTable(location)


def with_names(schema: pa.Schema, location: str) -> pa.Schema:
    """Return the schema, whose names are UTF-8.

    Raises:
        SourceError: one is not.
    """
    try:
        assert len(schema.names) == len(schema)
    except UnicodeDecodeError as error:
        raise unreadable(location, error) from error
    return schema


def arrow_reader(file: Any) -> Any:
    """Return a reader of Arrow IPC, file or stream format, from an open file.

    Raises:
        pa.ArrowException: neither.
    """
    source = pa.PythonFile(file, mode="r")
    if file.read(len(_ARROW_MAGIC)) == _ARROW_MAGIC:
        return pa.ipc.open_file(source)
    file.seek(0)
    return pa.ipc.open_stream(source)


def as_table(listing: Listing, file: Listed, spool: StorePath, key: str) -> str:
    """Return where a Parquet or Arrow list can be read at random: itself, or a copy in ``spool``.

    Gzipped files are unpacked; Arrow streams, which can only be read from the start, are
    rewritten as Parquet.

    Raises:
        SourceError: the file cannot be read.
        StorageFull: no room for the copy.
    """
    zipped = file.name.lower().endswith(".gz")
    parquet = file.name.lower().removesuffix(".gz").endswith(".parquet")
    with listing.open(file) as opened:
        raw: Any = gzip.GzipFile(fileobj=opened) if zipped else opened
        try:
            stream = not parquet and raw.read(len(_ARROW_MAGIC)) != _ARROW_MAGIC
            raw.seek(0)
            if not (zipped or stream):
                return file.location
            copy = spool / f"{key}{'.parquet' if parquet or stream else '.arrow'}"
            if not exists(copy):
                write_whole(copy, functools.partial(_copy_stream if stream else _copy, raw))
        except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException) as error:
            raise unreadable(file.location, error) from error
    return str(copy)


def _copy(source: Any, out: IO[bytes]) -> None:
    shutil.copyfileobj(source, out)


def _copy_stream(source: Any, out: IO[bytes]) -> None:
    reader = pa.ipc.open_stream(pa.PythonFile(source, mode="r"))
    with pq.ParquetWriter(out, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
