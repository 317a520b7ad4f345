"""What each of some thresholds of a score would keep, counted on the stored scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from curate.core.columns import HUMAN, SYNTHETIC, WEB
from curate.core.errors import StoreError
from curate.core.table import CommittedTable
from curate.inspection.score_samples import (
    Floats,
    planted_scores,
    score_column,
    text_scores,
)

_STEPS = 11


def threshold_table(
    table: CommittedTable, score: str | None = None, at: Sequence[float] | None = None
) -> pa.Table:
    """Count what thresholds keep.

    Args:
        table: a run's.
        score: a score column or a scorer's name; None for the only ITM or the only score.
        at: thresholds; eleven quantiles of the scores where none are given.

    Returns:
        A row a threshold, ascending: ``threshold``, and the share of the texts with this score
        that reach it: of each source that has texts (``web``, ``synthetic``, ``human``), and of
        the planted mismatches (``canaries``; null where there are none). Of more than two million
        texts of a source every n-th partition is counted.

    Raises:
        StoreError: no such score, or no text has it.
    """
    column = score_column(table, score)
    found = {
        source: text_scores(table, column, source).scores for source in (WEB, SYNTHETIC, HUMAN)
    }
    found = {source: np.sort(scores) for source, scores in found.items() if len(scores)}
    if not found:
        raise StoreError(f"no text of {table.store.root} has a score of {column}")
    if at is None:
        every = np.concatenate(list(found.values()))
        cuts = np.unique(np.quantile(every, np.linspace(0, 1, _STEPS), method="higher"))
    else:
        cuts = np.unique(np.asarray(at, np.float64))
    planted = np.sort(planted_scores(table, column))
    shares = {source: _reaching(scores, cuts) for source, scores in found.items()}
    shares["canaries"] = (
        _reaching(planted, cuts) if len(planted) else pa.nulls(len(cuts), pa.float64())
    )
    return pa.table({"threshold": pa.array(cuts), **shares})


def _reaching(scores: Floats, cuts: Floats) -> pa.Array:
    """Return the share of ascending scores from each threshold on, [K]."""
    return pa.array(1 - np.searchsorted(scores, cuts) / len(scores))
