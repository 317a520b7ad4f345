"""Retrieval: is the right text among the nearest of an image, and the right image of a text.

Not to be compared across pools of different size: recall@k falls as the pool grows, so the sizes
are part of the result. Source of the protocol: Karpathy & Fei-Fei 2015
(https://arxiv.org/abs/1412.2306): an image counts as a hit when any of its texts is among the
first k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KS = (1, 5, 10)


@dataclass(frozen=True)
class RetrievalResult:
    """Recall in both directions.

    Attributes:
        i2t: by k, share of images with one of their texts among the k nearest texts.
        t2i: by k, share of texts with their image among the k nearest images.
        num_images: pool size of t2i.
        num_texts: pool size of i2t.
        ranks: what the recall is counted from, for intervals and comparisons.
    """

    i2t: dict[int, float]
    t2i: dict[int, float]
    num_images: int
    num_texts: int
    ranks: Ranks


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks from 0: how many wrong ones come before the right one.

    Attributes:
        of_images: [I], of each image's best own text among all texts.
        of_texts: [T], of each text's image among all images.
        owners: [T], the image each text belongs to.
    """

    of_images: NDArray[np.int64]
    of_texts: NDArray[np.int64]
    owners: NDArray[np.int64]


def retrieval(
    image_embeds: NDArray[np.float32],
    text_embeds: NDArray[np.float32],
    owners: NDArray[np.int64],
    *,
    ks: tuple[int, ...] = KS,
) -> RetrievalResult:
    """Rank by cosine.

    A tie counts against the model: one that gives every pair the same score finds nothing.

    Args:
        image_embeds: [I, P], of unit norm.
        text_embeds: [T, P], of unit norm.
        owners: [T], the image each text belongs to; every image has a text.
        ks: ranks to report.
    """
    similarity = image_embeds @ text_embeds.T
    own = owners[None, :] == np.arange(len(image_embeds))[:, None]
    best_own = np.where(own, similarity, -np.inf).max(1)
    ahead_of_image = ((similarity >= best_own[:, None]) & ~own).sum(1)
    of_text = similarity[owners, np.arange(len(owners))]
    ahead_of_text = (similarity >= of_text[None, :]).sum(0) - 1
    return RetrievalResult(
        i2t={k: float((ahead_of_image < k).mean()) for k in ks},
        t2i={k: float((ahead_of_text < k).mean()) for k in ks},
        num_images=len(image_embeds),
        num_texts=len(text_embeds),
        ranks=Ranks(ahead_of_image, ahead_of_text, owners),
    )
