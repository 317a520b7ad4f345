"""Records spread over bucket files on disk, and what barriers make of them bucket by bucket.

Out of core by construction: what is held in memory is a write buffer, or one bucket. Records are
numpy structured arrays, written as they are, so a bucket file is read back by one call.

A row's place in the source is one int64, ``partition << 32 | row``: comparing places compares
source order. A settled row's place has the sign bit too, so that it goes before all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.core.atomic import storage_errors
from curate.core.stage import VERDICT_SCHEMA

Records = NDArray[Any]

#: Aim of rows a bucket; 16 to 40 bytes each.
BUCKET_ROWS = 1 << 20
#: Most buckets; beyond it they grow. (Ten billion rows: 20 million a bucket, under 1 GB.)
MAX_BUCKETS = 512
#: Rows held back before they are written to their buckets.
BUFFER_ROWS = 1 << 18

#: A row that stops: its place, the place of the row it repeats, and how (an index into reasons).
STOP = np.dtype([("place", "<i8"), ("first", "<i8"), ("how", "<u1"), ("distance", "<u1")])


class Spill:
    """Records in bucket files, read back bucket by bucket in the order they were added."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], buckets: int) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.dtype = dtype
        self._held: list[tuple[Records, NDArray[np.int64]]] = []
        self._held_rows = 0
        self.buckets = buckets

    def add(self, records: Records, bucket: NDArray[np.int64]) -> None:
        """Append records, each to its bucket.

        Raises:
            StorageFull: no room left for scratch files.
        """
        if len(records):
            self._held.append((records, bucket))
            self._held_rows += len(records)
        if self._held_rows >= BUFFER_ROWS:
            self._flush()

    def read(self, bucket: int) -> Iterator[Records]:
        """Yield a bucket's records in the order they were added, ``BUCKET_ROWS`` at a time."""
        self._flush()
        path = self._path(bucket)
        if not path.exists():
            return
        with path.open("rb") as file:
            while len(chunk := np.fromfile(file, dtype=self.dtype, count=BUCKET_ROWS)):
                yield chunk

    def drop(self) -> None:
        """Delete the files: their room is wanted for the next spill."""
        self._held, self._held_rows = [], 0
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def _flush(self) -> None:
        if not self._held:
            return
        records = np.concatenate([part for part, _ in self._held])
        bucket = np.concatenate([part for _, part in self._held])
        self._held, self._held_rows = [], 0
        order = np.argsort(bucket, kind="stable")
        records, bucket = records[order], bucket[order]
        edges = np.flatnonzero(np.diff(bucket)) + 1
        for start, stop in zip([0, *edges], [*edges, len(bucket)], strict=True):
            path = self._path(int(bucket[start]))
            with storage_errors(path), path.open("ab") as file:
                file.write(records[start:stop].tobytes())  # tofile hides why it failed

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:04d}"


def bucket_count(rows: int) -> int:
    """Return how many buckets a set of this size is spread over."""
    return min(MAX_BUCKETS, max(1, math.ceil(rows / BUCKET_ROWS)))


def mixed(keys: NDArray[np.uint64], buckets: int) -> NDArray[np.int64]:
    """Return a bucket per 64-bit key, even where the keys themselves are unevenly spread."""
    spread = (keys ^ (keys >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return ((spread >> np.uint64(40)) % np.uint64(buckets)).astype(np.int64)


def earliest(spill: Spill, bucket: int, keys: Sequence[str]) -> Records:
    """Return the earliest record of every key in a bucket, sorted by key.

    Memory is one chunk and one record a key, so a key that fills a bucket costs nothing.

    Args:
        spill: records with a field ``place``, in any order.
        bucket: which bucket.
        keys: names of the fields that make two records equal.
    """
    firsts: Records = np.zeros(0, dtype=spill.dtype)
    for chunk in spill.read(bucket):
        both = np.concatenate([firsts, chunk])
        both = both[np.lexsort([both["place"], *(both[key] for key in reversed(keys))])]
        firsts = both[_opens(both, keys)]
    return firsts


def repeats(spill: Spill, bucket: int, keys: Sequence[str], firsts: Records) -> Iterator[Records]:
    """Yield the stops (``STOP``, ``how`` 0) of a bucket: every record but the ``firsts``."""
    for chunk in spill.read(bucket):
        both = np.concatenate([firsts, chunk])
        both = both[np.lexsort([both["place"], *(both[key] for key in reversed(keys))])]
        opens = _opens(both, keys)
        first = both["place"][opens][np.cumsum(opens) - 1]
        late = both["place"] > first
        stops = np.zeros(int(late.sum()), dtype=STOP)
        stops["place"], stops["first"] = both["place"][late], first[late]
        yield stops


def _opens(records: Records, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Return where, among sorted records, a new key begins."""
    opens = np.ones(len(records), dtype=bool)
    if len(records) > 1:
        opens[1:] = np.any([records[key][1:] != records[key][:-1] for key in keys], axis=0)
    return opens


class Places:
    """The set's partitions: dense numbers for places, and ranges of places to bucket by."""

    def __init__(self, sketches: Sequence[Path], settled: int) -> None:
        """Look at the files' sizes; ``settled`` of them, at the front, hold settled rows."""
        self.rows = sum(pq.read_metadata(path).num_rows for path in sketches)
        self._sketches = sketches
        self._settled = settled
        self._partitions: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._bases: NDArray[np.int64] = np.zeros(1, dtype=np.int64)

    def scan(self) -> Iterator[tuple[pa.Table, NDArray[np.int64]]]:
        """Yield the sketches with their rows' places, once, learning the partitions on the way."""
        partitions, lengths = [], [0]
        for index, path in enumerate(self._sketches):
            sketch = pq.read_table(path)
            places = _places(sketch, settled=index < self._settled)
            if sketch.num_rows:
                partitions.append(int(places[0] >> 32))
                lengths.append(sketch["row"][sketch.num_rows - 1].as_py() + 1)
            yield sketch, places
        self._partitions = np.array(partitions, dtype=np.int64)
        self._bases = np.cumsum(lengths, dtype=np.int64)

    @property
    def size(self) -> int:
        """One past the largest dense number, after the scan."""
        return int(self._bases[-1])

    @property
    def ranges(self) -> int:
        """How many ranges ``range_of`` gives, after the scan."""
        return bucket_count(self.size)

    def dense(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return numbers in [0, size), in source order."""
        rank = np.searchsorted(self._partitions, places >> 32)
        return self._bases[rank] + (places & 0xFFFFFFFF)

    def range_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the range each place lies in; ranges ascend with places and hold whole rows."""
        return self.dense(places) * self.ranges // max(1, self.size)


def _places(sketch: pa.Table, *, settled: bool) -> NDArray[np.int64]:
    partition, row = (sketch[name].to_numpy().astype(np.int64) for name in ("partition", "row"))
    sign = np.int64(np.iinfo(np.int64).min if settled else 0)
    return np.asarray(sign | (partition << 32) | row, dtype=np.int64)


def partition_of(place: int) -> int:
    """Return the partition of a place, settled or not."""
    return place >> 32 & 0x7FFFFFFF


def told(stops: Records, reasons: Sequence[str], details: Sequence[str]) -> pa.Table:
    """Return one partition's verdicts from its stops, which ascend by place.

    Args:
        stops: of dtype ``STOP``.
        reasons: reason codes, indexed by ``how``.
        details: texts for people, indexed by ``how``; ``{partition}``, ``{row}`` and
            ``{distance}`` are filled in.
    """
    lines = [
        details[how].format(
            partition=partition_of(first), row=first & 0xFFFFFFFF, distance=distance
        )
        for _, first, how, distance in stops.tolist()
    ]
    return pa.table(
        [
            (stops["place"] & 0xFFFFFFFF).astype(np.int32),
            pa.array([reasons[how] for how in stops["how"].tolist()], pa.string()),
            pa.array(lines, pa.string()),
        ],
        schema=VERDICT_SCHEMA,
    )


def by_partition(spill: Spill) -> Iterator[tuple[int, Records]]:
    """Yield (partition, its stops ascending) from a spill bucketed by ``Places.range_of``.

    A partition may straddle two ranges; its stops come together all the same. Of several stops of
    one row the first by (how, distance, first) is kept.
    """
    rest = np.zeros(0, dtype=STOP)
    for bucket in range(spill.buckets):
        stops = np.concatenate([rest, *spill.read(bucket)])
        if not len(stops):
            continue
        stops = stops[np.lexsort([stops[n] for n in ("first", "distance", "how", "place")])]
        keep = np.ones(len(stops), dtype=bool)
        keep[1:] = stops["place"][1:] != stops["place"][:-1]
        stops = stops[keep]
        partition = stops["place"] >> 32
        edges = np.flatnonzero(np.diff(partition)) + 1
        groups = np.split(stops, edges)
        for group in groups[:-1]:
            yield partition_of(int(group["place"][0])), group
        rest = groups[-1]
    if len(rest):
        yield partition_of(int(rest["place"][0])), rest
