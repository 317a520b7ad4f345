"""Matching: do ITC and ITM tell an image's own text from a wrong one.

Wrong ones are of two kinds. Shuffled texts are mostly about something else entirely, which is what
the web's worst pairs are like; near misses are wrong by one word (``near_misses.py``). Neither
figure stands for the other, and neither for mismatches that mislead in other ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.evaluate.near_misses import near_miss
from curate.evaluate.pool import Pool, embed_texts, text_batches

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel


@dataclass(frozen=True)
class MatchingResult:
    """How well matched texts are told from shuffled ones, and from near misses.

    Attributes:
        itc_auc: ROC AUC of the cosine; 0.5 is chance.
        itm_auc: ROC AUC of the ITM probability.
        itm_recall: share of matched texts with an ITM probability of at least 0.5.
        itm_false: share of shuffled texts with an ITM probability of at least 0.5.
        num_images: matched pairs, and as many shuffled ones.
        near_itc_auc: ROC AUC of the cosine against near misses; None where no text has one.
        near_itm_auc: the same of the ITM probability.
        num_near_misses: texts that have one; they alone are the matched side of these two.
        seed: of the shuffle and of the swapped words.
    """

    itc_auc: float
    itm_auc: float
    itm_recall: float
    itm_false: float
    num_images: int
    near_itc_auc: float | None
    near_itm_auc: float | None
    num_near_misses: int
    seed: int


def roc_auc(positive_scores: NDArray[np.floating], negative_scores: NDArray[np.floating]) -> float:
    """Return the probability that a positive outscores a negative; ties count one half.

    Exact, by ranks (Mann-Whitney U).

    Raises:
        ValueError: a side is empty, or a score is not a number.

    Example:
        >>> roc_auc(np.array([0.9, 0.4]), np.array([0.4, 0.1]))
        0.875
    """
    positive = np.asarray(positive_scores, dtype=np.float64)
    negative = np.asarray(negative_scores, dtype=np.float64)
    if not len(positive) or not len(negative):
        raise ValueError(
            f"{len(positive)} positive and {len(negative)} negative scores: AUC needs both"
        )
    if np.isnan(positive).any() or np.isnan(negative).any():
        raise ValueError("a score is not a number")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    below_or_equal = np.searchsorted(ordered, positive, side="right")
    return float((below + below_or_equal).sum() / (2 * len(positive) * len(negative)))


def matching(
    model: PairModel,
    tokenizer: PreTrainedTokenizerFast,
    pool: Pool,
    *,
    seed: int = 0,
    batch_size: int = 64,
) -> MatchingResult:
    """Score one text of every image against the image, against another, and with a word swapped.

    Args:
        model: in evaluation mode.
        tokenizer: the model's.
        pool: what is evaluated.
        seed: of the choice of texts, of the shuffle and of the swapped words.
        batch_size: texts at once.
    """
    chosen, foreign = shuffled_pairs(pool.owners, seed=seed)
    own = np.arange(pool.num_images)
    cosines = np.einsum("tp,ip->ti", pool.text_embeds[chosen], pool.image_embeds)
    texts = [pool.texts[index] for index in chosen]
    matched = itm_probabilities(model, tokenizer, pool, texts, own, batch_size=batch_size)
    mismatched = itm_probabilities(model, tokenizer, pool, texts, foreign, batch_size=batch_size)
    near, missed = near_missed(texts, seed=seed)
    near_itc = near_itm = None
    if missed:
        found = itm_probabilities(model, tokenizer, pool, missed, near, batch_size=batch_size)
        near_itm = roc_auc(matched[near], found)
        embeds = embed_texts(model, tokenizer, missed, batch_size=batch_size)
        near_cosines = np.einsum("tp,tp->t", embeds, pool.image_embeds[near])
        near_itc = roc_auc(cosines[near, near], near_cosines)
    return MatchingResult(
        itc_auc=roc_auc(cosines[own, own], cosines[own, foreign]),
        itm_auc=roc_auc(matched, mismatched),
        itm_recall=float((matched >= 0.5).mean()),
        itm_false=float((mismatched >= 0.5).mean()),
        num_images=pool.num_images,
        near_itc_auc=near_itc,
        near_itm_auc=near_itm,
        num_near_misses=len(missed),
        seed=seed,
    )


def shuffled_pairs(
    owners: NDArray[np.int64], *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose a text of every image, and for each text an image that is not its own.

    Returns:
        For image number i: index of its chosen text; number of the foreign image.
    """
    random = np.random.default_rng(seed)
    num_images = int(owners.max()) + 1
    order = random.permutation(len(owners))
    chosen = np.empty(num_images, dtype=np.int64)
    chosen[owners[order]] = order
    circle = random.permutation(num_images)
    foreign = np.empty(num_images, dtype=np.int64)
    foreign[circle] = np.roll(circle, 1)
    return chosen, foreign


def near_missed(texts: list[str], *, seed: int) -> tuple[NDArray[np.int64], list[str]]:
    """Return the numbers of the texts that have a near miss, and those near misses."""
    random = Random(seed)
    missed = [near_miss(text, random) for text in texts]
    have = [number for number, text in enumerate(missed) if text is not None]
    return np.asarray(have, dtype=np.int64), [text for text in missed if text is not None]


def itm_probabilities(
    model: PairModel,
    tokenizer: PreTrainedTokenizerFast,
    pool: Pool,
    texts: list[str],
    images: NDArray[np.int64],
    *,
    batch_size: int,
) -> NDArray[np.float32]:
    """Return the ITM probability of each text with the image of the given number."""
    import torch

    found = []
    with torch.inference_mode():
        start = 0
        for ids, mask in text_batches(model, tokenizer, texts, batch_size=batch_size):
            rows = torch.from_numpy(images[start : start + len(ids)])
            logits = model.fuse(ids, mask, pool.image_tokens[rows.to(pool.image_tokens.device)])
            found.append(logits.float().softmax(-1)[:, 1].cpu().numpy())
            start += len(ids)
    return np.concatenate(found)
