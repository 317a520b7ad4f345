"""How sure a recall, or a difference of two, is: the bootstrap over pictures and seeds.

Two things were left to chance: which pictures are in the test set, and the seed of the training.
Both are drawn anew, with replacement, the pictures the same for every model: texts of a picture
stay together, and models are compared on the same pictures and seeds. With few seeds the interval
rests mostly on the pictures; it says nothing of another dataset.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 and 13.

Shapes: S seeds, N items (texts, or images), I images, R resamplings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLINGS = 2000
Hits = NDArray[np.bool_]


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


def mean_interval(hits_SN: Hits, owners_N: NDArray[np.int64], *, seed: int = 0) -> Interval:
    """Return the share of hits.

    Args:
        hits_SN: whether each item was found, by the model of each seed.
        owners_N: the image of each item.
        seed: of the resampling.
    """
    return _interval(hits_SN.astype(np.float64), owners_N, seed)


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
    return _interval(better_SN.astype(np.float64) - worse_SN, owners_N, seed)


def _interval(values_SN: NDArray[np.float64], owners_N: NDArray[np.int64], seed: int) -> Interval:
    num_seeds = len(values_SN)
    images, places_N = np.unique(owners_N, return_inverse=True)
    sums_SI = np.stack([np.bincount(places_N, row, len(images)) for row in values_SN])
    counts_I = np.bincount(places_N, minlength=len(images)).astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLINGS)
    for turn in range(RESAMPLINGS):
        drawn_I = rng.multinomial(len(images), np.full(len(images), 1 / len(images)))
        seeds_S = rng.integers(0, num_seeds, num_seeds)
        means[turn] = (sums_SI[seeds_S] @ drawn_I).mean() / (counts_I @ drawn_I)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values_SN.mean()), float(low), float(high))
