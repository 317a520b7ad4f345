"""What a person asks of a run's pairs, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass

from curate.inspection.index.filters import Condition
from curate.inspection.index.pair_index import Floats, Places

#: The column of marks, and the beginning of a selection's.
MARK, SELECTION = "mark", "selection:"
#: Orders that are no column: a fair sample, and by distance from the threshold.
RANDOM, DISTANCE = "order:random", "order:distance"


@dataclass(frozen=True, slots=True)
class Near:
    """A search by likeness.

    Attributes:
        image: partition and row of one of the run's images.
        picture: the name of a vector given to ``Pairs.remember``.
        words: what an image shall show.
    """

    image: tuple[int, int] | None = None
    picture: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold of a score beside what is kept now.

    Attributes:
        column: the score.
        value: pairs are kept from this score on.
        against: a selection's name, or another threshold; None for nothing.
    """

    column: str
    value: float
    against: str | float | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What to show.

    Attributes:
        conditions: all of them must hold.
        words: that the text must have; "" for none. See ``PairIndex.with_words``.
        near: images to be like; None for no such search.
        shifted: only pairs that the threshold moves to the other side.
        sort: a column of numbers, ``RANDOM`` or ``DISTANCE``; "" for the order of the search, or
            else of the source.
        descending: the greatest first.
    """

    conditions: tuple[Condition, ...] = ()
    words: str = ""
    near: Near | None = None
    shifted: Threshold | None = None
    sort: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The pairs that a query means.

    Attributes:
        places: in order.
        closeness: parallel to ``places``: relevance or cosine; None where nothing was searched.
    """

    places: Places
    closeness: Floats | None = None

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        return self.places.nbytes + (0 if self.closeness is None else self.closeness.nbytes)
