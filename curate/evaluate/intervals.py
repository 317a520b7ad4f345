"""How sure a figure, or a difference of two, is: the bootstrap over pictures and seeds.

Two things were left to chance: which pictures are in the test set, and the seed of the training.
Both are drawn anew, with replacement, the pictures the same for every model: texts of a picture
stay together, and models are compared on the same pictures and seeds. With few seeds the interval
rests mostly on the pictures; it says nothing of another dataset.

A drawn set is a number of times for every picture, so that every figure that can be had from
weighted sums over pictures (a share, a mean, an AUC, a corpus' BLEU) is computed for many drawn
sets at once.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 and 13.

Shapes: S seeds, N items (texts, or images), I images, R resamplings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLINGS = 2000
Hits = NDArray[np.bool_]
Floats = NDArray[np.float64]
#: A figure of so many sets of pictures: weights [R, I] -> values [R], by the figure's name.
Figures = Callable[[Floats], Mapping[str, Floats]]

#: Numbers held at once while resampling.
_AT_ONCE = 4_000_000
_QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def intervals(
    figures: Figures, num_images: int, *, resamplings: int = RESAMPLINGS, seed: int = 0
) -> dict[str, Interval]:
    """Return figures of a set of pictures with their intervals.

    Args:
        figures: computes them from how often each picture is in a set; a figure that a drawn set
            does not have (nothing of a kind was drawn) is NaN there and left out.
        num_images: pictures of the set.
        resamplings: sets drawn.
        seed: of the drawing.
    """
    found = {name: float(one[0]) for name, one in figures(np.ones((1, num_images))).items()}
    drawn: dict[str, list[Floats]] = {name: [] for name in found}
    for weights_RI, _ in _resampled(num_images, 1, resamplings, seed):
        for name, values_R in figures(weights_RI).items():
            drawn[name].append(values_R)
    return {name: _interval(found[name], np.concatenate(drawn[name])) for name in found}


def mean_interval(hits_SN: Hits, owners_N: NDArray[np.int64], *, seed: int = 0) -> Interval:
    """Return the share of hits.

    Args:
        hits_SN: whether each item was found, by the model of each seed.
        owners_N: the image of each item.
        seed: of the resampling.
    """
    return _mean(hits_SN.astype(np.float64), owners_N, seed)


def difference_interval(
    better_SN: Hits, worse_SN: Hits, owners_N: NDArray[np.int64], *, seed: int = 0
) -> Interval:
    """Return by how much one share of hits is above another, on the same items and seeds.

    Args:
        better_SN: hits of the one, by seed.
        worse_SN: hits of the other, by the same seeds.
        owners_N: the image of each item.
        seed: of the resampling.

    Raises:
        ValueError: the two were not judged on the same items with the same seeds.
    """
    if better_SN.shape != worse_SN.shape:
        raise ValueError(f"hits of shapes {better_SN.shape} and {worse_SN.shape} do not compare")
    return _mean(better_SN.astype(np.float64) - worse_SN, owners_N, seed)


def weighted_mean(values_N: Floats, owners_N: NDArray[np.int64], weights_RI: Floats) -> Floats:
    """Return the mean of items [R], each counted as often as its image was drawn.

    Args:
        values_N: what is averaged.
        owners_N: the image of each item.
        weights_RI: how often each image was drawn; NaN comes of a set without any item.
    """
    num_images = weights_RI.shape[1]
    sums_I = np.bincount(owners_N, values_N, num_images)
    counts_I = np.bincount(owners_N, minlength=num_images).astype(np.float64)
    return _ratio(weights_RI @ sums_I, weights_RI @ counts_I)


def _mean(values_SN: Floats, owners_N: NDArray[np.int64], seed: int) -> Interval:
    num_seeds = len(values_SN)
    images, places_N = np.unique(owners_N, return_inverse=True)
    sums_SI = np.stack([np.bincount(places_N, row, len(images)) for row in values_SN])
    counts_I = np.bincount(places_N, minlength=len(images)).astype(np.float64)
    means = [
        np.einsum("rs,rs->r", seeds_RS, weights_RI @ sums_SI.T)
        / num_seeds
        / (weights_RI @ counts_I)
        for weights_RI, seeds_RS in _resampled(len(images), num_seeds, RESAMPLINGS, seed)
    ]
    return _interval(float(values_SN.mean()), np.concatenate(means))


def _resampled(
    num_images: int, num_seeds: int, resamplings: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """Yield how often images [r, I] and seeds [r, S] were drawn, some resamplings at a time."""
    rng = np.random.default_rng(seed)
    each = np.full(num_images, 1 / num_images)
    block = max(1, _AT_ONCE // num_images)
    for start in range(0, resamplings, block):
        rows = min(block, resamplings - start)
        weights_RI, seeds_RS = np.empty((rows, num_images)), np.empty((rows, num_seeds))
        for row in range(rows):
            weights_RI[row] = rng.multinomial(num_images, each)
            drawn_S = rng.integers(0, num_seeds, num_seeds)
            seeds_RS[row] = np.bincount(drawn_S, minlength=num_seeds)
        yield weights_RI, seeds_RS


def _interval(value: float, drawn_R: Floats) -> Interval:
    known = drawn_R[~np.isnan(drawn_R)]
    if not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, _QUANTILES)
    return Interval(value, float(low), float(high))


def _ratio(over: Floats, under: Floats) -> Floats:
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under > 0)
