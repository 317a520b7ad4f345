"""Drop pictures that repeat an earlier one: the same bytes, or the same look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.core.columns import PARTITION, PHASH, ROW
from curate.core.config import BarrierConfig
from curate.core.stage import Barrier
from curate.stages.dedup._near import LOOK, near_stops
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

REASONS = ("duplicate_image", "near_duplicate_image")
_DETAILS = (
    "same bytes as partition {partition}, row {row}",
    "{distance} of 64 bits from partition {partition}, row {row}",
)

_SKETCH = pa.schema(
    [PARTITION, ROW, pa.field("high", pa.uint64()), pa.field("low", pa.uint64()), PHASH]
)
_RECORD = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("phash", "<u8"), ("seen", "?"), ("place", "<i8")]
)


class Config(BarrierConfig):
    """Keep a picture unless an earlier one has its bytes, or a kept earlier one has its look.

    First, of equal ``sha256`` the earliest row in source order stays. Then, in source order, a
    picture is dropped if a picture kept before it has a perceptual hash within ``max_distance``
    bits. So whatever is dropped resembles something kept, and a chain of small changes is not
    followed to pictures that differ. Flat pictures have no perceptual hash and are compared by
    their bytes alone.

    Attributes:
        max_distance: greatest Hamming distance of two 64-bit hashes that count as one picture;
            0 for equal hashes only. On 1,000 photographs 4 joined 99.9% of the copies that were
            halved in size or re-encoded at JPEG quality 30, and the closest unrelated pair was at
            more than 10.
    """

    max_distance: int = Field(4, ge=0, le=8)

    @property
    def reads(self) -> tuple[str, ...]:
        """The picture's two identities."""
        return ("sha256", "phash")

    def build(self) -> Perceptual:
        """Build the barrier."""
        return Perceptual(self)


class Perceptual(Barrier):
    """Compares hashes, bucketed on disk; see ``Config`` for what counts as a duplicate."""

    def __init__(self, config: Config) -> None:
        self._max_distance = config.max_distance

    def sketch(self, rows: pa.Table) -> pa.Table:
        """Return partition, row, 128 bits of the SHA-256 (null without one) and the phash."""
        digests = [digest and bytes.fromhex(digest[:32]) for digest in rows["sha256"].to_pylist()]
        halves = np.frombuffer(b"".join(d or bytes(16) for d in digests), "<u8").reshape(-1, 2)
        none = np.array([not digest for digest in digests], dtype=bool)
        high, low = (pa.array(halves[:, i], pa.uint64(), mask=none) for i in (0, 1))
        return pa.table([rows["partition"], rows["row"], high, low, rows["phash"]], schema=_SKETCH)

    def resolve(
        self, sketches: Sequence[Path], scratch: Path, *, settled: int = 0
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield (partition, verdicts); see ``Barrier.resolve``."""
        places = Places(sketches, settled)
        bodies = Spill(scratch / "bodies", _RECORD, bucket_count(places.rows))
        looks = Spill(scratch / "looks", LOOK, bucket_count(places.rows))
        for sketch, where in places.scan():
            records, known = _records(sketch, where)
            bodies.add(records[known], mixed(records["high"][known], bodies.buckets))
            _add_looks(looks, records[~known])
        stopped = Spill(scratch / "stops", STOP, places.ranges)
        for bucket in range(bodies.buckets):
            firsts = earliest(bodies, bucket, ("high", "low"))
            _add_looks(looks, firsts)
            for stops in repeats(bodies, bucket, ("high", "low"), firsts):
                stopped.add(stops, places.range_of(stops["place"]))
        bodies.drop()
        for stops in near_stops(looks, places, scratch, max_distance=self._max_distance):
            stops["how"] = 1
            stopped.add(stops, places.range_of(stops["place"]))
        for partition, stops in by_partition(stopped):
            yield partition, told(stops, REASONS, _DETAILS)


def _records(sketch: pa.Table, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the records of a sketch and its places, and which of them have a SHA-256."""
    records = np.empty(sketch.num_rows, dtype=_RECORD)
    for name in ("high", "low", "phash"):
        records[name] = sketch[name].fill_null(0).to_numpy()
    records["seen"] = sketch["phash"].is_valid().to_numpy()
    records["place"] = where
    return records, sketch["high"].is_valid().to_numpy()


def _add_looks(looks: Spill, records: np.ndarray) -> None:
    seen = records[records["seen"]]
    looks.add(seen[["phash", "place"]].astype(LOOK), mixed(seen["phash"], looks.buckets))
