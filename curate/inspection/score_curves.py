"""Shares of scores from each threshold on, and what they say of precision and recall.

Scores are counted between thresholds once, and everything is worked out from the counts: a thousand
resamplings of two million scores cost no more than those of two hundred.

Shapes: K thresholds, R resamplings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

RESAMPLINGS = 1000
#: Thresholds looked at: every score where there are few, quantiles where there are more.
_FINENESS = 500


@dataclass(frozen=True, slots=True)
class Curves:
    """Shares by threshold, [K] or [R, K], and the noise, [] or [R]."""

    let_through: Floats
    accepted: Floats
    precision: Floats
    recall: Floats
    noise: Floats


def canary_curves(texts: Counts, canaries: Counts, middle: int) -> Curves:
    """Estimate from canaries; see ``calibration``.

    Args:
        texts: counts between thresholds, [K + 1] or [R, K + 1].
        canaries: counts of the planted mismatches, of the same shape.
        middle: the threshold at the canaries' median, where the noise is read off.
    """
    accepted, let_through = _shares_from(texts), _shares_from(canaries)
    noise = _ratio(shares_below(texts)[..., middle], shares_below(canaries)[..., middle])
    noise = np.minimum(np.nan_to_num(noise, nan=1.0), 1.0)  # nothing to tell them apart by
    wrong = noise[..., None] * let_through
    right = np.maximum(accepted - wrong, 0.0)
    return Curves(
        let_through,
        accepted,
        precision=_ratio(right, accepted),
        recall=np.minimum(_ratio(right, (1 - noise)[..., None] * np.ones_like(right)), 1.0),
        noise=noise,
    )


def label_curves(right: Counts, wrong: Counts) -> Curves:
    """Count on labelled pairs, [K + 1] or [R, K + 1] of each kind."""
    total = (right + wrong).sum(-1, keepdims=True)
    kept = _shares_from(right) * right.sum(-1, keepdims=True)
    accepted = _shares_from(right + wrong)
    return Curves(
        _shares_from(wrong),
        accepted,
        precision=_ratio(kept, accepted * total),
        recall=_shares_from(right),
        noise=wrong.sum(-1) / total[..., 0],
    )


def thresholds(*scores: Floats) -> Floats:
    """Return thresholds [K], ascending: scores that occur, the lowest of them first."""
    cuts = []
    for some in scores:
        values = np.unique(some)
        if len(values) > _FINENESS:
            shares = np.linspace(0, 1, _FINENESS)
            values = np.quantile(some, shares, method="higher")
        cuts.append(values)
    return np.unique(np.concatenate(cuts))


def binned(scores: Floats, cuts: Floats) -> Counts:
    """Count scores below the first threshold, between one and the next, and from the last on."""
    return np.bincount(np.searchsorted(cuts, scores, side="right"), minlength=len(cuts) + 1)


def one_more(counts: Counts) -> Counts:
    """Count one score more than there is, above all thresholds."""
    more = counts.copy()
    more[-1] += 1
    return more


def _shares_from(counts: Counts) -> Floats:
    """Return the share from each threshold on, [..., K]."""
    return 1.0 - shares_below(counts)


def shares_below(counts: Counts) -> Floats:
    """Return the share below each threshold, [..., K]."""
    total = np.maximum(counts.sum(-1, keepdims=True), 1)
    shares: Floats = counts.cumsum(-1)[..., :-1] / total
    return shares


def _ratio(part: Floats, whole: Floats) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return share


def resampled(counts: Counts, seed: int) -> Counts:
    """Draw as many again with replacement, [R, K + 1]: the bootstrap of binned scores."""
    total = int(counts.sum())
    return np.random.default_rng(seed).multinomial(total, counts / total, RESAMPLINGS)
