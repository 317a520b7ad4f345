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

Shapes: K thresholds, R resamplings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Measure = Literal["precision", "recall"]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

RESAMPLINGS = 1000
#: Thresholds looked at: every score where there are few, quantiles where there are more.
_FINENESS = 500
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
        let_through: share of the wrong texts (canaries, or pairs labelled wrong) that are kept.
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
        best: the greatest precision or recall (whichever was asked for) that any threshold has.
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


@dataclass(frozen=True, slots=True)
class _Curves:
    """Shares by threshold, [K] or [R, K], and the noise, [] or [R]."""

    let_through: Floats
    accepted: Floats
    precision: Floats
    recall: Floats
    noise: Floats


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
    cuts = _cuts(texts, canaries)
    of_texts, of_canaries = _binned(texts, cuts), _binned(canaries, cuts)
    middle = min(int(np.searchsorted(_below(of_canaries), 0.5)), len(cuts) - 1)
    return _calibration(
        "canaries",
        cuts,
        _canary_curves(of_texts, of_canaries, middle),
        _canary_curves(_resampled(of_texts, 0), _resampled(of_canaries, 1), middle),
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
    cuts = _cuts(right, wrong)
    counts = np.concatenate([_binned(scores, cuts) for scores in (right, wrong)])
    draws = _resampled(counts, 0)
    half = len(cuts) + 1
    return _calibration(
        "labels",
        cuts,
        _label_curves(counts[:half], counts[half:]),
        _label_curves(draws[:, :half], draws[:, half:]),
        (measure, value),
        (len(right) + len(wrong), len(wrong)),
    )


# --- curves


def _canary_curves(texts: Counts, canaries: Counts, middle: int) -> _Curves:
    accepted, let_through = _from(texts), _from(canaries)
    noise = _ratio(_below(texts)[..., middle], _below(canaries)[..., middle])
    noise = np.minimum(np.nan_to_num(noise, nan=1.0), 1.0)  # nothing to tell them apart by
    wrong = noise[..., None] * let_through
    right = np.maximum(accepted - wrong, 0.0)
    return _Curves(
        let_through,
        accepted,
        precision=_ratio(right, accepted),
        recall=np.minimum(_ratio(right, (1 - noise)[..., None] * np.ones_like(right)), 1.0),
        noise=noise,
    )


def _label_curves(right: Counts, wrong: Counts) -> _Curves:
    total = (right + wrong).sum(-1, keepdims=True)
    kept = _from(right) * right.sum(-1, keepdims=True)
    accepted = _from(right + wrong)
    return _Curves(
        _from(wrong),
        accepted,
        precision=_ratio(kept, accepted * total),
        recall=_from(right),
        noise=wrong.sum(-1) / total[..., 0],
    )


def _cuts(*scores: Floats) -> Floats:
    """Return thresholds [K], ascending: scores that occur, the lowest of them first."""
    cuts = []
    for some in scores:
        values = np.unique(some)
        if len(values) > _FINENESS:
            shares = np.linspace(0, 1, _FINENESS)
            values = np.quantile(some, shares, method="higher")
        cuts.append(values)
    return np.unique(np.concatenate(cuts))


def _binned(scores: Floats, cuts: Floats) -> Counts:
    """Count scores below the first threshold, between one and the next, and from the last on."""
    return np.bincount(np.searchsorted(cuts, scores, side="right"), minlength=len(cuts) + 1)


def _from(counts: Counts) -> Floats:
    """Return the share from each threshold on, [..., K]."""
    return 1.0 - _below(counts)


def _below(counts: Counts) -> Floats:
    """Return the share below each threshold, [..., K]."""
    total = np.maximum(counts.sum(-1, keepdims=True), 1)
    shares: Floats = counts.cumsum(-1)[..., :-1] / total
    return shares


def _ratio(part: Floats, whole: Floats) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return share


def _resampled(counts: Counts, seed: int) -> Counts:
    """Draw as many again with replacement, [R, K + 1]: the bootstrap of binned scores."""
    total = int(counts.sum())
    return np.random.default_rng(seed).multinomial(total, counts / total, RESAMPLINGS)


# --- the threshold


def _calibration(
    evidence: Literal["canaries", "labels"],
    cuts: Floats,
    curves: _Curves,
    draws: _Curves,
    wanted: tuple[Measure | None, float],
    sizes: tuple[int, int],
) -> Calibration:
    rows = sorted({int(np.argmax(curves.let_through <= share)) for share in _LET_THROUGH})
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
    best = float(np.nanmax(getattr(curves, measure)))
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


def _point(cuts: Floats, k: int, curves: _Curves, draws: _Curves) -> Point:
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
