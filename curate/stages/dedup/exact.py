"""Drop rows that repeat an earlier row of the list: same URL or path, same texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.core.columns import PARTITION, ROW
from curate.core.config import BarrierConfig
from curate.core.stage import Barrier
from curate.stages.dedup._spill import (
    STOP,
    Places,
    Spill,
    bucket_count,
    by_partition,
    earliest,
    mixed,
    repeats,
    told,
)

DUPLICATE_ROW = "duplicate_row"

_SKETCH = pa.schema([PARTITION, ROW, pa.field("high", pa.uint64()), pa.field("low", pa.uint64())])
_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("place", "<i8")])


class Config(BarrierConfig):
    """Keep the first row of every uid, in source order; after it uids are unique."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The row's identity."""
        return ("uid",)

    def build(self) -> Exact:
        """Build the barrier."""
        return Exact()


class Exact(Barrier):
    """Compares uids, bucketed by hash on disk."""

    def sketch(self, rows: pa.Table) -> pa.Table:
        """Return partition, row and the uid as two uint64."""
        digests = b"".join(_digest(uid) for uid in rows["uid"].to_pylist())
        halves = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
        return pa.table(
            [rows["partition"], rows["row"], halves[:, 0].copy(), halves[:, 1].copy()],
            schema=_SKETCH,
        )

    def resolve(
        self, sketches: Sequence[Path], scratch: Path, *, settled: int = 0
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield (partition, verdicts); see ``Barrier.resolve``."""
        places = Places(sketches, settled)
        keys = Spill(scratch / "uids", _RECORD, bucket_count(places.rows))
        for sketch, where in places.scan():
            records = np.empty(sketch.num_rows, dtype=_RECORD)
            records["high"], records["low"] = (sketch[name].to_numpy() for name in ("high", "low"))
            records["place"] = where
            keys.add(records, mixed(records["high"], keys.buckets))
        stopped = Spill(scratch / "stops", STOP, places.ranges)
        for bucket in range(keys.buckets):
            firsts = earliest(keys, bucket, ("high", "low"))
            for stops in repeats(keys, bucket, ("high", "low"), firsts):
                stopped.add(stops, places.range_of(stops["place"]))
        keys.drop()
        for partition, stops in by_partition(stopped):
            yield (
                partition,
                told(stops, [DUPLICATE_ROW], ["repeats partition {partition}, row {row}"]),
            )


def _digest(uid: str) -> bytes:
    """Return 16 bytes: the uid itself, or a hash of an identifier of another form."""
    try:
        digest = bytes.fromhex(uid)
    except ValueError:
        digest = b""
    if len(digest) == 16:
        return digest
    return hashlib.blake2b(uid.encode(), digest_size=16).digest()
