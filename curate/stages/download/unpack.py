"""Take pictures out of the tars and Parquet files that a source lists."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field

from curate.core.stage import Mapped
from curate.stages.download._decoding import DecodingStage, RootedConfig
from curate.stages.download._pictures import Outcome, with_pictures

#: Rows of a Parquet file decoded at once: pictures, so few.
_BATCH_ROWS = 64
_Row = tuple[int, int | None, int, str | None]


class Config(RootedConfig):
    """Read each row's picture from its shard, check, resize and encode; failures get a reason.

    Reasons: ``no_shard``, ``missing_file``, ``outside_root``, ``unreadable_file`` (a shard that
    ends too soon or is damaged), ``too_large``, ``hash_mismatch``, and those of ``ImageFault``.

    Attributes:
        root: the folder that the shards' names are relative to: the ``path`` of the source, or
            the folder its pattern begins in; local or an fsspec URL.
        image_column: the Parquet column of encoded pictures; img2dataset names it by their format.
    """

    image_column: str = Field("jpg", min_length=1)

    @property
    def reads(self) -> tuple[str, ...]:
        """Where the picture is."""
        return ("shard", "shard_place", "shard_bytes", *super().reads)

    def check(self) -> list[str]:
        """Return what is wrong with the folder or the hash list."""
        fs, path = url_to_fs(self.root)
        folder = [] if fs.isdir(path) else [f"root {self.root!r} is no folder"]
        return folder + super().check()

    def build(self) -> Unpack:
        """Build the stage."""
        return Unpack(self)


class Unpack(DecodingStage):
    """Reads shards one after the other and decodes pictures in threads."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config

    def setup(self) -> None:
        """Find the root, and start the threads."""
        self._fs, self._root = url_to_fs(self._config.root)
        super().setup()

    def __call__(self, rows: pa.Table) -> Mapped:
        """Unpack one partition; results in row order."""
        expected = self._prepare.expected(rows)
        outcomes: list[Any] = [Outcome(reason="no_shard")] * rows.num_rows
        by_shard: dict[str, list[_Row]] = {}
        names = ("shard", "shard_place", "shard_bytes")
        places = zip(*(rows[name].to_pylist() for name in names), expected, strict=True)
        for at, (shard, place, size, digest) in enumerate(places):
            if shard is not None and place is not None:
                by_shard.setdefault(shard, []).append((place, size, at, digest))
        for shard, wanted in by_shard.items():
            for at, body, digest in self._bodies(shard, sorted(wanted, key=lambda row: row[0])):
                if isinstance(body, Outcome):
                    outcomes[at] = body
                else:
                    outcomes[at] = self._pool.submit(self._prepare, body, digest)
        return with_pictures(
            rows, [one if isinstance(one, Outcome) else one.result() for one in outcomes]
        )

    def _bodies(
        self, shard: str, wanted: list[_Row]
    ) -> Iterator[tuple[int, bytes | Outcome, str | None]]:
        """Yield each wanted row's number with its picture, or with what became of it."""
        left = {at for _, _, at, _ in wanted}
        try:
            with self._opened(shard) as file:
                columnar = shard.lower().endswith(".parquet")
                reading = self._cells(file, wanted) if columnar else self._stretches(file, wanted)
                for at, body, digest in reading:
                    left.discard(at)
                    yield at, body, digest
            problem = Outcome(reason="unreadable_file", detail=f"{shard[:200]}: it ends too soon")
        except PermissionError:
            problem = Outcome(reason="outside_root", detail=shard[:300])
        except FileNotFoundError:
            problem = Outcome(reason="missing_file", detail=shard[:300])
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            problem = Outcome(reason="unreadable_file", detail=f"{shard[:200]}: {error}"[:300])
        for at in sorted(left):
            yield at, problem, None

    def _opened(self, shard: str) -> Any:
        """Open a shard below the root.

        Raises:
            PermissionError: it leads out of the root.
            OSError: it cannot be opened.
        """
        inside = posixpath.normpath(shard)
        local = isinstance(self._fs, LocalFileSystem)
        path = posixpath.join(self._root, inside)
        if inside.startswith(("/", "..")) or (
            local and not Path(path).resolve().is_relative_to(Path(self._root).resolve())
        ):
            raise PermissionError(shard)
        return self._fs.open(path, "rb")

    def _stretches(
        self, file: Any, wanted: list[_Row]
    ) -> Iterator[tuple[int, bytes | Outcome, str | None]]:
        limit = self._config.max_bytes
        for place, size, at, digest in wanted:
            if size is None or size > limit:
                yield at, Outcome(reason="too_large", detail=f"{size} bytes, limit {limit}"), None
                continue
            file.seek(place)
            body = file.read(size)
            if len(body) == size:
                yield at, body, digest

    def _cells(
        self, file: Any, wanted: list[_Row]
    ) -> Iterator[tuple[int, bytes | Outcome, str | None]]:
        """Yield cells of the picture's column, row group by row group, a few rows at once."""
        limit = self._config.max_bytes
        by_row = {place: (at, digest) for place, _, at, digest in wanted}
        table = pq.ParquetFile(file)
        column = self._config.image_column
        if column not in table.schema_arrow.names:
            raise KeyError(f"no column {column!r}")
        begin = 0
        for group in range(table.metadata.num_row_groups):
            end = begin + table.metadata.row_group(group).num_rows
            inside = [row for row in by_row if begin <= row < end]
            row = begin
            batches = (
                table.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[column])
                if inside
                else ()
            )
            for batch in batches:
                for place in sorted(set(inside) & set(range(row, row + batch.num_rows))):
                    at, digest = by_row[place]
                    body = batch.column(0)[place - row].as_py() or b""
                    large = Outcome(reason="too_large", detail=f"{len(body)} bytes, limit {limit}")
                    yield at, large if len(body) > limit else body, digest
                row += batch.num_rows
            begin = end
