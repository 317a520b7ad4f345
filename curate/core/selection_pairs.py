"""A selection as pairs to train on: pictures with their selected texts, read by number."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate

import pyarrow.compute as pc

from curate.core.pairs import Pair
from curate.core.selection import Selection
from curate.core.table import CommittedTable

_PARTITIONS_IN_MEMORY = 4


class SelectionPairs:
    """The pictures of a selection, each with all its selected texts; a ``PairSource``.

    Only the row numbers and counts are held; a few partitions of pictures are kept at a time.

    Args:
        table: the run's table.
        selection: one of its selections.

    Raises:
        StoreError: the selection was decided on another table.
    """

    def __init__(self, table: CommittedTable, selection: Selection) -> None:
        selection.check(table)
        self._table = table
        self._selection = selection
        counts = [self._count(number) for number in table.partitions]
        self._starts = [0, *accumulate(counts)]
        self._cache: OrderedDict[int, list[Pair]] = OrderedDict()

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, indices: Sequence[int]) -> list[Pair]:
        """Return the pictures of these numbers, in this order."""
        found: dict[int, Pair] = {}
        for index in sorted(set(indices)):
            position = bisect.bisect_right(self._starts, index) - 1
            found[index] = self._partition(position)[index - self._starts[position]]
        return [found[index] for index in indices]

    def texts(self) -> Iterator[str]:
        """Yield every selected text once, in source order."""
        for number in self._table.partitions:
            for texts in self._selected(number).values():
                yield from texts

    def _count(self, number: int) -> int:
        decisions = self._selection.decisions(number)
        return len(pc.unique(decisions.filter(pc.is_null(decisions["rejected"]))["row"]))

    def _selected(self, number: int) -> dict[int, list[str]]:
        keep = pc.is_null(self._selection.decisions(number)["rejected"])
        texts = self._table.texts(number).filter(keep)
        by_row: dict[int, list[str]] = {}
        for row, text in zip(texts["row"].to_pylist(), texts["text"].to_pylist(), strict=True):
            by_row.setdefault(row, []).append(text)
        return by_row

    def _partition(self, position: int) -> list[Pair]:
        if position not in self._cache:
            number = self._table.partitions[position]
            by_row = self._selected(number)
            rows = self._table.rows(number, ["uid", "image"]).to_pylist()
            self._cache[position] = [
                Pair(row["uid"], row["image"], by_row[row["row"]])
                for row in rows
                if row["row"] in by_row
            ]
            if len(self._cache) > _PARTITIONS_IN_MEMORY:
                self._cache.popitem(last=False)
        self._cache.move_to_end(position)
        return self._cache[position]
