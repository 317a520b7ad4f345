"""Which threshold of a score gives a wanted precision or recall, and how sure that is.

From labelled pairs both are counted. From canaries alone, precision cannot be known: planted
mismatches show how wrong texts score, and nothing shows how right ones do. What can be said rests
on one assumption, that the wrong texts of the web score like canaries. Then

- precision is at least 1 - L/A, where L is the share of canaries let through and A the share of
  texts accepted: were every text wrong, L of them would be accepted (Benjamini and Hochberg 1995);
- the share of wrong texts is at most (texts below t) / (canaries below t), whatever t is. Taken at
  the canaries' median this is Storey's estimate (2002, "A direct approach to false discovery
  rates", https://doi.org/10.1111/1467-9868.00346), and with it precision is 1 - noise x L/A and
  recall (A - noise x L) / (1 - noise).

Right texts that score below the canaries' median are taken for wrong ones, so noise is estimated
too high rather than too low. Canaries are random texts: where the wrong texts of the web are near
misses, more of them pass than the estimate says. Both are reasons to label a few hundred pairs.

That no canary of 50 passed is no proof that none of 1,000 would. So one canary more is counted than
there is, and it passes every threshold (as for p-values from permutations: Phipson and Smyth 2010,
https://doi.org/10.2202/1544-6115.1585). For labelled pairs, the intervals do the same.

Shapes: K thresholds, R resamplings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curate.inspection.score_curves import (
    Curves,
    Floats,
    binned,
    canary_curves,
    label_curves,
    one_more,
    resampled,
    shares_below,
    thresholds,
)

Measure = Literal["precision", "recall"]
#: Rows of the table: where so many of the wrong texts are let through.
_LET_THROUGH = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% interval from resampling; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Point:
    """What a threshold does.

    Attributes:
        threshold: texts are kept from this score on.
        let_through: share of the wrong texts (canaries and one more, or pairs labelled wrong)
            that are kept.
        accepted: share of all texts that are kept.
        precision: share of the kept texts that are right.
        recall: share of the right texts that are kept.
    """

    threshold: float
    let_through: Estimate
    accepted: Estimate
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the thresholds of one score do.

    Attributes:
        evidence: where the numbers come from.
        num_texts: texts (or labelled pairs) they are counted on.
        num_wrong: canaries (or pairs labelled wrong).
        noise: share of wrong texts: estimated from canaries, or as labelled.
        points: thresholds over the range, the loosest first.
        chosen: the threshold that was asked for; None where none was, or none reaches it.
        threshold: the interval of the chosen threshold; None like ``chosen``.
        reached: share of the resamplings in which any threshold reached what was asked for.
        best: the greatest precision or recall (whichever was asked for) that any threshold has;
            NaN where none can be told (the recall of texts that all score like canaries).
    """

    evidence: Literal["canaries", "labels"]
    num_texts: int
    num_wrong: int
    noise: Estimate
    points: tuple[Point, ...]
    chosen: Point | None = None
    threshold: Estimate | None = None
    reached: float = float("nan")
    best: float = float("nan")


def from_canaries(
    texts: Floats, canaries: Floats, measure: Measure | None = None, value: float = 0.9
) -> Calibration:
    """Calibrate on the scores of planted mismatches.

    Args:
        texts: scores of the texts to judge, higher is better.
        canaries: scores of the planted mismatches.
        measure: what is wanted; None for a table alone.
        value: how much of it, in (0, 1].

    Raises:
        ValueError: there are no texts or no canaries.
    """
    if not len(texts) or not len(canaries):
        raise ValueError("a calibration on canaries needs texts and canaries")
    cuts = thresholds(texts, canaries)
    of_texts, of_canaries = binned(texts, cuts), one_more(binned(canaries, cuts))
    middle = min(int(np.searchsorted(shares_below(of_canaries), 0.5)), len(cuts) - 1)
    return _calibration(
        "canaries",
        cuts,
        canary_curves(of_texts, of_canaries, middle),
        canary_curves(resampled(of_texts, 0), resampled(of_canaries, 1), middle),
        (measure, value),
        (len(texts), len(canaries)),
    )


def from_labels(
    right: Floats, wrong: Floats, measure: Measure | None = None, value: float = 0.9
) -> Calibration:
    """Calibrate on pairs that somebody has judged.

    Precision depends on how many of the pairs are wrong: they should be drawn like the texts that
    the threshold is for.

    Args:
        right: scores of pairs that belong together.
        wrong: scores of pairs that do not.
        measure: what is wanted; None for a table alone.
        value: how much of it, in (0, 1].

    Raises:
        ValueError: one of the two is empty.
    """
    if not len(right) or not len(wrong):
        raise ValueError("a calibration on labels needs right and wrong pairs")
    cuts = thresholds(right, wrong)
    of_right, of_wrong = binned(right, cuts), binned(wrong, cuts)
    draws = resampled(np.concatenate([of_right, one_more(of_wrong)]), 0)
    half = len(cuts) + 1
    return _calibration(
        "labels",
        cuts,
        label_curves(of_right, of_wrong),
        label_curves(draws[:, :half], draws[:, half:]),
        (measure, value),
        (len(right) + len(wrong), len(wrong)),
    )


# --- the threshold


def _calibration(
    evidence: Literal["canaries", "labels"],
    cuts: Floats,
    curves: Curves,
    draws: Curves,
    wanted: tuple[Measure | None, float],
    sizes: tuple[int, int],
) -> Calibration:
    reached_by = [np.flatnonzero(curves.let_through <= share) for share in _LET_THROUGH]
    rows = sorted({int(reaching[0]) for reaching in reached_by if len(reaching)})
    found = {
        "evidence": evidence,
        "num_texts": sizes[0],
        "num_wrong": sizes[1],
        "noise": _estimate(curves.noise, draws.noise),
        "points": tuple(_point(cuts, k, curves, draws) for k in rows),
    }
    measure, value = wanted
    if measure is None:
        return Calibration(**found)  # type: ignore[arg-type]
    index = _first_reaching(getattr(curves, measure)[None], measure, value)[0]
    many = _first_reaching(getattr(draws, measure), measure, value)
    reached = many >= 0
    known = getattr(curves, measure)[~np.isnan(getattr(curves, measure))]
    best = float(known.max()) if len(known) else float("nan")
    chosen = None if index < 0 else _point(cuts, int(index), curves, draws)
    threshold = None
    if chosen is not None and reached.any():
        low, high = np.quantile(cuts[many[reached]], [0.025, 0.975])
        threshold = Estimate(chosen.threshold, float(low), float(high))
    return Calibration(
        **found,  # type: ignore[arg-type]
        chosen=chosen,
        threshold=threshold,
        reached=float(reached.mean()),
        best=best,
    )


def _first_reaching(shares: Floats, measure: Measure, value: float) -> NDArray[np.int64]:
    """Return the loosest threshold of a precision, or the strictest of a recall.

    Args:
        shares: precision or recall, [R, K].
        measure: which of them.
        value: the least that is wanted.

    Returns:
        Index [R]; -1 where no threshold reaches it.
    """
    good = np.nan_to_num(shares, nan=-1.0) >= value - 1e-12
    if measure == "precision":
        index = good.argmax(-1)
    else:
        index = good.shape[-1] - 1 - good[:, ::-1].argmax(-1)
    return np.where(good.any(-1), index, -1)


def _point(cuts: Floats, k: int, curves: Curves, draws: Curves) -> Point:
    names = ("let_through", "accepted", "precision", "recall")
    shares = {n: _estimate(getattr(curves, n)[k], getattr(draws, n)[:, k]) for n in names}
    return Point(short_threshold(cuts, k), **shares)


def _estimate(value: Floats, draws: Floats) -> Estimate:
    known = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(known):
        return Estimate(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))


def short_threshold(cuts: Floats, k: int) -> float:
    """Return the shortest decimal that parts the scores as threshold number ``k`` does.

    A score in 32 bits is a long decimal, and one digit too few on the wrong side loses the very
    text it was read from. So it is rounded downwards, but not to the next lower threshold.

    Example:
        >>> short_threshold(np.array([0.71, 0.7312345123]), 1)
        0.73
    """
    least = cuts[k - 1] if k else -np.inf
    for digits in range(1, 17):
        short = np.floor(cuts[k] * 10**digits) / 10**digits
        if least < short <= cuts[k]:
            return float(round(short, digits))
    return float(cuts[k])
