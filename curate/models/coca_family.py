"""CoCa checkpoints of ``curate pretrain`` as captioner and scorer.

Source: Yu et al. 2022, "CoCa" (https://arxiv.org/abs/2205.01917). The image tower and its pooler
run once per image, for several captions as for all texts.

Shapes: I images, E projection.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from curate.models.base import Pixels
from curate.models.coca import CocaModel
from curate.models.med import MedModel
from curate.models.med_family import LoadedReader, MedCaptioner
from curate.models.pair_scorer import PairScorer, cosines
from curate.models.text_tokens import Pairs, TextBatch


class CocaCaptioner(MedCaptioner):
    """Writes captions with a CoCa checkpoint."""

    network: ClassVar[type[MedModel]] = CocaModel


class CocaScorer(LoadedReader, PairScorer[Tensor, Tensor]):
    """Scores texts with a CoCa checkpoint: ITC."""

    network: ClassVar[type[MedModel]] = CocaModel
    gives = ("itc",)

    def _see(self, images: Pixels) -> Tensor:
        return self.model.project_images(self.encode(images)).float()

    def _judge(
        self, seen: Tensor, read: Tensor, batch: TextBatch, pairs: Pairs
    ) -> dict[str, Tensor]:
        return {"itc": cosines(seen[pairs.image_rows], read[pairs.text_rows])}

    def _image_embeds(self, seen: Tensor) -> Tensor:
        return seen
