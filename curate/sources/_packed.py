"""Samples packed into tars: an index of each is written once, pictures stay where they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core.atomic import exists, parquet_source, write_whole
from curate.core.location import StorePath
from curate.core.stage import Mapped, Source, SourceFile
from curate.sources._columns import Columns, read_rows
from curate.sources._listing import Listed, Listing, unreadable
from curate.sources._rows import base_fields, extra_name, kept_texts
from curate.sources._spool import BASE, MARK, spooled_name
from curate.sources._tables import OpenTables
from curate.sources._tar_index import TarSample, tar_samples

#: Where a picture's bytes are: ``unpack`` reads these.
PLACE_FIELDS = (
    pa.field("shard", pa.string()),
    pa.field("shard_place", pa.int64()),
    pa.field("shard_bytes", pa.int64()),
    pa.field("source_key", pa.string()),
)
_PLACES = frozenset(field.name for field in PLACE_FIELDS)
_LOOK_AT = 100
_ROWS_A_GROUP = 16_384


@dataclass(frozen=True)
class Packing:
    """How samples in tars become rows.

    Attributes:
        paths: tars, globs or folders of them.
        place: the row's name of its place: ``path`` or ``url``.
        place_of: that name of a sample in a shard; None where it has none.
        texts: ``txt``, ``json`` or None.
        text: key of the texts in ``json`` members.
        text_source: where the texts came from.
        extra: keys of the ``json`` members to carry, None for all plain ones of the first.
        passed_over: keys that are not carried unless they are named.
    """

    paths: tuple[str, ...]
    place: pa.Field
    place_of: Callable[[str, TarSample], str | None]
    texts: str | None
    text: str
    text_source: str
    extra: tuple[str, ...] | None
    passed_over: frozenset[str] = frozenset()


class PackedSource(Source):
    """Reads tars of samples."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._keys: tuple[str, ...] | None = None
        self._open = OpenTables()

    def schema(self) -> pa.Schema:
        """Return uid, the place, the text columns, where the picture is, and the extras.

        Raises:
            SourceError: nothing matches, or the first tar cannot be read.
        """
        return pa.schema([*base_fields(self._packing.place), *self._extras(None)])

    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield the tars: known ones first, then new ones by name; each is indexed once.

        Raises:
            SourceError: a tar cannot be read.
        """
        listing = Listing(self._packing.paths, suffixes=(".tar",))
        listed = {file.name: file for file in listing.files}
        fields = self._extras(listing)
        new = [name for name in listed if name not in known]
        for name in [*(name for name in known if name in listed), *new]:
            file = listed[name]
            digest = listing.digest(file)
            if name in known and known[name].digest != digest:
                yield replace(known[name], digest=digest, location=file.location)
                continue
            settings = (name, digest, [field.name for field in fields], self._settings())
            key = hashlib.blake2b(repr(settings).encode(), digest_size=16).hexdigest()
            index = spool / f"{key}.parquet"
            if not exists(index):
                self._write_index(listing, file, fields, index)
            with parquet_source(index) as source:
                rows = pq.read_metadata(source).num_rows
            yield SourceFile(name, rows, digest, str(index))

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Read rows of a tar's index.

        Raises:
            SourceError: it cannot be read any more.
        """
        fields = self._extras(None)
        return read_rows(
            self._open.read(file.location, start, stop, lambda schema: schema.names),
            Columns("", (), {field.name: field.type for field in fields}),
            self.schema(),
            text_source=self._packing.text_source,
            location=file.location,
            no_place=f"no_{self._packing.place.name}",
        )

    def _settings(self) -> tuple[Any, ...]:
        packing = self._packing
        return packing.place.name, packing.texts, packing.text, self._keys

    def _extras(self, listing: Listing | None) -> list[pa.Field]:
        """Return the columns behind the texts; chosen once, by the first tar."""
        if self._keys is None:
            given = self._packing.extra
            self._keys = given if given is not None else self._keys_of_first(listing)
        names = dict.fromkeys(_carried(key) for key in self._keys)
        return [*PLACE_FIELDS, *(pa.field(name, pa.string()) for name in names)]

    def _keys_of_first(self, listing: Listing | None) -> tuple[str, ...]:
        listing = listing or Listing(self._packing.paths, suffixes=(".tar",))
        first = listing.files[0]
        with _tar_errors(first), listing.open(first) as opened:
            for _, sample in zip(range(_LOOK_AT), tar_samples(opened), strict=False):
                if sample.facts:
                    return tuple(
                        key
                        for key, value in sample.facts.items()
                        if not isinstance(value, (list, dict)) and key not in self._left_out()
                    )
        return ()

    def _left_out(self) -> frozenset[str]:
        text = {self._packing.text} if self._packing.texts == "json" else set()
        return self._packing.passed_over | text

    def _write_index(
        self, listing: Listing, file: Listed, fields: Sequence[pa.Field], path: StorePath
    ) -> None:
        spooled = [pa.field(spooled_name(field.name), field.type) for field in fields]
        schema = pa.schema([*BASE, *spooled], MARK)

        def write(out: IO[bytes]) -> None:
            with (
                _tar_errors(file),
                listing.open(file) as opened,
                pq.ParquetWriter(out, schema, compression="zstd") as writer,
            ):
                rows: list[dict[str, Any]] = []
                for sample in tar_samples(opened):
                    rows.append(self._row(file.name, sample))
                    if len(rows) >= _ROWS_A_GROUP:
                        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                        rows = []
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))

        write_whole(path, write)

    def _row(self, shard: str, sample: TarSample) -> dict[str, Any]:
        assert self._keys is not None
        named = {_carried(key): _as_text(sample.facts.get(key)) for key in self._keys}
        place = {
            "shard": shard,
            "shard_place": sample.place,
            "shard_bytes": sample.size,
            "source_key": sample.key,
        }
        base = {
            "url": self._packing.place_of(shard, sample),
            "texts": self._texts(sample),
            "reason": sample.reason,
            "detail": sample.detail,
        }
        return base | {spooled_name(name): value for name, value in {**named, **place}.items()}

    def _texts(self, sample: TarSample) -> list[str]:
        if self._packing.texts is None:
            return []
        if self._packing.texts == "txt":
            return sample.texts
        value = sample.facts.get(self._packing.text)
        texts = value if isinstance(value, list) else [value]
        return kept_texts([text for text in texts if isinstance(text, str)])


def path_in_shard(shard: str, sample: TarSample) -> str:
    """Return the place of a sample by its shard and its picture's name."""
    return f"{shard}/{sample.member or sample.key}"


def _carried(key: str) -> str:
    """Return the column a key is carried as; ours keep their names."""
    return f"source_{key}" if key in _PLACES else extra_name(key)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


@contextlib.contextmanager
def _tar_errors(file: Listed) -> Iterator[None]:
    """Turn what is no tar into an error that names the file."""
    try:
        yield
    except (tarfile.TarError, OSError, EOFError) as error:
        raise unreadable(file.location, error) from error
