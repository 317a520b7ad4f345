"""Which rows of a committed partition are still to be taken through a leg."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from curate.core.atomic import exists
from curate.core.errand import Errand
from curate.core.ledger import LEDGER_SCHEMA, merge_counts, subtract_counts
from curate.core.plan import Node, PassPlan, Plan
from curate.core.store import RunStore


def rows_left(store: RunStore, before: Sequence[Node], node: Node, number: int) -> np.ndarray:
    """Return the rows that reach a leg and that it has not taken, ascending, int32.

    Args:
        store: the run's folder.
        before: the steps before the leg, all of which have committed the partition; empty for the
            leg that reads the source, which has taken every row.
        node: the leg, which has committed the partition.
        number: the partition.
    """
    if not before:
        return np.zeros(0, np.int32)
    return np.setdiff1d(store.live_rows(before, number), store.seen_rows(node, number))


def retried_rows(store: RunStore, node: Node, number: int, errand: Errand) -> pa.Table:
    """Return the ledger entries (``LEDGER_SCHEMA``) of the rows that a leg takes up again."""
    entries = pa.concat_tables([LEDGER_SCHEMA.empty_table(), *store.ledger([node], number)])
    pairs = zip(entries["stage"].to_pylist(), entries["reason"].to_pylist(), strict=True)
    return entries.filter(pa.array([errand.wants(*pair) for pair in pairs], pa.bool_()))


def touched(commits: Mapping[int, int]) -> set[int]:
    """Return the partitions of which a leg has committed supplements."""
    return {number for number, supplements in commits.items() if supplements}


class Due:
    """What an errand comes to in one pass."""

    def __init__(self, store: RunStore, plan: Plan, one: PassPlan, errand: Errand) -> None:
        self._store = store
        self._legs = [leg.node for leg in one.legs]
        start = plan.nodes.index(self._legs[0])
        self._before = [plan.nodes[: start + i] for i in range(len(self._legs))]
        self._errand = errand

    def partitions(self, touched: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield partitions and the first leg with rows to take, ascending.

        Args:
            touched: partitions with a supplement at these legs or before them; only there can
                rows have been left behind.
        """
        retried = self._retried() if self._errand.reasons else {}
        for number in sorted({*touched, *retried}):
            first = min([*self._left(number), *retried.get(number, [])], default=None)
            if first is not None:
                yield number, first

    def _left(self, number: int) -> Iterator[int]:
        for leg, (node, before) in enumerate(zip(self._legs, self._before, strict=True)):
            if not exists(self._store.commit_file(node, number)):
                return
            if len(rows_left(self._store, before, node, number)):
                yield leg
                return

    def _retried(self) -> dict[int, list[int]]:
        """Return partitions with rows to try again, and at which legs."""
        found: dict[int, list[int]] = {}
        for leg, node in enumerate(self._legs):
            every = self._store.each_receipt(node, self._store.commits(node))
            for number, group in itertools.groupby(every, key=lambda receipt: receipt.partition):
                dropped: dict[str, dict[str, int]] = {}
                receipts = list(group)
                for receipt in receipts:
                    merge_counts(dropped, receipt.dropped)
                    subtract_counts(dropped, receipt.superseded)
                if receipts[-1].errand != self._errand.name and self._errand.count(dropped):
                    found.setdefault(number, []).append(leg)
        return found
