"""The marks of a run as a column of its index."""

from __future__ import annotations

import threading
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core.errors import StoreError
from curate.inspection.index.filters import Coded
from curate.inspection.index.pair_index import PairIndex
from curate.inspection.marks import Marks
from curate.inspection.score_samples import Pair

BAD, GOOD = "bad", "good"


class MarkedPlaces:
    """How the pairs of an index are marked, kept in step with the marks; safe in threads."""

    def __init__(self, index: PairIndex, marks: Marks) -> None:
        self._index = index
        self._marks = marks
        self._codes = np.full(len(index), -1, np.int16)
        self._lock = threading.Lock()
        labels = marks.labels
        for place, pair in self._places_of(labels).items():
            self._codes[place] = int(labels[pair])

    @property
    def column(self) -> Coded:
        """The marks of all pairs."""
        return Coded(self._codes, (BAD, GOOD))

    def set(self, place: int, good: bool | None) -> None:
        """Mark the pair at a place, and all with the same text and image.

        Raises:
            StoreError: there is no such place, the text is missing, or it cannot be saved.
        """
        if not 0 <= place < len(self._index):
            raise StoreError(f"there is no pair {place}: the index has {len(self._index)}")
        (pair,) = self._index.take([place], ["uid", "text"]).to_pylist()
        if pair["text"] is None:
            raise StoreError("a pair without a text cannot be marked")
        alike = self._alike(place, pair["text"])
        with self._lock:  # what is shown follows what is saved, in the same order
            self._marks.set(pair["uid"], pair["text"], good)
            self._note(alike, good)

    def undo(self) -> bool:
        """Take back the last mark of this sitting; False where none is left.

        Raises:
            StorageFull, StoreError: it cannot be saved.
        """
        with self._lock:
            pair = self._marks.undo()
            if pair is None:
                return False
            self._note([*self._places_of([pair])], self._marks.good(*pair))
            return True

    def _note(self, places: Collection[int], good: bool | None) -> None:
        self._codes[list(places)] = -1 if good is None else int(good)

    def _alike(self, place: int, text: str) -> list[int]:
        own, _ = self._index.of_images(self._index.images[place : place + 1])
        texts = self._index.take(own, ["text"])["text"].to_pylist()
        return [int(at) for at, one in zip(own, texts, strict=True) if one == text]

    def _places_of(self, wanted: Collection[Pair]) -> dict[int, Pair]:
        if not wanted:
            return {}
        uids = pa.array(sorted({uid for uid, _ in wanted}), pa.string())
        there = self._index.where_words("uid", lambda some: pc.is_in(some, value_set=uids))
        places = np.flatnonzero(there)
        found = self._index.take(places, ["uid", "text"]).to_pylist()
        pairs = {int(at): (one["uid"], one["text"]) for at, one in zip(places, found, strict=True)}
        return {place: pair for place, pair in pairs.items() if pair in wanted}
