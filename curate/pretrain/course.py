"""The course of a training: which batch each step takes, and at which rate.

A recipe's epochs are one phase; a final stage on the best pictures is another, whose rate rises
and falls by itself. A step's number says everything, so a training goes on from any step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.core.errors import SourceError
from curate.pretrain.batch import OwnRows, TextBatch, epoch_batches, num_batches
from curate.pretrain.config import FinalConfig, PretrainConfig
from curate.pretrain.data import PairSource
from curate.pretrain.mixing import Sample, samples
from curate.pretrain.optim import rate_factor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Phase:
    """A run of epochs over the same samples, with a rate that rises and falls once.

    Attributes:
        samples: what an epoch passes over.
        epochs: how often, the last perhaps in part.
        epoch_steps: steps of one pass.
        steps: of all passes.
        lr: the highest rate.
        first_step: number of the first step.
        first_epoch: number of the first epoch.
    """

    samples: list[Sample]
    epochs: int
    epoch_steps: int
    steps: int
    lr: float
    first_step: int
    first_epoch: int


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        number: from 0.
        epoch: from 0.
        epochs_done: how many epochs came before, parts of one counted.
        lr: the learning rate of scale 1.
        batch: its texts and pictures.
    """

    number: int
    epoch: int
    epochs_done: float
    lr: float
    batch: TextBatch


class Course:
    """All steps of a recipe."""

    def __init__(
        self,
        recipe: PretrainConfig,
        source: PairSource,
        usable: list[int],
        tokenizer: PreTrainedTokenizerFast,
        *,
        max_tokens: int,
        own_rows: OwnRows | None = None,
    ) -> None:
        """Lay the course out.

        Args:
            recipe: says epochs, batches and rates.
            source: the pairs.
            usable: numbers of the pictures that can be decoded.
            tokenizer: the model's.
            max_tokens: longest text, special tokens included.
            own_rows: which of a batch's pictures this worker reads; all of them when None.

        Raises:
            SourceError: a final stage, and no picture has a score; or nothing to make a batch of.
        """
        self.recipe, self.source, self.tokenizer = recipe, source, tokenizer
        self.max_tokens, self.own_rows = max_tokens, own_rows
        self.phases = [self._phase(usable, recipe, recipe.optim.lr)]
        if recipe.final is not None:
            best = best_pictures(source.best_scores(), usable, recipe.final.share)
            self.phases.append(self._phase(best, recipe.final, recipe.final.lr, after=True))
        self.steps = sum(phase.steps for phase in self.phases)
        self.epochs = sum(phase.epochs for phase in self.phases)

    def from_step(self, first: int) -> Iterator[Step]:
        """Yield the steps from a number on; batches before it are not read."""
        for phase in self.phases:
            seen = min(max(0, first - phase.first_step), phase.steps)
            for epoch in range(seen // phase.epoch_steps, phase.epochs):
                skip = max(0, seen - epoch * phase.epoch_steps)
                batches = epoch_batches(
                    *(self.source, phase.samples, self.tokenizer),
                    batch_size=self.recipe.batch_size,
                    max_tokens=self.max_tokens,
                    seed=self.recipe.seed,
                    epoch=phase.first_epoch + epoch,
                    texts=self.recipe.data.texts,
                    skip=skip,
                    own_rows=self.own_rows,
                )
                left = phase.steps - epoch * phase.epoch_steps - skip
                for place, batch in enumerate(itertools.islice(batches, left), start=skip):
                    yield self._step(phase, epoch, place, batch)

    def _step(self, phase: Phase, epoch: int, place: int, batch: TextBatch) -> Step:
        optim = self.recipe.optim
        inside = epoch * phase.epoch_steps + place
        factor = rate_factor(inside, phase.steps, warmup=optim.warmup, final=optim.final)
        return Step(
            number=phase.first_step + inside,
            epoch=phase.first_epoch + epoch,
            epochs_done=phase.first_epoch + epoch + place / phase.epoch_steps,
            lr=phase.lr * factor,
            batch=batch,
        )

    def _phase(
        self,
        pictures: list[int],
        length: PretrainConfig | FinalConfig,
        lr: float,
        *,
        after: bool = False,
    ) -> Phase:
        texts = self.recipe.data.texts
        counts = self.source.num_texts() if texts.mixing == "concatenate" else None
        chosen = samples(pictures, counts, texts)
        epoch_steps = num_batches(len(chosen), self.recipe.batch_size)
        if not epoch_steps:
            raise SourceError(
                f"{len(chosen)} pair is no batch: ITC and ITM compare at least two"
                + (" (the final stage's share is too small)" if after else "")
            )
        before = self.phases[0] if after else None
        steps = length.steps or (length.epochs or 0) * epoch_steps
        return Phase(
            samples=chosen,
            epochs=-(-steps // epoch_steps),
            epoch_steps=epoch_steps,
            steps=steps,
            lr=lr,
            first_step=before.steps if before else 0,
            first_epoch=before.epochs if before else 0,
        )


def best_pictures(scores: list[float | None], usable: list[int], share: float) -> list[int]:
    """Return the numbers of the best-scored usable pictures, in the order of the source.

    Ties are broken in that order too, so that the same scores give the same set.

    Args:
        scores: of every picture of the source; None where it has none, which is worse than any.
        usable: numbers of the pictures to choose from.
        share: how many of them.

    Raises:
        SourceError: no picture has a score.
    """
    scored = [picture for picture in usable if scores[picture] is not None]
    if not scored:
        raise SourceError(
            "a final stage takes the best pictures, and none has a score: name the score column "
            "(data.score for a run's selection, 'scores' for a table)"
        )
    ranked = sorted(scored, key=lambda picture: (-(scores[picture] or 0.0), picture))
    return sorted(ranked[: max(1, round(share * len(usable)))])
