"""Sketch files of small sets, as the engine writes them, and a barrier's verdicts over them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core.stage import VERDICT_SCHEMA, Barrier

Place = tuple[int, int]


def resolve(barrier: Barrier, partitions: dict[int, pa.Table], folder: Path) -> dict[Place, str]:
    """Return reason by (partition, row), having checked the form of what the barrier yields.

    Args:
        barrier: the barrier.
        partitions: rows by partition number, in the order in which the partitions finish.
        folder: empty.
    """
    paths = {}
    for number, rows in partitions.items():
        paths[number] = folder / f"{number}.parquet"
        pq.write_table(barrier.sketch(rows), paths[number])
    scratch = folder / "scratch"
    scratch.mkdir()
    got: dict[Place, str] = {}
    previous = -1
    for partition, verdicts in barrier.resolve([paths[n] for n in sorted(paths)], scratch):
        assert partition > previous
        previous = partition
        assert verdicts.schema == VERDICT_SCHEMA
        rows_there = verdicts["row"].to_pylist()
        assert rows_there == sorted(set(rows_there)) and rows_there
        for verdict in verdicts.to_pylist():
            assert verdict["detail"]
            got[partition, verdict["row"]] = verdict["reason"]
    return got
