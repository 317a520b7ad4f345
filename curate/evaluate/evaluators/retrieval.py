"""Retrieval: is the right text among the nearest of an image, and the right image of a text.

Not to be compared across pools of different size: recall@k falls as the pool grows, so the sizes
are part of the result. Source of the protocol: Karpathy & Fei-Fei 2015
(https://arxiv.org/abs/1412.2306): an image counts as a hit when any of its texts is among the
first k.

Shapes: I images, T texts, P projection, R resamplings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from curate.evaluate.evaluators._base import EvaluatorConfig, Finding, Subject
from curate.evaluate.intervals import Floats, weighted_mean

KS = (1, 5, 10)


class Config(EvaluatorConfig):
    """Recall in both directions, by cosine."""

    kind: Literal["retrieval"] = "retrieval"

    def evaluate(self, subject: Subject) -> RetrievalResult:
        """Rank every text for every image, and the other way round."""
        pool = subject.pool
        found = retrieval(pool.image_embeds, pool.text_embeds, pool.owners)
        return replace(found, intervals=subject.intervals(found.of_sets, found.num_images))


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


@dataclass(frozen=True, kw_only=True)
class RetrievalResult(Finding):
    """Recall in both directions.

    Attributes:
        i2t: by k, share of images with one of their texts among the k nearest texts.
        t2i: by k, share of texts with their image among the k nearest images.
        num_images: pool size of t2i.
        num_texts: pool size of i2t.
        ranks: what the recall is counted from, for intervals and comparisons.
    """

    details: ClassVar[tuple[str, ...]] = ("ranks",)

    i2t: dict[int, float]
    t2i: dict[int, float]
    num_images: int
    num_texts: int
    ranks: Ranks

    def of_sets(self, weights_RI: Floats) -> dict[str, Floats]:
        """Return ``i2t@k`` and ``t2i@k`` of sets drawn from the images.

        What is ranked stays the whole pool: a picture that is not drawn is not asked for, but is
        there to be confused with.
        """
        every = np.arange(self.num_images)
        hits = {f"i2t@{k}": (self.ranks.of_images < k, every) for k in self.i2t}
        hits |= {f"t2i@{k}": (self.ranks.of_texts < k, self.ranks.owners) for k in self.t2i}
        return {
            name: weighted_mean(hit.astype(np.float64), owners, weights_RI)
            for name, (hit, owners) in hits.items()
        }

    def lines(self) -> list[str]:
        """Return a line for each direction."""
        return [
            f"{way} recall  "
            + "  ".join(
                f"@{k} {value:6.1%}{self.between(f'{way}@{k}', '.1%')}"
                for k, value in recall.items()
            )
            + f"   among {pool:,}"
            for way, recall, pool in (
                ("i2t", self.i2t, self.num_texts),
                ("t2i", self.t2i, self.num_images),
            )
        ]


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
