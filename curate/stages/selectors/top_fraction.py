"""Keep the best-scored fraction of all texts: an exact quantile, found in constant memory.

DataComp (arXiv 2304.14108, section 5) filters this way: the best 30% by a score. The cut is found
by radix selection: float32 numbers are mapped to integers of the same order, the first pass over
the set counts their upper 16 bits, the second the lower 16 bits within the bucket of the cut. That
is two passes and two tables of 65,536 counters for any number of texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.core.config import SelectorConfig
from curate.core.stage import Selector
from curate.stages.selecting import NOT_SCORED, reasons, scores

BELOW = "below_top_fraction"
_BUCKETS = 1 << 16


class Config(SelectorConfig):
    """Keep the best-scored fraction of all scored texts; ties at the cut are all kept.

    Attributes:
        column: the score column, higher is better.
        fraction: share of the scored texts to keep, in (0, 1]; rounded up to whole texts. Texts
            without a score do not count and are rejected as ``not_scored``.
    """

    column: str = Field(min_length=1)
    fraction: float = Field(gt=0.0, le=1.0)

    @property
    def reads(self) -> tuple[str, ...]:
        """The score column."""
        return (self.column,)

    def build(self) -> TopFraction:
        """Build the selector."""
        return TopFraction(self)


class TopFraction(Selector):
    """Finds the cut over the whole set, then judges each text by it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._cut: float | None = None
        self._scored = 0

    @property
    def columns(self) -> Sequence[str]:
        """The score column."""
        return (self._config.column,)

    def prepare(self, scan: Callable[[], Iterable[pa.Table]]) -> None:
        """Find the score of the last text that is kept.

        Args:
            scan: starts a pass over the eligible texts; called twice.
        """
        upper_counts = np.zeros(_BUCKETS, dtype=np.int64)
        for keys in self._keys(scan):
            upper_counts += np.bincount(keys >> 16, minlength=_BUCKETS)
        self._scored = int(upper_counts.sum())
        if not self._scored:
            self._cut = math.inf
            return
        # The decimal that the recipe says, not its binary neighbour: 0.3 of 10 texts are 3, not 4.
        wanted = math.ceil(Fraction(repr(self._config.fraction)) * self._scored)
        bucket, left = _from_top(upper_counts, wanted)
        lower_counts = np.zeros(_BUCKETS, dtype=np.int64)
        for keys in self._keys(scan):
            inside = keys[keys >> 16 == bucket]
            lower_counts += np.bincount(inside & 0xFFFF, minlength=_BUCKETS)
        lower, _ = _from_top(lower_counts, left)
        self._cut = from_ordered(bucket << 16 | lower)

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected), ``below_top_fraction`` or ``not_scored`` per text.

        Raises:
            RuntimeError: ``prepare`` was not called.
        """
        if self._cut is None:
            raise RuntimeError("top_fraction decides after it has seen the whole set: call prepare")
        values = scores(texts, self._config.column)
        return reasons(len(values), (values < self._cut, BELOW), (np.isnan(values), NOT_SCORED))

    def summary(self) -> Mapping[str, Any]:
        """Return the column, the fraction, the number of scored texts and the cut found."""
        cut = None if self._cut is None or math.isinf(self._cut) else self._cut
        return {**self._config.model_dump(mode="json"), "scored": self._scored, "cut": cut}

    def _keys(self, scan: Callable[[], Iterable[pa.Table]]) -> Iterable[np.ndarray]:
        for texts in scan():
            values = scores(texts, self._config.column)
            yield ordered(values[~np.isnan(values)].astype(np.float32))


def ordered(values: np.ndarray) -> np.ndarray:
    """Map float32 to int64 in [0, 2^32) of the same order; -0.0 and 0.0 are the same number."""
    bits = (values + np.float32(0.0)).view(np.uint32).astype(np.int64)
    return np.where(bits >> 31, 0xFFFFFFFF - bits, bits + 0x80000000)


def from_ordered(key: int) -> float:
    """Return the float32 number that ``ordered`` maps to the key."""
    bits = key - 0x80000000 if key >= 0x80000000 else 0xFFFFFFFF - key
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])


def _from_top(counts: np.ndarray, wanted: int) -> tuple[int, int]:
    """Return the bucket that holds the ``wanted``-th entry from the top, and its rank therein."""
    from_top = np.cumsum(counts[::-1])
    steps = int(np.searchsorted(from_top, wanted))
    above = int(from_top[steps - 1]) if steps else 0
    return len(counts) - 1 - steps, wanted - above
