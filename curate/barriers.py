"""Barriers: sketches gathered, resolved out of core, verdicts written as ledger parts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core import columns, objects
from curate.core.atomic import (
    exists,
    read_parquet_if_there,
    remove,
    write_json,
    write_parquet,
)
from curate.core.failpoints import reach
from curate.core.ledger import CARRIED, LEDGER_SCHEMA, entries
from curate.core.location import StorePath
from curate.core.partition import part_name
from curate.core.plan import BarrierPlan, Node
from curate.core.scratch import scratch_folder
from curate.core.stage import Barrier
from curate.core.store import RunStore


def resolve_barrier(
    plan: BarrierPlan, store: RunStore, before: Sequence[Node], commits: Mapping[int, int]
) -> dict[str, int]:
    """Resolve a barrier over committed partitions.

    Rows that it has judged before keep their verdicts, for committed work rests on them: a
    survivor stays even where a row that came later stands before it in the source.

    Args:
        plan: the barrier.
        store: the run's folder.
        before: the steps before it.
        commits: the partitions committed before it, ascending, each with its supplements.

    Returns:
        Rows that stop, by reason, in all. Their ledger parts are written; verdicts of an
        unfinished attempt are replaced.
    """
    node = plan.node
    barrier: Barrier = plan.stage.config.build()
    had = judged(store, node)
    with scratch_folder(store.root / node.folder / "scratch") as scratch:
        sketches = _Sketches(plan, store, before, barrier, scratch)
        if exists(store.resolving_file(node)):
            sketches.forget_verdicts_beyond(had)
            reach("barrier.forgotten")
        write_json(store.resolving_file(node), {})
        settled = [sketches.survivors(number, had[number]) for number in sorted(had)]
        fresh = [
            path
            for number, supplements in commits.items()
            if (path := sketches.fresh(number, had.get(number, -1) + 1, supplements)) is not None
        ]
        local = sketches.local([*settled, *fresh])
        (scratch / "buckets").mkdir()
        with barrier.ready():
            found = barrier.resolve(local, scratch / "buckets", settled=len(settled))
            for number, verdicts in found:
                if verdicts.num_rows:
                    sketches.write_verdicts(number, verdicts)
                    reach("barrier.verdict")
        reach("barrier.resolved")
        _write_judged(store, node, commits)
        reach("barrier.judged")
        remove(store.resolving_file(node))
    reasons = (part["reason"].to_pylist() for part in store.ledger([node]))
    return dict(Counter(itertools.chain.from_iterable(reasons)))


def judged(store: RunStore, node: Node) -> dict[int, int]:
    """Return the partitions that a barrier has judged, each with the supplements it has judged."""
    table = read_parquet_if_there(store.judged_file(node), remove=store.root / node.folder)
    if table is None:
        return {}
    return dict(zip(table["partition"].to_pylist(), table["supplements"].to_pylist(), strict=True))


def _write_judged(store: RunStore, node: Node, commits: Mapping[int, int]) -> None:
    schema = pa.schema([columns.PARTITION, pa.field("supplements", pa.int32(), nullable=False)])
    table = pa.table([[*commits], [*commits.values()]], schema=schema)
    write_parquet(store.judged_file(node), table)


class _Sketches:
    """Sketches of a barrier, drawn where they are missing, and the verdicts on their rows."""

    def __init__(
        self,
        plan: BarrierPlan,
        store: RunStore,
        before: Sequence[Node],
        barrier: Barrier,
        scratch: Path,
    ) -> None:
        self._node = plan.node
        self._reads = plan.stage.config.reads
        self._store = store
        self._before = before
        self._barrier = barrier
        self._scratch = scratch
        self._drawn = store.sketches(plan.node)

    def survivors(self, number: int, supplements: int) -> StorePath:
        """Return the sketch of the rows that were judged before and go on."""
        stopped = self._verdicts(number)
        if supplements == 0 and stopped.num_rows == 0:
            return self._store.sketch_part(self._node, number)
        rows = self._read(number, range(supplements + 1))
        rows = rows.filter(pc.invert(pc.is_in(rows["row"], stopped["row"].combine_chunks())))
        return self._write("settled", number, rows)

    def fresh(self, number: int, first: int, supplements: int) -> StorePath | None:
        """Return the sketch of the rows committed since, None where there are none.

        Args:
            number: the partition.
            first: of its supplements, the first that was not judged; 0 is the partition itself.
            supplements: how many it has.
        """
        for one in range(first, supplements + 1):
            if (number, one) not in self._drawn:
                self._draw(number, one, supplements)
        if first > supplements:
            return None
        if first == supplements:
            return self._store.sketch_part(self._node, number, first)
        return self._write("fresh", number, self._read(number, range(first, supplements + 1)))

    def local(self, sketches: Sequence[StorePath]) -> list[Path]:
        """Return sketches as files on a local disk, copied there when they are not."""
        remote = [path for path in sketches if not isinstance(path, Path)]
        copies = {path: self._scratch / "copies" / f"{i}.parquet" for i, path in enumerate(remote)}
        objects.get(remote, [str(copies[path]) for path in remote])
        return [path if isinstance(path, Path) else copies[path] for path in sketches]

    def write_verdicts(self, number: int, verdicts: pa.Table) -> None:
        """Write a partition's ledger part: the entries it has, and those of new verdicts."""
        fresh = _entries(self._store, self._before, self._node, number, verdicts)
        both = pa.concat_tables([self._verdicts(number), fresh]).sort_by("row")
        write_parquet(self._store.ledger_part(self._node, number), both)

    def forget_verdicts_beyond(self, had: Mapping[int, int]) -> None:
        """Take verdicts of an unfinished attempt out of the ledger: those on rows not judged."""
        for part in list(self._store.ledger([self._node])):
            number = part["partition"][0].as_py()
            path = self._store.ledger_part(self._node, number)
            rows = self._read(number, range(had.get(number, -1) + 1))["row"]
            kept = part.filter(pc.is_in(part["row"], rows.combine_chunks()))
            if kept.num_rows == 0:
                remove(path)
            elif kept.num_rows < part.num_rows:
                write_parquet(path, kept)

    def _draw(self, number: int, one: int, supplements: int) -> None:
        """Draw a sketch that no worker has drawn: the barrier came into the recipe later."""
        rows = self._store.read(self._before, number, self._reads)
        others = [other for other in range(supplements + 1) if other != one]
        drawn = self._read(number, others)["row"].combine_chunks()
        sketch = self._barrier.sketch(rows.filter(pc.invert(pc.is_in(rows["row"], drawn))))
        write_parquet(self._store.sketch_part(self._node, number, one), sketch)

    def _read(self, number: int, revisions: Iterable[int]) -> pa.Table:
        """Read the sketches there are, rows ascending."""
        none = pa.schema([columns.PARTITION, columns.ROW]).empty_table()
        paths = [self._store.sketch_part(self._node, number, one) for one in revisions]
        folder = self._store.root / self._node.folder
        found = [read_parquet_if_there(path, remove=folder) for path in paths]
        tables = [table for table in found if table is not None]
        return pa.concat_tables(tables).sort_by("row") if tables else none

    def _verdicts(self, number: int) -> pa.Table:
        return pa.concat_tables(
            [LEDGER_SCHEMA.empty_table(), *self._store.ledger([self._node], number)]
        )

    def _write(self, folder: str, number: int, rows: pa.Table) -> Path:
        path = self._scratch / folder / f"{part_name(number)}.parquet"
        write_parquet(path, rows)
        return path


def _entries(
    store: RunStore, before: Sequence[Node], node: Node, number: int, verdicts: pa.Table
) -> pa.Table:
    written = {name for one in before if one.schema for name in one.schema.names}
    rows = store.read(before, number, [name for name in CARRIED if name in written])
    wanted = verdicts["row"].to_numpy()
    position = np.searchsorted(rows["row"].to_numpy(), wanted)
    stopped = rows.take(pa.array(position))
    assert pc.all(pc.equal(stopped["row"], verdicts["row"])).as_py() is not False
    return entries(
        stopped,
        verdicts["reason"].combine_chunks(),
        verdicts["detail"].combine_chunks(),
        stage=node.stages[0],
    )
