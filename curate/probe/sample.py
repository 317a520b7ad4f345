"""Rows drawn from all over a source, as a small source of their own."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

import pyarrow as pa
from pydantic import PrivateAttr

from curate.core.config import SourceConfig
from curate.core.errors import SourceError
from curate.core.location import StorePath
from curate.core.stage import Mapped, Source, SourceFile

#: Rows that are drawn together: neighbours cost one read, and are of one site more often.
RUN = 4
#: A chunk's share of the sample, in 32nds. The first warms up and is not counted. Unequal ones
#: tell what a partition costs from what a row costs.
SHARES = (1, 1, 2, 4, 1, 2, 3, 1, 2, 8, 1, 2, 4)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Neighbouring rows of a file: ``[start, stop)``."""

    file: int
    start: int
    stop: int


def chunk_sizes(rows: int, *, most: int) -> list[int]:
    """Return rows by chunk: the warming one first, none larger than a partition.

    Args:
        rows: of the sample, at least 2.
        most: rows of a partition.
    """
    unit, left = max(1, rows // sum(SHARES)), rows
    sizes = []
    for share in SHARES:
        wanted = min(share * unit, left)
        while wanted > 0:
            sizes.append(min(wanted, most))
            wanted -= sizes[-1]
            left -= sizes[-1]
    while left > 0:
        sizes.append(min(left, most, 8 * unit))
        left -= sizes[-1]
    return sizes


def draw(files: Sequence[SourceFile], sizes: Sequence[int], seed: int) -> list[list[Place]]:
    """Draw the rows of each chunk from all over the files, every row as likely as any other.

    Args:
        files: of the source, with at least ``sum(sizes)`` rows.
        sizes: rows by chunk.
        seed: of the draw.
    """
    starts = [0, *accumulate(-(-file.rows // RUN) for file in files)]
    every = range(starts[-1])
    blocks = Random(seed).sample(every, min(len(every), sum(sizes)))
    drawn = (_place(files, starts, block) for block in blocks)
    chunks = []
    left: Place | None = None
    for size in sizes:
        chunk: list[Place] = []
        wanted = size
        while wanted > 0:
            place = left or next(drawn)
            take = min(wanted, place.stop - place.start)
            chunk.append(Place(place.file, place.start, place.start + take))
            rest = Place(place.file, place.start + take, place.stop)
            left = rest if rest.start < rest.stop else None
            wanted -= take
        chunks.append(chunk)
    return chunks


def _place(files: Sequence[SourceFile], starts: Sequence[int], block: int) -> Place:
    index = bisect.bisect_right(starts, block) - 1
    start = (block - starts[index]) * RUN
    return Place(index, start, min(start + RUN, files[index].rows))


class SampleConfig(SourceConfig):
    """Stands for a recipe's source while its sample is worked on."""

    _source: SampleSource = PrivateAttr()

    @classmethod
    def of(cls, source: SampleSource, partition_rows: int) -> SampleConfig:
        """Return a config that gives this very source."""
        config = cls(partition_rows=partition_rows)
        config._source = source
        return config

    def build(self) -> SampleSource:
        """Return the source."""
        return self._source


class SampleSource(Source):
    """A file a chunk, all of them in memory; shows so many of its first chunks.

    Args:
        inner: the recipe's source.
        files: its files.
        chunks: places of the rows of each chunk.

    Raises:
        SourceError: a file cannot be read.
    """

    def __init__(
        self, inner: Source, files: Sequence[SourceFile], chunks: Sequence[Sequence[Place]]
    ) -> None:
        self.shown = len(chunks)
        self._schema = inner.schema()
        placed = sorted((place, number) for number, chunk in enumerate(chunks) for place in chunk)
        parts: list[list[Mapped]] = [[] for _ in chunks]
        for place, number in placed:  # in the order of the files: lists are read forwards
            read = inner.read(files[place.file], place.start, place.stop)
            parts[number].append(read)
        self._chunks = [_joined(part) for part in parts]

    def schema(self) -> pa.Schema:
        """Return the inner source's schema."""
        return self._schema

    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield a file for each chunk shown."""
        for number, chunk in enumerate(self._chunks[: self.shown]):
            yield SourceFile(f"chunk-{number:03d}", chunk.rows.num_rows, "", "")

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Return a chunk."""
        chunk = self._chunks[int(file.name.rpartition("-")[2])]
        if (start, stop) != (0, chunk.rows.num_rows):
            raise SourceError(f"{file.name} is one partition, rows {start} to {stop} are none")
        return chunk


def _joined(parts: Sequence[Mapped]) -> Mapped:
    rows = pa.concat_tables([part.rows for part in parts])
    reasons, details = (
        pa.concat_arrays(
            [
                pa.nulls(part.rows.num_rows, pa.string())
                if said is None
                else (said.combine_chunks() if isinstance(said, pa.ChunkedArray) else said)
                for part, said in zip(parts, column, strict=True)
            ]
        )
        for column in ([part.reasons for part in parts], [part.details for part in parts])
    )
    return Mapped(rows, reasons, details)
