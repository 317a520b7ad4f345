"""A selection as pairs to train on: pictures with their selected texts, read by number."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow.compute as pc

from curate.core.errors import StoreError, nearest
from curate.core.pairs import Pair, best_score
from curate.core.selection import Selection
from curate.core.table import CommittedTable

_PARTITIONS_IN_MEMORY = 4

_Text = tuple[str, str, float | None]
"""A text, where it came from, its score."""


class SelectionPairs:
    """The pictures of a selection, each with all its selected texts; a ``PairSource``.

    Only the row numbers and counts are held; a few partitions are kept at a time.

    Args:
        table: the run's table.
        selection: one of its selections.
        score: the score column that says how well a text fits; None: no scores are given.

    Raises:
        StoreError: the selection was decided on another table, or there is no such column.
    """

    def __init__(
        self, table: CommittedTable, selection: Selection, *, score: str | None = None
    ) -> None:
        selection.check(table)
        if score is not None and score not in table.score_names:
            raise StoreError(
                f"no score column {score!r} in {table.store.root}: "
                f"{nearest(score, table.score_names)}"
            )
        self._score = score
        self._table = table
        self._selection = selection
        counts = [self._count(number) for number in table.partitions]
        self._starts = [0, *accumulate(counts)]
        self._cache: OrderedDict[tuple[int, bool], list[Pair]] = OrderedDict()

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, indices: Sequence[int]) -> list[Pair]:
        """Return the pictures of these numbers, in this order."""
        return self._read(indices, pictures=True)

    def read_texts(self, indices: Sequence[int]) -> list[Pair]:
        """Return what ``read`` does, without the pictures."""
        return self._read(indices, pictures=False)

    def _read(self, indices: Sequence[int], *, pictures: bool) -> list[Pair]:
        found: dict[int, Pair] = {}
        for index in sorted(set(indices)):
            position = bisect.bisect_right(self._starts, index) - 1
            partition = self._partition(position, pictures=pictures)
            found[index] = partition[index - self._starts[position]]
        return [found[index] for index in indices]

    def __getstate__(self) -> dict[str, Any]:
        """Leave pictures behind: a copy reads its own."""
        return {**self.__dict__, "_cache": OrderedDict()}

    def texts(self) -> Iterator[str]:
        """Yield every selected text once, in source order."""
        for number in self._table.partitions:
            for texts in self._selected(number).values():
                yield from (text for text, _, _ in texts)

    def num_texts(self) -> list[int]:
        """Return the number of selected texts of every picture."""
        return [
            len(texts)
            for number in self._table.partitions
            for texts in self._selected(number).values()
        ]

    def best_scores(self) -> list[float | None]:
        """Return every picture's highest score among its selected texts; None where it has none."""
        return [
            best_score(score for _, _, score in texts)
            for number in self._table.partitions
            for texts in self._selected(number).values()
        ]

    def _count(self, number: int) -> int:
        decisions = self._selection.decisions(number)
        return len(pc.unique(decisions.filter(pc.is_null(decisions["rejected"]))["row"]))

    def _selected(self, number: int) -> dict[int, list[_Text]]:
        """Return the selected texts by row, rows in their order."""
        keep = pc.is_null(self._selection.decisions(number)["rejected"])
        texts = self._table.texts(number).filter(keep)
        scores = texts[self._score].to_pylist() if self._score else [None] * len(texts)
        beside = zip(texts["text"].to_pylist(), texts["source"].to_pylist(), scores, strict=True)
        by_row: dict[int, list[_Text]] = {}
        for row, said in zip(texts["row"].to_pylist(), beside, strict=True):
            by_row.setdefault(row, []).append(said)
        return by_row

    def _partition(self, position: int, *, pictures: bool) -> list[Pair]:
        key = position, pictures
        if key not in self._cache:
            number = self._table.partitions[position]
            by_row = self._selected(number)
            columns = ["uid", "image"] if pictures else ["uid"]
            rows = self._table.rows(number, columns).to_pylist()
            self._cache[key] = [
                self._pair(row["uid"], row.get("image", b""), by_row[row["row"]])
                for row in rows
                if row["row"] in by_row
            ]
            if len(self._cache) > _PARTITIONS_IN_MEMORY:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _pair(self, uid: str, image: bytes, said: list[_Text]) -> Pair:
        texts, sources, scores = zip(*said, strict=True)
        return Pair(uid, image, list(texts), sources, scores if self._score else ())
