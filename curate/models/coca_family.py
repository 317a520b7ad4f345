"""CoCa checkpoints of ``curate pretrain`` as captioner and scorer.

Source: Yu et al. 2022, "CoCa" (https://arxiv.org/abs/2205.01917). The image tower and its pooler
run once per image, for several captions as for all texts.

Shapes: I images, E projection.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from curate.models.base import Pixels
from curate.models.checkpoints import Checkpoint
from curate.models.coca import CocaModel
from curate.models.loading import Precision
from curate.models.med import MedModel
from curate.models.med_family import LoadedMed, MedCaptioner
from curate.models.pair_scorer import PairScorer, cosines
from curate.models.text_tokens import Pairs, TextBatch, TextTokens


class CocaCaptioner(MedCaptioner):
    """Writes captions with a CoCa checkpoint."""

    network: ClassVar[type[MedModel]] = CocaModel


class CocaScorer(LoadedMed, PairScorer[Tensor, Tensor]):
    """Scores texts with a CoCa checkpoint: ITC."""

    network: ClassVar[type[MedModel]] = CocaModel
    gives = ("itc",)

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: Precision,
        texts_per_batch: int = 64,
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: a checked checkpoint.
            device: where it shall run.
            dtype: type of its weights; ``auto`` is float32 where the tower is convolutional.
            texts_per_batch: most texts in one call of the text layers.

        Raises:
            ModelError: it is damaged or incomplete.
        """
        super().__init__(checkpoint, device=device, dtype=dtype)
        self._device = device
        self._tokens = TextTokens(
            self.tokenizer,
            most_tokens=self.model.config.max_text_tokens,
            texts_per_batch=texts_per_batch,
        )

    def _see(self, images: Pixels) -> Tensor:
        return self.model.project_images(self.encode(images)).float()

    def _read(self, batch: TextBatch) -> Tensor:
        return self.model.encode_texts(batch.ids, batch.mask).float()

    def _judge(
        self, seen: Tensor, read: Tensor, batch: TextBatch, pairs: Pairs
    ) -> dict[str, Tensor]:
        return {"itc": cosines(seen[pairs.image_rows], read[pairs.text_rows])}

    def _image_embeds(self, seen: Tensor) -> Tensor:
        return seen

    def _text_embeds(self, read: Tensor) -> Tensor:
        return read
