"""What a threshold would do, counted over the pairs that are shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.core.errors import StoreError
from curate.inspection.calibration import Calibration, Measure, from_labels
from curate.inspection.index.pair_index import Bools, Floats, Places
from curate.inspection.index.pairs import Pairs
from curate.inspection.index.query import MARK, Query, Threshold

#: Bins of a histogram.
NUM_BINS = 80
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a threshold does.

    Attributes:
        scored: pairs with a score.
        kept: of them, from the threshold on.
        unscored: pairs without a score, which no threshold judges.
        before: scored pairs that are kept now.
        gained: pairs that it would newly keep.
        lost: pairs that it would newly drop.
        images: images with a scored pair.
        images_kept: of them, those with a pair from the threshold on.
        sources: by source, scored pairs and those kept.
    """

    scored: int
    kept: int
    unscored: int
    before: int
    gained: int
    lost: int
    images: int
    images_kept: int
    sources: dict[str, tuple[int, int]]


def effect(pairs: Pairs, query: Query, threshold: Threshold) -> Effect:
    """Count what a threshold does to the pairs of a query, whatever its ``shifted`` says.

    Raises:
        StoreError: no such score or selection, or a query that cannot be answered.
    """
    members = pairs.members(query)
    scored = members & pairs.index.numbers(threshold.column).known
    kept = scored & pairs.kept_at(threshold.column, threshold.value)
    before = scored & pairs.kept_by(threshold.against, threshold.column)
    return Effect(
        scored=_count(scored),
        kept=_count(kept),
        unscored=_count(members) - _count(scored),
        before=_count(before),
        gained=_count(kept & ~before),
        lost=_count(before & ~kept),
        images=_images(pairs, scored),
        images_kept=_images(pairs, kept),
        sources={
            name: (_count(scored & mine), _count(kept & mine))
            for name, mine in _by_source(pairs).items()
        },
    )


@dataclass(frozen=True, slots=True)
class Scores:
    """A histogram of a score.

    Attributes:
        edges: of the bins, one more than there are.
        counts: by source.
    """

    edges: Floats
    counts: dict[str, Places]


def histogram(pairs: Pairs, query: Query, column: str) -> Scores:
    """Count the scores of a query's pairs in bins, by source.

    Raises:
        StoreError: no such score, or a query that cannot be answered.
    """
    numbers = pairs.index.numbers(column)
    values = numbers.values.astype(np.float64)
    known = values[numbers.known]
    low, high = (0.0, 1.0)
    if not column.endswith("_itm") and len(known):
        low, high = float(known.min()), float(known.max())
        high = high if high > low else low + 1.0
    wanted = pairs.members(query) & numbers.known
    bins = np.clip(((values - low) / (high - low) * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)
    counts = {
        name: np.bincount(bins[wanted & mine], minlength=NUM_BINS)
        for name, mine in _by_source(pairs).items()
    }
    return Scores(
        np.linspace(low, high, NUM_BINS + 1),
        {name: found for name, found in counts.items() if found.any()},
    )


def calibrated(
    pairs: Pairs, query: Query, column: str, measure: Measure | None, value: float
) -> Calibration | None:
    """Calibrate a score on the marked pairs of a query; None before there are marks of both kinds.

    Raises:
        StoreError: no such score, or a query that cannot be answered.
    """
    codes = pairs.coded(MARK)
    assert codes is not None
    numbers = pairs.index.numbers(column)
    scored = pairs.members(query) & numbers.known
    values = numbers.values.astype(np.float64)
    right, wrong = (values[scored & (codes.codes == code)] for code in (1, 0))
    if not len(right) or not len(wrong):
        return None
    return from_labels(right, wrong, measure, value)


def _count(mask: Bools) -> int:
    return int(np.count_nonzero(mask))


def _images(pairs: Pairs, mask: Bools) -> int:
    starts = pairs.index.image_starts
    return _count(np.logical_or.reduceat(mask, starts)) if len(starts) else 0


def _by_source(pairs: Pairs) -> dict[str, Bools]:
    column = pairs.coded("source")
    if column is None:
        raise StoreError("the column 'source' has too many values: it names where a text came from")
    found = {name: column.codes == code for code, name in enumerate(column.labels)}
    missing = column.codes == -1
    return {**found, UNKNOWN: missing} if missing.any() else found
