"""A run's pairs as a person looks at them: filtered, searched, sorted, with selections and marks.

Everything that a question needs is an array over all pairs, and what was asked lately is kept: a
filter changed back, or another page of the same answer, costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import StoreError, nearest
from curate.core.selection import Selection
from curate.core.stage import Progress
from curate.core.table import CommittedTable
from curate.inspection.index.columns import ColumnKind
from curate.inspection.index.decisions import SELECTED, current_selections, decisions
from curate.inspection.index.filters import Coded, Condition, coded, of_numbers, of_words
from curate.inspection.index.marked import MarkedPlaces
from curate.inspection.index.orders import Orders
from curate.inspection.index.pair_index import Bools, Places
from curate.inspection.index.query import (
    DISTANCE,
    MARK,
    RANDOM,
    SELECTION,
    Answer,
    Query,
    Threshold,
)
from curate.inspection.index.recent import Recent
from curate.inspection.index.search import Search
from curate.inspection.marks import Marks

#: Images that a search by meaning or by a picture gives.
MOST_SIMILAR = 500
_MASKS_BYTES, _ANSWERS_BYTES = 256_000_000, 256_000_000


class Pairs:
    """A run's pairs; safe in threads."""

    def __init__(
        self,
        table: CommittedTable,
        search: Search,
        marks: Marks,
        progress: Progress | None = None,
    ) -> None:
        """Read what the selections say.

        Args:
            table: the run's.
            search: over it.
            marks: of its pairs.
            progress: called while decisions are read.
        """
        self.table = table
        self.search = search
        self.index = search.index
        self._vectors: Recent[NDArray[np.float32]] = Recent(1_000_000, lambda one: one.nbytes)
        self._masks: Recent[Bools] = Recent(_MASKS_BYTES, lambda mask: mask.nbytes)
        self._orders = Orders(self.index)
        self._answers: Recent[Answer] = Recent(_ANSWERS_BYTES, lambda answer: answer.num_bytes)
        self._coded: dict[str, Coded] = {}
        self._lock = threading.RLock()
        self._marks = marks
        self._marked = MarkedPlaces(self.index, marks)
        self._changes = 0  # of marks and selections: answers that rest on earlier ones are stale
        self.selections: dict[str, Selection] = {}
        self.look_for_selections(progress)

    # -- columns ------------------------------------------------------------------------------

    def look_for_selections(self, progress: Progress | None = None) -> None:
        """Take up selections that were made since."""
        with self._lock:
            found = current_selections(self.table)
            for name, selection in found.items():
                known = self.selections.get(name)
                if known is None or known.facts["decisions"] != selection.facts["decisions"]:
                    self._coded[SELECTION + name] = decisions(
                        self.table, selection, self.index, progress
                    )
                    self._changes += 1
            self.selections = found

    def kind(self, name: str) -> ColumnKind:
        """Return the kind of a column, of selections and marks as well.

        Raises:
            StoreError: no such column; the message offers the nearest.
        """
        if name == MARK or name in (SELECTION + one for one in self.selections):
            return "text"
        if name not in self.index.columns:
            raise StoreError(f"no column {name!r}: {nearest(name, self.names)}")
        return self.index.columns[name].kind

    @property
    def names(self) -> list[str]:
        """All columns."""
        return [*self.index.columns, *(SELECTION + name for name in self.selections), MARK]

    def coded(self, name: str) -> Coded | None:
        """Return a column of words with few values; None where it has many."""
        if name == MARK:
            return self._marked.column
        with self._lock:
            if name not in self._coded:
                values = self.index.few_values(name)
                if values is None:
                    return None
                column = self.index.read(name)
                self._coded[name] = coded(column, tuple(values))
            return self._coded[name]

    def where(self, condition: Condition) -> Bools:
        """Return which pairs fulfil a condition.

        Raises:
            StoreError: no such column, or the condition does not fit it.
        """
        kind = self.kind(condition.column)
        condition.check(kind)
        changing = condition.column == MARK or condition.column.startswith(SELECTION)
        key = (condition, type(condition.value), self._changes if changing else 0)
        return self._masks.get(key, lambda: self._where(condition, kind))

    def _where(self, condition: Condition, kind: ColumnKind) -> Bools:
        if kind != "text":
            return of_numbers(condition, self.index.numbers(condition.column))
        few = self.coded(condition.column)
        if few is not None:
            return few.where(of_words(condition), lower=condition.folds)
        return self.index.where_words(condition.column, of_words(condition), lower=condition.folds)

    def warm_up(self) -> None:
        """Read and sort what is asked about first, so that nobody waits for it."""
        for name in self.index.score_names:
            self._orders.by(name, descending=True)
        self.coded("source")
        self.index.image_starts  # noqa: B018 - worked out once and kept

    # -- answers --------------------------------------------------------------------------------

    def remember(self, name: str, vector: NDArray[np.float32]) -> None:
        """Keep a picture's vector for a while, to be named by ``Near.picture``."""
        self._vectors.get(name, lambda: vector)

    def members(self, query: Query) -> Bools:
        """Return the pairs that conditions, words and likeness leave, whatever a threshold does."""
        members = np.ones(len(self.index), bool)
        for condition in query.conditions:
            members &= self.where(condition)
        found = self._found(query)
        if found is not None:
            hits = np.zeros(len(members), bool)
            hits[found.places] = True
            members &= hits
        return members

    def answer(self, query: Query) -> Answer:
        """Return the pairs that a query means, in order.

        Raises:
            StoreError: it names what does not exist, or asks for what cannot be had.
        """
        return self._answers.get((query, self._changes), lambda: self._answer(query))

    def _answer(self, query: Query) -> Answer:
        members = self.members(query)
        if query.shifted is not None:
            gained, lost = self.shifts(query.shifted)
            members &= gained | lost
        found = self._found(query)
        if found is not None and not query.sort:
            keep = members[found.places]
            closeness = None if found.closeness is None else found.closeness[keep]
            return Answer(found.places[keep], closeness)
        places = self._in_order(members, query)
        if found is None or found.closeness is None:
            return Answer(places)
        by_place = np.argsort(found.places)
        at = by_place[np.searchsorted(found.places[by_place], places)]
        return Answer(places, found.closeness[at])

    def _found(self, query: Query) -> Answer | None:
        """Return what words and likeness find, the best first; None where nothing is searched."""
        if not query.words.strip() and query.near is None:
            return None
        return self._answers.get((query.words, query.near), lambda: self._searched(query))

    def _searched(self, query: Query) -> Answer:
        if query.near is None:
            return Answer(*self.search.by_words(query.words))
        near = query.near
        if near.image is not None:
            found = self.search.like_image(*near.image, MOST_SIMILAR)
        elif near.picture:
            found = self.search.like_vector(self._vector(near.picture), MOST_SIMILAR)
        else:
            found = self.search.by_meaning(near.words, MOST_SIMILAR)
        answer = Answer(*found)
        if query.words.strip():
            keep = np.isin(answer.places, self.search.by_words(query.words)[0])
            answer = Answer(found[0][keep], found[1][keep])
        return answer

    def _vector(self, name: str) -> NDArray[np.float32]:
        def gone() -> NDArray[np.float32]:
            raise StoreError("this picture is no longer in memory: choose it again")

        return self._vectors.get(name, gone)

    def _in_order(self, members: Bools, query: Query) -> Places:
        if not query.sort:
            return np.flatnonzero(members)
        if query.sort == DISTANCE:
            if query.shifted is None:
                raise StoreError(
                    "pairs can only be sorted by their distance from a threshold that moves some"
                )
            places = np.flatnonzero(members)  # all of them scored, or they would not have moved
            values = self.index.numbers(query.shifted.column).values[places]
            return places[np.argsort(np.abs(values - query.shifted.value))]
        order = self._order(query)
        return order[members[order]]

    def _order(self, query: Query) -> Places:
        """Return all pairs in the order of a column, those without a number last."""
        if query.sort != RANDOM and self.kind(query.sort) == "text":
            raise StoreError(f"{query.sort!r} holds words: sort by a column of numbers")
        return self._orders.by(query.sort, descending=query.descending)

    # -- thresholds -----------------------------------------------------------------------------

    def kept_at(self, column: str, value: float) -> Bools:
        """Return which pairs a threshold keeps; one without a score is not kept.

        Raises:
            StoreError: no such score.
        """
        numbers = self.index.numbers(column)
        return np.asarray((numbers.values >= value) & numbers.known)

    def kept_by(self, against: str | float | None, column: str) -> Bools:
        """Return which pairs a selection or another threshold keeps; None keeps none.

        Raises:
            StoreError: no such selection.
        """
        if against is None:
            return np.zeros(len(self.index), bool)
        if isinstance(against, str):
            return self.where(Condition(SELECTION + against, "=", SELECTED))
        return self.kept_at(column, against)

    def shifts(self, threshold: Threshold) -> tuple[Bools, Bools]:
        """Return the scored pairs that a threshold newly keeps, and those that it newly drops."""
        judged = self.index.numbers(threshold.column).known
        now = self.kept_at(threshold.column, threshold.value)
        before = self.kept_by(threshold.against, threshold.column) & judged
        return now & ~before, before & ~now

    # -- marks ----------------------------------------------------------------------------------

    def mark(self, place: int, good: bool | None) -> None:
        """Mark the pair at a place, and all with the same text and image; None takes it back.

        Raises:
            StoreError: there is no such place, the text is missing, or it cannot be saved.
        """
        self._marked.set(place, good)
        self._changes += 1

    def mark_lines(self) -> Iterator[str]:
        """Yield the marks as ``curate calibrate --labels`` reads them, a JSON line each."""
        return self._marks.lines()

    def undo(self) -> bool:
        """Take back the last mark of this sitting; False where none is left.

        Raises:
            StorageFull, StoreError: it cannot be saved.
        """
        undone = self._marked.undo()
        self._changes += 1
        return undone
