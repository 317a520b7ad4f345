"""Lists of URLs with texts: Parquet, CSV, TSV, JSON lines (each also .gz) and Arrow IPC."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from curate.core import columns
from curate.core.atomic import exists
from curate.core.config import SourceConfig
from curate.core.errors import SourceError
from curate.core.location import StorePath
from curate.core.stage import Mapped, Source, SourceFile
from curate.sources._columns import (
    Columns,
    is_spool,
    plain_type,
    read_rows,
    require,
    require_types,
)
from curate.sources._listing import Listed, Listing, unreadable
from curate.sources._rows import base_fields, extra_name
from curate.sources._spool import Format, Wanted, column_names, write_spool
from curate.sources._tables import OpenTables, arrow_reader, as_table, open_table, with_names

_TABLES = (".parquet", ".arrow", ".arrows", ".feather", ".ipc")
_TEXTS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SUFFIXES = tuple(kind + zipped for kind in (*_TABLES, *_TEXTS) for zipped in ("", ".gz"))


class Config(SourceConfig):
    """Rows of one or more list files; a list may grow by new files at any time.

    Parquet and Arrow IPC files are read where they are. The other formats, and whatever is
    gzipped, are streamed once into Parquet in the run's folder; there a line that cannot be read
    becomes a row that stops with ``unreadable_row`` or ``not_utf8``. A row without a URL stops
    with ``no_url``; a row without a text goes on without one.

    Attributes:
        path: file, glob or folder, or a list of these; local or an fsspec URL (``s3://...``).
        url: column of the URLs.
        text: column of the texts (strings or lists of strings), or a list of such columns; None
            for a list without texts.
        text_source: where the texts came from: ``web``, ``human`` or ``synthetic``.
        extra: further columns to carry along; None for all that hold plain values. A name that
            curate uses itself gets ``source_`` before it. From text formats they come as strings.
        quoted: whether fields of CSV and TSV may stand in double quotes; None: CSV yes, TSV no.
    """

    path: str | tuple[str, ...] = Field(min_length=1)
    url: str = Field("url", min_length=1)
    text: str | tuple[str, ...] | None = "text"
    text_source: Literal["web", "human", "synthetic"] = "web"
    extra: tuple[str, ...] | None = None
    quoted: bool | None = None

    @field_validator("text")
    @classmethod
    def _texts(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        names = (value,) if isinstance(value, str) else value or ()
        if "" in names or len(set(names)) < len(names):
            raise ValueError("text columns need names, each once")
        return value

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths, one or several."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def texts(self) -> tuple[str, ...]:
        """The text columns, none, one or several."""
        return (self.text,) if isinstance(self.text, str) else self.text or ()

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows; not the path, for files are known by name and content."""
        return {key: value for key, value in super().identity().items() if key != "path"}

    def build(self) -> UrlList:
        """Build the source."""
        return UrlList(self)


class UrlList(Source):
    """Reads the files of a list."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._columns: Columns | None = None
        self._open = OpenTables()

    def schema(self) -> pa.Schema:
        """Return uid, url, the text columns and the extras, by the first file's header.

        Raises:
            SourceError: nothing matches, unreadable, or a column is missing.
        """
        wanted = self._wanted(None)
        extras = [pa.field(extra_name(name), kind) for name, kind in wanted.extras.items()]
        return pa.schema([*base_fields(columns.URL), *extras])

    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield the list's files: known ones first, then new ones by name.

        Raises:
            SourceError: a file cannot be read or lacks a column.
        """
        listing = Listing(self._config.paths, suffixes=SUFFIXES)
        wanted = self._wanted(listing)
        listed = {file.name: file for file in listing.files}
        new = [name for name in listed if name not in known]
        for name in [*(name for name in known if name in listed), *new]:
            file = listed[name]
            digest = listing.digest(file)
            if name in known and known[name].digest != digest:
                yield replace(known[name], digest=digest, location=file.location)
            else:
                yield self._registered(listing, file, digest, wanted, spool)

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Read rows of a file; unusable ones carry a reason.

        Raises:
            SourceError: the file cannot be read any more.
        """
        wanted = self._wanted(None)
        rows = self._open.read(
            file.location,
            start,
            stop,
            lambda schema: schema.names if is_spool(schema) else wanted.present(schema),
        )
        return read_rows(
            rows,
            wanted,
            self.schema(),
            text_source=self._config.text_source,
            location=file.location,
        )

    def _wanted(self, listing: Listing | None) -> Columns:
        """Return the columns to read, chosen once by the first file's header."""
        if self._columns is None:
            listing = listing or Listing(self._config.paths, suffixes=SUFFIXES)
            first = listing.files[0]
            self._columns = chosen(header(listing, first, self._config), self._config, first)
        return self._columns

    def _registered(
        self, listing: Listing, file: Listed, digest: str, wanted: Columns, spool: StorePath
    ) -> SourceFile:
        form = text_format(file.name, self._config)
        settings = (file.name, digest, *((form, wanted) if form else ()))
        key = hashlib.blake2b(repr(settings).encode(), digest_size=16).hexdigest()
        if form is None:
            location = as_table(listing, file, spool, key)
        else:
            copy = spool / f"{key}.parquet"
            if not exists(copy):
                _spool(listing, file, form, wanted, copy)
            location = str(copy)
        table = open_table(location)
        try:
            if form is None:
                require(table.schema.names, (wanted.url, *wanted.texts), file.location)
                require_types(table.schema, wanted, file.location)
            return SourceFile(file.name, table.num_rows, digest, location)
        finally:
            table.close()


def _spool(listing: Listing, file: Listed, form: Format, wanted: Columns, path: StorePath) -> None:
    if form.kind != "jsonl":
        with listing.open(file) as opened:
            names = column_names(opened, form, file.location)
        require(names, (wanted.url, *wanted.texts), file.location)
    with listing.open(file) as opened:
        columns_ = Wanted(wanted.url, wanted.texts, tuple(wanted.extras))
        write_spool(path, opened, form, columns_, file.location)


def text_format(name: str, config: Config) -> Format | None:
    """Return how a text list is written, None for Parquet and Arrow.

    Raises:
        SourceError: the file's ending is none that is read.
    """
    plain, zipped = _endings(name)
    if plain in _TEXTS:
        kind = _TEXTS[plain]
        quoted = kind == "csv" if config.quoted is None else config.quoted
        return Format(kind, zipped, quoted)
    if plain not in _TABLES:
        raise SourceError(f"{name!r} is of no known format: {', '.join(SUFFIXES)} are read")
    return None


def header(listing: Listing, file: Listed, config: Config) -> pa.Schema:
    """Return a list file's columns, reading no more than its head.

    Raises:
        SourceError: it cannot be read.
    """
    form = text_format(file.name, config)
    with listing.open(file) as opened:
        if form is not None:
            names = column_names(opened, form, file.location)
            return pa.schema([(name, pa.string()) for name in names])
        try:
            schema = _table_schema(opened, file.name)
        except (OSError, EOFError, zlib.error, pa.ArrowException, UnicodeDecodeError) as error:
            raise unreadable(file.location, error) from error
    return with_names(schema, file.location)


def _table_schema(opened: IO[bytes], name: str) -> pa.Schema:
    plain, zipped = _endings(name)
    if plain != ".parquet":
        return arrow_reader(gzip.GzipFile(fileobj=opened) if zipped else opened).schema
    if not zipped:
        return pq.ParquetFile(opened).schema_arrow
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(gzip.GzipFile(fileobj=opened), copy)
        return pq.ParquetFile(copy).schema_arrow


def chosen(schema: pa.Schema, config: Config, file: Listed) -> Columns:
    """Return the columns to read.

    Raises:
        SourceError: one is missing, of a type that does not fit, or two have or would get one
            name.
    """
    wanted = Columns(config.url, config.texts, {})
    require(schema.names, (*(config.url, *config.texts), *(config.extra or ())), file.location)
    twice = [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1]
    if twice:
        raise SourceError(f"{file.location}: two columns are named {twice[0]!r}: rename one")
    require_types(schema, wanted, file.location)
    extras: dict[str, pa.DataType] = {}
    for name in config.extra if config.extra is not None else schema.names:
        if name in (config.url, *config.texts):
            continue
        kind = plain_type(schema.field(name).type, named=config.extra is not None)
        if kind is None and config.extra is not None:
            raise SourceError(f"{file.location}: extra column {name!r} holds no plain values")
        if kind is not None:
            extras[name] = kind
    renamed = [extra_name(name) for name in extras]
    for name in renamed:
        if renamed.count(name) > 1:
            raise SourceError(f"{file.location}: two columns would be {name!r}: name one in extra")
    return replace(wanted, extras=extras)


def _endings(name: str) -> tuple[str, bool]:
    """Return the ending below ``.gz``, lower case, and whether the file is gzipped."""
    path = PurePosixPath(name.lower())
    if path.suffix == ".gz":
        return path.with_suffix("").suffix, True
    return path.suffix, False
