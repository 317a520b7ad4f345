"""What img2dataset downloaded, in tars or in Parquet, as rows whose place is the URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate.core import columns
from curate.core.location import StorePath
from curate.core.stage import Mapped, Source, SourceFile
from curate.sources._packed import PLACE_FIELDS, PackedSource, Packing
from curate.sources._tar_index import TarSample
from curate.sources.url_list import Config as ListConfig

NOT_DOWNLOADED = "not_downloaded"
#: Columns of img2dataset that say what is known otherwise, or that hold no plain value.
_KNOWN = ("key", "caption", "url")


def url_of(shard: str, sample: TarSample) -> str | None:
    """Return the URL that img2dataset wrote into a sample's JSON."""
    url = sample.facts.get("url")
    return url if isinstance(url, str) else None


def downloaded_tars(
    paths: tuple[str, ...], *, text_source: str, extra: tuple[str, ...] | None
) -> PackedSource:
    """Return the source of img2dataset's tars."""
    return PackedSource(
        Packing(
            paths=paths,
            place=columns.URL,
            place_of=url_of,
            texts="json",
            text="caption",
            text_source=text_source,
            extra=extra,
            passed_over=frozenset(_KNOWN),
        )
    )


class DownloadedTables(Source):
    """Reads img2dataset's Parquet files; pictures stay where they are."""

    def __init__(
        self, paths: tuple[str, ...], *, text_source: str, extra: tuple[str, ...] | None
    ) -> None:
        """Build the source.

        Args:
            paths: files, globs or folders.
            text_source: where the texts came from.
            extra: further columns, None for all with plain values.
        """
        self._extra = extra
        named = None if extra is None else tuple(dict.fromkeys([*extra, *_NEEDED]))
        self._list = ListConfig.model_validate(
            {
                "path": [f"{path}/*.parquet" if Path(path).is_dir() else path for path in paths],
                "url": "url",
                "text": "caption",
                "text_source": text_source,
                "extra": named,
            }
        ).build()

    def schema(self) -> pa.Schema:
        """Return uid, url, the text columns, where the picture is, and the extras.

        Raises:
            SourceError: nothing matches, or a column of img2dataset's is missing.
        """
        fields = list(self._list.schema())
        base = len(columns.TEXT_FIELDS) + 2
        extras = [field for field in fields[base:] if field.name not in self._hidden()]
        return pa.schema([*fields[:base], *PLACE_FIELDS, *extras])

    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield the files: known ones first, then new ones by name.

        Raises:
            SourceError: a file cannot be read or lacks a column.
        """
        yield from self._list.files(spool, known)

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Read rows of a file; those that img2dataset could not download carry a reason.

        Raises:
            SourceError: the file cannot be read any more.
        """
        mapped = self._list.read(file, start, stop)
        assert mapped.reasons is not None and mapped.details is not None
        rows, count = mapped.rows, stop - start
        failed = pc.and_(
            pc.fill_null(pc.not_equal(rows["status"], "success"), True),
            pc.is_null(pa.chunked_array([mapped.reasons])),
        ).combine_chunks()
        places = {
            "shard": pa.array([file.name] * count, pa.string()),
            "shard_place": pa.array(range(start, stop), pa.int64()),
            "shard_bytes": pa.nulls(count, pa.int64()),
            "source_key": rows["key"],
        }
        schema = self.schema()
        arrays = [places[name] if name in places else rows[name] for name in schema.names]
        said = rows["error_message"].cast(pa.string())
        return Mapped(
            pa.Table.from_arrays(arrays, schema=schema),
            pc.if_else(failed, NOT_DOWNLOADED, mapped.reasons),
            pc.if_else(failed, said.combine_chunks(), mapped.details),
        )

    def _hidden(self) -> set[str]:
        return {"key"} if self._extra is None else set(_NEEDED) - set(self._extra)


_NEEDED = ("key", "status", "error_message")
