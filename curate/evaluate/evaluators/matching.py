"""Matching: do ITC and ITM tell an image's own text from a wrong one.

Wrong ones are of two kinds. Shuffled texts are mostly about something else entirely, which is what
the web's worst pairs are like; near misses are wrong by one word (``near_misses.py``). Neither
figure stands for the other, and neither for mismatches that mislead in other ways.

Shapes: I images, N near misses, R resamplings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from curate.evaluate.evaluators._base import EvaluatorConfig, Finding, Subject
from curate.evaluate.intervals import Floats, weighted_mean
from curate.evaluate.near_misses import near_miss
from curate.evaluate.pool import Pool, embed_texts, text_batches
from curate.evaluate.roc import roc_auc_of_sets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel

Scores = NDArray[np.float32]


class Config(EvaluatorConfig):
    """ROC AUC of ITC and ITM, and how often ITM says yes."""

    needs: ClassVar[frozenset[str]] = frozenset({"match"})

    kind: Literal["matching"] = "matching"

    def evaluate(self, subject: Subject) -> MatchingResult:
        """Score one text of every image as it is, with another image, and with a word swapped."""
        found = matching(
            *(subject.model, subject.tokenizer, subject.pool),
            seed=subject.seed,
            batch_size=subject.batch_size,
        )
        of_sets = figures(found.scores)
        return replace(found, intervals=subject.intervals(of_sets, found.num_images))


@dataclass(frozen=True, eq=False)
class PairScores:
    """What each pair scored, by the image that the text was written for.

    Attributes:
        itc: [I], cosine of the text with its own image.
        itm: [I], ITM probability of the text with its own image.
        foreign_itc: [I], cosine of the text with another image.
        foreign_itm: [I], ITM probability of the text with another image.
        near: [N], the images whose texts have a near miss.
        near_itc: [N], cosine of the near miss with that image.
        near_itm: [N], ITM probability of the near miss with that image.
    """

    itc: Scores
    itm: Scores
    foreign_itc: Scores
    foreign_itm: Scores
    near: NDArray[np.int64]
    near_itc: Scores
    near_itm: Scores


@dataclass(frozen=True, kw_only=True)
class MatchingResult(Finding):
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
        scores: what the figures are counted from.
    """

    details: ClassVar[tuple[str, ...]] = ("scores",)

    itc_auc: float
    itm_auc: float
    itm_recall: float
    itm_false: float
    num_images: int
    near_itc_auc: float | None
    near_itm_auc: float | None
    num_near_misses: int
    seed: int
    scores: PairScores

    def lines(self) -> list[str]:
        """Return a line for shuffled texts, and one for near misses where there are any."""
        found = [self._line("", self.itc_auc, self.itm_auc, self.num_images)]
        if self.near_itc_auc is not None and self.near_itm_auc is not None:
            near = self.near_itc_auc, self.near_itm_auc
            found.append(self._line("near_", *near, self.num_near_misses))
        return found

    def _line(self, prefix: str, itc: float, itm: float, pairs: int) -> str:
        said = "near misses AUC" if prefix else "AUC"
        return (
            f"{said} ITC {itc:.3f}{self.between(f'{prefix}itc_auc')}  "
            f"ITM {itm:.3f}{self.between(f'{prefix}itm_auc')}   {pairs:,} pairs"
        )


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
    texts = [pool.texts[index] for index in chosen]
    near, missed = near_missed(texts, seed=seed)

    def judged(texts: list[str], images: NDArray[np.int64]) -> tuple[Scores, Scores]:
        embeds = embed_texts(model, tokenizer, texts, batch_size=batch_size)
        itc = np.einsum("tp,tp->t", embeds, pool.image_embeds[images])
        return itc, itm_probabilities(model, tokenizer, pool, texts, images, batch_size=batch_size)

    nothing = np.empty(0, np.float32)
    scores = PairScores(
        *judged(texts, np.arange(pool.num_images)),
        *judged(texts, foreign),
        near,
        *(judged(missed, near) if missed else (nothing, nothing)),
    )
    found = {
        name: float(one[0]) for name, one in figures(scores)(np.ones((1, pool.num_images))).items()
    }
    return MatchingResult(
        itc_auc=found["itc_auc"],
        itm_auc=found["itm_auc"],
        itm_recall=found["itm_recall"],
        itm_false=found["itm_false"],
        num_images=pool.num_images,
        near_itc_auc=found.get("near_itc_auc"),
        near_itm_auc=found.get("near_itm_auc"),
        num_near_misses=len(missed),
        seed=seed,
        scores=scores,
    )


def figures(of: PairScores) -> Callable[[Floats], dict[str, Floats]]:
    """Return what computes the figures of sets drawn from the images, each with its pairs."""
    every = np.arange(len(of.itc))
    aucs = {
        "itc_auc": roc_auc_of_sets(of.itc, every, of.foreign_itc, every),
        "itm_auc": roc_auc_of_sets(of.itm, every, of.foreign_itm, every),
    }
    if len(of.near):
        for name, own, missed in (
            ("near_itc_auc", of.itc, of.near_itc),
            ("near_itm_auc", of.itm, of.near_itm),
        ):
            aucs[name] = roc_auc_of_sets(own[of.near], of.near, missed, of.near)
    said = {"itm_recall": of.itm >= 0.5, "itm_false": of.foreign_itm >= 0.5}

    def of_sets(weights_RI: Floats) -> dict[str, Floats]:
        shares = {
            name: weighted_mean(yes.astype(np.float64), every, weights_RI)
            for name, yes in said.items()
        }
        return {**{name: auc(weights_RI) for name, auc in aucs.items()}, **shares}

    return of_sets


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
) -> Scores:
    """Return the ITM probability of each text with the image of the given number."""
    import torch

    found = []
    with torch.inference_mode():
        start = 0
        for ids, mask in text_batches(model, tokenizer, texts, batch_size=batch_size):
            rows = torch.from_numpy(images[start : start + len(ids)])
            logits = model.fuse(ids, mask, pool.tokens[rows.to(pool.tokens.device)])
            found.append(logits.float().softmax(-1)[:, 1].cpu().numpy())
            start += len(ids)
    return np.concatenate(found)
