"""Text lists (CSV, TSV, JSON lines) streamed once into Parquet, bad rows as rows with a reason.

A spool file holds ``url`` (string), ``texts`` (list<string>), ``reason`` and ``detail`` (string,
null for good rows), then the extra columns as strings, named by ``spooled_name``. Its schema's
metadata marks it as one.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core.atomic import write_whole
from curate.core.errors import SourceError
from curate.core.location import StorePath
from curate.sources._listing import unreadable
from curate.sources._rows import NOT_UTF8, UNREADABLE_ROW, bad_utf8, kept_texts

MARK = {b"curate.spool": b"1"}
_ROWS_A_GROUP = 16_384
_MAX_LINE = 1 << 24
_SAMPLE_LINES = 1000
_BOMS = (b"\xff\xfe", b"\xfe\xff")

BASE = [
    pa.field("url", pa.string()),
    pa.field("texts", pa.list_(pa.string())),
    pa.field("reason", pa.string()),
    pa.field("detail", pa.string()),
]


@dataclass(frozen=True, slots=True)
class Format:
    """How a text list is written.

    Attributes:
        kind: ``csv``, ``tsv`` or ``jsonl``.
        gzipped: whether the bytes are gzip's.
        quoted: whether fields may stand in double quotes (CSV and TSV).
    """

    kind: str
    gzipped: bool
    quoted: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Columns of a list that are read.

    Attributes:
        url: name of the column.
        texts: names of the text columns, in order.
        extras: names of further columns.
    """

    url: str
    texts: tuple[str, ...]
    extras: tuple[str, ...]


@dataclass(slots=True)
class Row:
    """One record of a list."""

    url: str | None = None
    texts: list[str] = field(default_factory=list)
    extras: list[str | None] = field(default_factory=list)
    reason: str | None = None
    detail: str | None = None


def spooled_name(extra: str) -> str:
    """Return the name of an extra column in a spool file."""
    return f"extra:{extra}"


def column_names(file: IO[bytes], form: Format, location: str) -> list[str]:
    """Return a text list's columns from its header, or from its first thousand records.

    Raises:
        SourceError: no header, or not UTF-8 at all.
    """
    lines = _lines(file, form, location)
    if form.kind == "jsonl":
        names: dict[str, None] = {}
        for line in islice(lines, _SAMPLE_LINES):
            record = _json(line)
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
        return [name for name in names if _is_utf8(name)]
    return _header(lines, form, location)


def write_spool(
    path: StorePath, file: IO[bytes], form: Format, wanted: Wanted, location: str
) -> int:
    """Stream a text list into a spool file, whole or not at all; return its number of rows.

    Args:
        path: where the spool file goes.
        file: the list, open at its start.
        form: how it is written.
        wanted: columns to keep; an extra that the list lacks becomes nulls.
        location: the list's name for messages.

    Raises:
        SourceError: the list cannot be read.
        StorageFull: no room left.
    """
    schema = pa.schema(
        [*BASE, *(pa.field(spooled_name(name), pa.string()) for name in wanted.extras)], MARK
    )
    rows = _json_rows if form.kind == "jsonl" else _csv_rows
    count = 0

    def write(out: IO[bytes]) -> None:
        nonlocal count
        stream = rows(_lines(file, form, location), form, wanted, location)
        with pq.ParquetWriter(out, schema, compression="zstd") as writer:
            while batch := list(islice(stream, _ROWS_A_GROUP)):
                count += len(batch)
                writer.write_table(_table(batch, schema))

    write_whole(path, write)
    return count


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    base = [[getattr(row, name) for row in rows] for name in ("url", "texts", "reason", "detail")]
    extras = [
        [row.extras[i] if row.extras else None for row in rows]
        for i in range(len(schema) - len(BASE))
    ]
    columns = [pa.array(v, f.type) for v, f in zip([*base, *extras], schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _lines(file: IO[bytes], form: Format, location: str) -> Iterator[bytes]:
    """Yield lines with their ends; a line beyond 16 MiB comes cut, without an end.

    Raises:
        SourceError: reading or unpacking failed.
    """
    opened: Any = gzip.GzipFile(fileobj=file) if form.gzipped else file
    first = True
    try:
        while line := opened.readline(_MAX_LINE):
            if first and line.startswith(_BOMS):
                raise SourceError(f"{location} is UTF-16: convert it to UTF-8 first (iconv)")
            yield line.removeprefix(b"\xef\xbb\xbf") if first else line
            first = False
            while len(line) == _MAX_LINE and not line.endswith(b"\n"):
                line = opened.readline(_MAX_LINE)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(location, error) from error


def _json(line: bytes) -> Any:
    """Return the record, or the exception that says why there is none."""
    try:
        return json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return error


def _json_rows(lines: Iterator[bytes], _: Format, wanted: Wanted, location: str) -> Iterator[Row]:
    records = with_url = 0
    for line in lines:
        if not line.strip():
            continue
        record = _json(line)
        if isinstance(record, UnicodeDecodeError):
            yield Row(reason=NOT_UTF8, detail=bad_utf8(record, "line"))
        elif not isinstance(record, dict):
            what = str(record) if isinstance(record, Exception) else type(record).__name__
            yield Row(reason=UNREADABLE_ROW, detail=f"no JSON object: {what[:200]}")
        else:
            records += 1
            with_url += wanted.url in record
            yield _checked(_json_row(record, wanted), wanted)
    if records and not with_url:
        raise SourceError(f"{location}: no record has the key {wanted.url!r}")


def _json_row(record: dict[str, Any], wanted: Wanted) -> Row:
    url = record.get(wanted.url)
    if not (url is None or isinstance(url, str)):
        return Row(reason=UNREADABLE_ROW, detail=f"{wanted.url} is a {type(url).__name__}")
    texts: list[str | None] = []
    for name in wanted.texts:
        value = record.get(name)
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, (dict, list)) for one in values):
            return Row(url, reason=UNREADABLE_ROW, detail=f"{name} is not a text or list of texts")
        texts += [_as_text(one) for one in values]
    extras = [_as_text(record.get(name)) for name in wanted.extras]
    return Row(url, kept_texts(texts), extras)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _csv_rows(lines: Iterator[bytes], form: Format, wanted: Wanted, location: str) -> Iterator[Row]:
    names = _header(lines, form, location)
    places = {name: index for index, name in enumerate(names)}
    for record in _records(lines, form, len(names)):
        if isinstance(record, Row):
            yield record
            continue
        texts = kept_texts(record[places[name]] for name in wanted.texts)
        extras = [record[places[n]] or None if n in places else None for n in wanted.extras]
        yield _checked(Row(record[places[wanted.url]] or None, texts, extras), wanted)


def _header(lines: Iterator[bytes], form: Format, location: str) -> list[str]:
    try:
        header = next(_reader(_decoded(lines), form), None)
    except csv.Error as error:
        raise SourceError(
            f"{location}: its first line must name the columns and cannot be read: {error}"
        ) from error
    if not header:
        raise SourceError(f"{location} is empty: its first line must name the columns")
    if not all(map(_is_utf8, header)):
        raise SourceError(f"{location}: its first line must name the columns in UTF-8")
    return header


def _is_utf8(text: str) -> bool:
    """Whether the text can be written: no undecoded bytes, no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _records(lines: Iterator[bytes], form: Format, width: int) -> Iterator[list[str] | Row]:
    """Yield records of the right width, and a row with a reason for everything else.

    A quote that is never closed would swallow the lines after it: when a record that spans lines
    turns out damaged, its first line alone is given up and reading goes on with the second.
    """
    source = _Pushback(_decoded(lines))
    reader = _reader(source, form)
    while True:
        source.taken.clear()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first, *rest = source.taken
            yield Row(reason=UNREADABLE_ROW, detail=f"{error}: {_shown(first)}")
            source.push(rest)
            reader = _reader(source, form)
            continue
        if len(record) == width:
            yield record
        elif record:
            detail = f"{len(record)} fields, the header has {width}: {_shown(source.taken[0])}"
            yield Row(reason=UNREADABLE_ROW, detail=detail)


class _Pushback:
    """An iterator of lines that remembers what was taken and takes lines back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._back: list[str] = []
        self.taken: list[str] = []

    def __iter__(self) -> _Pushback:
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else next(self._lines)
        self.taken.append(line)
        return line

    def push(self, lines: Sequence[str]) -> None:
        self._back += reversed(lines)


def _reader(lines: Iterable[str], form: Format) -> Iterator[list[str]]:
    return csv.reader(
        lines,
        delimiter="\t" if form.kind == "tsv" else ",",
        quoting=csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE,
        strict=True,
    )


def _decoded(lines: Iterator[bytes]) -> Iterator[str]:
    return (line.decode("utf-8", "surrogateescape") for line in lines)


def _checked(row: Row, wanted: Wanted) -> Row:
    """Return the row, or one with ``not_utf8`` and what of it can be written."""
    parts = [
        (wanted.url, row.url),
        *((wanted.texts[0] if wanted.texts else "", t) for t in row.texts),
    ]
    parts += zip(wanted.extras, row.extras, strict=False)
    for name, value in parts:
        try:
            (value or "").encode()
        except UnicodeEncodeError as error:
            code = ord(error.object[error.start])
            what = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else "a lone surrogate"
            clean = row.url if name != wanted.url else None
            return Row(clean, reason=NOT_UTF8, detail=f"{name}: {what} at {error.start}")
    return row


def _shown(line: str) -> str:
    """Return the start of a line as people can read it and UTF-8 can write it."""
    return line[:120].encode("utf-8", "replace").decode().strip()
