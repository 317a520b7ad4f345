"""Pictures of a run on demand: read from its own parts, made small, kept within bounds."""

from __future__ import annotations

import threading

import pyarrow as pa
import pyarrow.compute as pc

from curate.core.table import CommittedTable
from curate.inspection.gallery import shrunk
from curate.inspection.index.recent import Recent

#: Longest side in the list of pairs, and of a picture that is looked at alone, pixels.
SMALL, LARGE = 240, 1024
_SMALL_BYTES, _PARTITION_BYTES = 64_000_000, 256_000_000
_LOCKS = 16


class Pictures:
    """Pictures by partition and row; safe in threads."""

    def __init__(self, table: CommittedTable) -> None:
        self._table = table
        self.there = "image" in table.schema.names
        self._small: Recent[bytes] = Recent(_SMALL_BYTES, len)
        self._partitions: Recent[pa.Table] = Recent(_PARTITION_BYTES, lambda rows: rows.nbytes)
        # those who want pictures of one partition at the same time wait for one reading
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def jpeg(self, partition: int, row: int, side: int) -> bytes | None:
        """Return a picture as a JPEG no longer than ``side`` pixels; None where there is none."""
        found = self._small.get(
            (partition, row, side), lambda: shrunk(self._body(partition, row), side) or b""
        )
        return found or None

    def _body(self, partition: int, row: int) -> bytes | None:
        if not self.there or partition not in self._table.commits:
            return None
        with self._locks[partition % _LOCKS]:
            rows = self._partitions.get(partition, lambda: self._table.rows(partition, ["image"]))
        found = rows["image"].filter(pc.equal(rows["row"], row))
        return found[0].as_py() if len(found) else None
