"""ROC AUC: the probability that a positive outscores a negative; ties count one half.

Exact, by ranks (Mann-Whitney U).

Shapes: P positives, N negatives, I images, R resamplings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from curate.evaluate.intervals import Floats


def roc_auc(positive_scores: NDArray[np.floating], negative_scores: NDArray[np.floating]) -> float:
    """Return the probability that a positive outscores a negative; ties count one half.

    Raises:
        ValueError: a side is empty, or a score is not a number.

    Example:
        >>> roc_auc(np.array([0.9, 0.4]), np.array([0.4, 0.1]))
        0.875
    """
    everything = np.zeros(max(len(positive_scores), len(negative_scores)), np.int64)
    auc = roc_auc_of_sets(
        *(positive_scores, everything[: len(positive_scores)]),
        *(negative_scores, everything[: len(negative_scores)]),
    )
    return float(auc(np.ones((1, 1)))[0])


def roc_auc_of_sets(
    positive_scores: NDArray[np.floating],
    positive_owners: NDArray[np.int64],
    negative_scores: NDArray[np.floating],
    negative_owners: NDArray[np.int64],
) -> Callable[[Floats], Floats]:
    """Return what computes the AUC of many sets of images, sorting once.

    Args:
        positive_scores: [P].
        positive_owners: [P], the image that each is drawn with.
        negative_scores: [N].
        negative_owners: [N], the image that each is drawn with.

    Returns:
        From how often each image is in a set [R, I] to the AUC [R]; NaN for a set that has no
        positive or no negative.

    Raises:
        ValueError: a side is empty, or a score is not a number.
    """
    positive = np.asarray(positive_scores, dtype=np.float64)
    negative = np.asarray(negative_scores, dtype=np.float64)
    if not len(positive) or not len(negative):
        raise ValueError(
            f"{len(positive)} positive and {len(negative)} negative scores: AUC needs both"
        )
    if np.isnan(positive).any() or np.isnan(negative).any():
        raise ValueError("a score is not a number")
    order = np.argsort(negative, kind="stable")
    below = np.searchsorted(negative[order], positive, side="left")
    below_or_equal = np.searchsorted(negative[order], positive, side="right")
    owners = negative_owners[order]

    def auc(weights_RI: Floats) -> Floats:
        heavy_RP = weights_RI[:, positive_owners]
        lighter_RN = np.zeros((len(weights_RI), len(negative) + 1))
        np.cumsum(weights_RI[:, owners], axis=1, out=lighter_RN[:, 1:])
        beaten_RP = lighter_RN[:, below] + lighter_RN[:, below_or_equal]
        pairs_R = heavy_RP.sum(1) * lighter_RN[:, -1]
        wins_R = np.einsum("rp,rp->r", heavy_RP, beaten_RP)
        none_R = np.full(len(weights_RI), np.nan)
        return np.asarray(np.divide(wins_R, 2 * pairs_R, out=none_R, where=pairs_R > 0))

    return auc
