"""An opened index: its columns as arrays, pages of it, and words looked up in it.

Pairs are numbered by their place in the index, from 0. Columns of numbers are read once and kept;
columns of words that were asked about lately as well, as far as there is room for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.core.ahead import in_order
from curate.core.atomic import read_json
from curate.core.errors import StoreError, nearest
from curate.core.stage import Progress
from curate.core.table import CommittedTable
from curate.inspection.index.build import PAIRS, STATE_FILE, up_to_date
from curate.inspection.index.columns import Column, Layout, layout
from curate.inspection.index.recent import Recent
from curate.inspection.index.vectors import Vectors, opened
from curate.inspection.index.words import full_text_query

Places = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_EMPTY = {"number": pa.float64(), "flag": pa.bool_(), "text": pa.string()}
_READ_AT_ONCE = 65_536
#: Portions of a column of words that are tested at the same time.
_TESTS_AT_ONCE = 4
#: Columns of words that were asked about lately.
_WORDS_BYTES = 512_000_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers or flags.

    Attributes:
        values: one a pair; 0 where there is none.
        known: which pairs have one; NaN counts as none.
    """

    values: NDArray[Any]
    known: Bools


class PairIndex:
    """The index of a run's pairs; safe in threads."""

    def __init__(self, place: Path, wanted: Layout, values: Mapping[str, Sequence[str]]) -> None:
        self.place = place
        self.columns = {column.name: column for column in wanted.columns}
        self.vectors = Vectors(place, wanted.embeddings)
        self.left_out = wanted.left_out
        self._values = values
        self._pairs = opened(place, PAIRS)
        self._num_pairs = 0 if self._pairs is None else int(self._pairs.count_rows())
        self._numbers: dict[str, Numbers] = {}
        self._kept_words: Recent[list[pa.Array]] = Recent(
            _WORDS_BYTES, lambda some: sum(words.nbytes for words in some)
        )
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls, table: CommittedTable, folder: Path | None = None, progress: Progress | None = None
    ) -> PairIndex:
        """Bring a run's index up to date and open it.

        Args:
            table: the run's.
            folder: where indices are kept; beside the run when not given.
            progress: called with finished and all partitions while there are some to add.

        Raises:
            StorageFull, StoreError: it cannot be built.
        """
        with up_to_date(table, folder, progress) as place:
            values = read_json(place / STATE_FILE)["values"]
            return cls(place, layout(table), values)

    def __len__(self) -> int:
        return self._num_pairs

    @property
    def score_names(self) -> list[str]:
        """Columns of scores."""
        return [name for name, column in self.columns.items() if column.is_score]

    def column(self, name: str) -> Column:
        """Return a column.

        Raises:
            StoreError: no such column; the message offers the nearest.
        """
        if name not in self.columns:
            raise StoreError(f"no column {name!r}: {nearest(name, self.columns)}")
        return self.columns[name]

    def few_values(self, name: str) -> Sequence[str] | None:
        """Return the values of a column of words, sorted, where they are few; else None."""
        stored = self.column(name).stored
        return self._values.get(stored) if len(self) else []

    def numbers(self, name: str) -> Numbers:
        """Return a column of numbers or flags.

        Raises:
            StoreError: no such column, or one of words.
        """
        column = self.column(name)
        if column.kind == "text":
            raise StoreError(f"column {name!r} holds words, not numbers")
        with self._lock:
            if name not in self._numbers:
                self._numbers[name] = _numbers(self.read(name))
            return self._numbers[name]

    def read(self, name: str) -> pa.ChunkedArray:
        """Return a whole column as it is stored, in the order of the pairs."""
        column = self.column(name)
        if self._pairs is None:
            return pa.chunked_array([], _EMPTY[column.kind])
        return self._pairs.to_table(columns=[column.stored])[column.stored]

    def where_words(
        self, name: str, test: Callable[[pa.Array], pa.Array], *, lower: bool = False
    ) -> Bools:
        """Return which pairs pass a test of a column of words.

        Args:
            name: the column.
            test: from strings to flags; a null flag is no.
            lower: give the test lower-case strings.
        """

        def passed(words: pa.Array) -> Bools:
            found: Bools = pc.fill_null(test(words), False).to_numpy(zero_copy_only=False)
            return found

        portions = self._words(self.column(name).stored, lower=lower)
        found = in_order(passed, portions, at_once=_TESTS_AT_ONCE)
        return np.concatenate([np.zeros(0, bool), *found])

    def _words(self, stored: str, *, lower: bool) -> Iterator[pa.Array]:
        """Yield a column in portions, kept in memory unless it is too large for that."""
        kept = self._kept_words.find((stored, lower))
        if kept is not None:
            yield from kept
            return
        seen: list[pa.Array] = []
        num_bytes = 0
        batches = (
            []
            if self._pairs is None
            else self._pairs.to_batches(columns=[stored], batch_size=_READ_AT_ONCE)
        )
        for batch in batches:
            words = pc.utf8_lower(batch[stored]) if lower else batch[stored]
            yield words
            num_bytes += words.nbytes
            if num_bytes <= _WORDS_BYTES:
                seen.append(words)
        if num_bytes <= _WORDS_BYTES:
            self._kept_words.get((stored, lower), lambda: seen)

    @cached_property
    def images(self) -> Places:
        """For each pair its image: ``partition << 32 | row``."""
        partitions, rows = (self.numbers(name).values for name in ("partition", "row"))
        return np.asarray(partitions.astype(np.int64) << 32 | rows.astype(np.int64))

    @cached_property
    def image_starts(self) -> Places:
        """Places at which the pairs of another image begin; those of one lie together."""
        images = self.images
        if not len(images):
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.concatenate([[True], images[1:] != images[:-1]]))

    def of_images(self, images: Places) -> tuple[Places, Places]:
        """Return the pairs of images, image by image, and for each the place of its image.

        Args:
            images: as ``images`` has them; those that the index does not hold are passed over.
        """
        order, starts = self._image_order
        known = self.images[starts][order]
        at = np.searchsorted(known, images)
        at[at == len(known)] = 0
        there = np.flatnonzero(known[at] == images) if len(known) else np.zeros(0, np.int64)
        first = starts[order[at[there]]]
        ends = np.append(starts[1:], len(self))[order[at[there]]]
        lengths = ends - first
        owner = np.repeat(there, lengths)
        steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(first, lengths) + steps, owner

    @cached_property
    def _image_order(self) -> tuple[Places, Places]:
        starts = self.image_starts
        return np.argsort(self.images[starts], kind="stable"), starts

    def take(self, places: Sequence[int] | Places, names: Sequence[str]) -> pa.Table:
        """Return pairs in the order given, by their columns' names."""
        stored = [self.column(name).stored for name in names]
        if self._pairs is None:
            kinds = [_EMPTY[self.column(name).kind] for name in names]
            return pa.schema(list(zip(names, kinds, strict=True))).empty_table()
        found = self._pairs.take([int(place) for place in places], columns=stored)
        return found.select(stored).rename_columns(list(names))

    def with_words(self, words: str) -> tuple[Places, Floats]:
        """Return the pairs whose text has all of the words, the most relevant (BM25) first.

        ``"two words"`` in double quotes is a phrase; ``-word`` must not occur. Words are matched by
        their stem (of English), without regard to case and accents.

        Returns:
            Places, and the relevance of each.

        Raises:
            StoreError: only words that must not occur.
        """
        query = full_text_query(words, "text")
        if self._pairs is None or query is None:
            return np.zeros(0, np.int64), np.zeros(0)
        found = self._pairs.to_table(
            columns=["_score"],
            full_text_query=query,
            with_row_address=True,
            limit=len(self),
        )
        relevance = found["_score"].to_numpy().astype(np.float64)
        return self._places(found["_rowaddr"].to_numpy()), relevance

    def _places(self, addresses: NDArray[np.uint64]) -> Places:
        order, known = self._addresses
        return np.asarray(order[np.searchsorted(known, addresses)])

    @cached_property
    def _addresses(self) -> tuple[Places, NDArray[np.uint64]]:
        """Places in the order of Lance's row addresses, and the addresses in order."""
        found = self._pairs.to_table(columns=[], with_row_address=True)["_rowaddr"].to_numpy()
        order = np.argsort(found, kind="stable")
        return order, found[order]


def _numbers(column: pa.ChunkedArray) -> Numbers:
    known = np.asarray(column.is_valid().to_numpy(), bool)
    if pa.types.is_boolean(column.type):
        return Numbers(pc.fill_null(column, False).to_numpy().astype(bool), known)
    values = column.to_numpy() if not column.null_count else pc.fill_null(column, 0).to_numpy()
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        values, known = np.where(finite, values, 0).astype(np.float64), known & finite
    return Numbers(np.asarray(values), known)
