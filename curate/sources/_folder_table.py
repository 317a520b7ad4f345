"""Pictures named by a table in their folder; lines about one picture become one row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core import columns
from curate.core.atomic import write_whole
from curate.core.location import StorePath
from curate.core.stage import Mapped, Source, SourceFile
from curate.sources._columns import Columns, read_rows
from curate.sources._folder import check_folder
from curate.sources._rows import NO_URL, base_fields
from curate.sources._spool import BASE, MARK, spooled_name
from curate.sources._tables import OpenTables
from curate.sources.url_list import Config as ListConfig

NO_PATH = "no_path"

_READ_ROWS = 16_384


class FolderTable(Source):
    """Rows of a table of pictures; read like a list of URLs, then joined picture by picture."""

    def __init__(
        self,
        root: Path,
        *,
        table: str,
        file_name: str,
        text: str,
        text_source: str,
        extra: tuple[str, ...] | None,
    ) -> None:
        """Build the source.

        Args:
            root: the folder.
            table: the table's name in it.
            file_name: column of paths relative to the root.
            text: column of texts, strings or lists of strings.
            text_source: where the texts came from.
            extra: further columns, None for all with plain values.
        """
        self._root = root
        self._list = ListConfig.model_validate(
            {"path": str(root / table), "url": file_name, "text": text, "extra": extra}
        ).build()
        self._text_source = text_source
        self._open = OpenTables()

    def schema(self) -> pa.Schema:
        """Return uid, path, the text columns and the extras.

        Raises:
            SourceError: no such folder or table, or a column is missing.
        """
        check_folder(self._root)
        return pa.schema([*base_fields(columns.PATH), *self._extras()])

    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield the table, joined into the run's folder.

        Raises:
            SourceError: the table cannot be read.
        """
        check_folder(self._root)
        for file in self._list.files(spool, {}):
            if file.name in known and known[file.name].digest != file.digest:
                yield replace(known[file.name], digest=file.digest, location=file.location)
                continue
            path = spool / f"joined-{file.digest}.parquet"
            if not path.exists():
                write_whole(path, lambda out, file=file: self._join(file, out))  # type: ignore[misc]
            rows = pq.read_metadata(path).num_rows
            yield SourceFile(file.name, rows, file.digest, str(path))

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Read rows of the joined table.

        Raises:
            SourceError: it cannot be read any more.
        """
        wanted = Columns("", (), {field.name: field.type for field in self._extras()})
        return read_rows(
            self._open.read(file.location, start, stop, lambda schema: schema.names),
            wanted,
            self.schema(),
            text_source=self._text_source,
            location=file.location,
            no_place=NO_PATH,
        )

    def _extras(self) -> list[pa.Field]:
        return list(self._list.schema())[len(base_fields(columns.URL)) :]

    def _join(self, file: SourceFile, out: IO[bytes]) -> None:
        extras = self._extras()
        named = [pa.field(spooled_name(field.name), field.type) for field in extras]
        schema = pa.schema([*BASE, *named], MARK)
        with pq.ParquetWriter(out, schema, compression="zstd") as writer:
            rows: list[dict[str, Any]] = []
            for line in self._lines(file, [field.name for field in extras]):
                same = rows and line["url"] is not None and rows[-1]["url"] == line["url"]
                if same and rows[-1]["reason"] is None and line["reason"] is None:
                    rows[-1]["texts"] += line["texts"]
                    continue
                if len(rows) >= _READ_ROWS:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    rows = []
                rows.append(line)
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))

    def _lines(self, file: SourceFile, extras: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the table's lines as rows of a spool file."""
        for start in range(0, file.rows, _READ_ROWS):
            mapped = self._list.read(file, start, min(start + _READ_ROWS, file.rows))
            assert mapped.reasons is not None and mapped.details is not None
            told = zip(mapped.reasons.to_pylist(), mapped.details.to_pylist(), strict=True)
            for row, (reason, detail) in zip(mapped.rows.to_pylist(), told, strict=True):
                base = {
                    "url": row["url"],
                    "texts": row["texts"],
                    "reason": NO_PATH if reason == NO_URL else reason,
                    "detail": detail,
                }
                yield base | {spooled_name(name): row[name] for name in extras}
