"""What the objectives of one step share: every part of the model runs at most once.

Shapes: B pairs, L text tokens, M image tokens, D width, P projection.
"""

# ruff: noqa: N815 - fields carry shape suffixes

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.models.med import MedModel


@dataclass
class Pairs:
    """A batch on the device: B images, each with one text.

    Attributes:
        image_tokens_BMD: from the image tower and its adapter.
        ids_BL: token ids, [CLS] first.
        mask_BL: 1 where there is a token.
        image_ids_B: equal where two pairs show the same picture.
    """

    image_tokens_BMD: Tensor
    ids_BL: Tensor
    mask_BL: Tensor
    image_ids_B: Tensor


def similarity(image_embeds_BP: Tensor, text_embeds_BP: Tensor, *, logit_scale: Tensor) -> Tensor:
    """Return scaled cosines [B, B], images down, texts across, in full precision.

    Half precision would round a logit of 14 to a sixteenth.
    """
    import torch

    with torch.autocast(image_embeds_BP.device.type, enabled=False):
        return logit_scale * image_embeds_BP @ text_embeds_BP.T


class Forward:
    """The model's outputs for one batch, computed when first asked for.

    Attributes:
        model: the model in training.
        pairs: the batch.
        generator: source of chance for whoever draws (negatives), on the CPU.
    """

    def __init__(self, model: MedModel, pairs: Pairs, generator: torch.Generator) -> None:
        self.model = model
        self.pairs = pairs
        self.generator = generator

    @cached_property
    def image_embeds(self) -> Tensor:
        """Image embeddings [B, P] of unit norm."""
        return self.model.project_images(self.pairs.image_tokens_BMD).float()

    @cached_property
    def text_embeds(self) -> Tensor:
        """Text embeddings [B, P] of unit norm."""
        return self.model.encode_texts(self.pairs.ids_BL, self.pairs.mask_BL).float()
