"""Barriers: sketches gathered, resolved out of core, verdicts written as ledger parts."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core.atomic import write_parquet
from curate.core.ledger import CARRIED, entries
from curate.core.plan import BarrierPlan, Node
from curate.core.stage import Barrier
from curate.core.store import RunStore


def resolve_barrier(
    plan: BarrierPlan, store: RunStore, before: Sequence[Node], numbers: Sequence[int]
) -> dict[str, int]:
    """Resolve a barrier over committed partitions.

    Args:
        plan: the barrier.
        store: the run's folder.
        before: the steps before it.
        numbers: the partitions committed before it, ascending.

    Returns:
        Rows that stop, by reason. Their ledger parts are written; verdicts of an earlier,
        unfinished attempt are replaced.
    """
    node = plan.node
    barrier: Barrier = plan.stage.config.build()
    sketches = []
    for number in numbers:
        path = store.sketch_part(node, number)
        if not path.exists():  # the barrier was put into the recipe after the leg had run
            write_parquet(path, barrier.sketch(store.read(before, number, plan.stage.config.reads)))
        sketches.append(path)
    scratch = store.root / node.folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(store.root / node.folder / "ledger", ignore_errors=True)
    scratch.mkdir(parents=True)
    dropped: Counter[str] = Counter()
    with barrier.ready():
        for number, verdicts in barrier.resolve(sketches, scratch):
            if verdicts.num_rows == 0:
                continue
            write_parquet(
                store.ledger_part(node, number), _entries(store, before, node, number, verdicts)
            )
            dropped.update(verdicts["reason"].to_pylist())
    shutil.rmtree(scratch, ignore_errors=True)
    return dict(dropped)


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
