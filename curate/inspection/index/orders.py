"""Orders of a run's pairs: by a column of numbers, or at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.inspection.index.pair_index import PairIndex, Places
from curate.inspection.index.query import RANDOM
from curate.inspection.index.recent import Recent

_BYTES = 256_000_000


class Orders:
    """The orders that were asked for lately; safe in threads."""

    def __init__(self, index: PairIndex) -> None:
        self._index = index
        self._recent: Recent[Places] = Recent(_BYTES, lambda order: order.nbytes)

    def by(self, sort: str, *, descending: bool) -> Places:
        """Return all pairs in order, those without a number last.

        Args:
            sort: a column of numbers, or ``RANDOM``, which is the same order each time.
            descending: the greatest first.

        Raises:
            StoreError: no such column, or one of words.
        """
        return self._recent.get((sort, descending), lambda: self._made(sort, descending))

    def _made(self, sort: str, descending: bool) -> Places:
        if sort == RANDOM:
            texts = np.asarray(self._index.numbers("text_index").values, np.int64)
            return np.argsort(_scattered(self._index.images, texts), kind="stable")
        column = self._index.numbers(sort)
        if descending:
            ascending = self.by(sort, descending=False)
            known = column.known[ascending]
            return np.concatenate([ascending[known][::-1], ascending[~known]])
        order = np.argsort(column.values, kind="stable")
        known = column.known[order]
        return np.concatenate([order[known], order[~known]])


def _scattered(images: Places, texts: Places) -> NDArray[np.uint64]:
    """Return numbers that look random and stay the same for a pair (splitmix64)."""
    with np.errstate(over="ignore"):
        value = images.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + texts.astype(np.uint64)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))
