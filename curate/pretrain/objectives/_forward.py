"""What the objectives of one step share: every part of the model runs at most once.

Shapes: B pairs, L text tokens, M image tokens, D width, P projection, Q queue.
"""

# ruff: noqa: N815 - fields carry shape suffixes

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from curate.models.reads_once import ReadsOnce

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.models.pair_model import PairModel
    from curate.pretrain.objectives._base import ObjectiveConfig
    from curate.pretrain.queues import Queues

Drawn = dict[str, dict[str, "Tensor"]]


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
    """A model's outputs for one batch, computed when first asked for.

    Attributes:
        model: the model in training.
        pairs: the batch.
        generator: source of chance for whoever draws (negatives), on the CPU.
        drawn: what each objective drew for this batch, by its kind.
        teacher: the same of the momentum teacher, without gradients; None where there is none.
        queues: the teacher's embeddings of earlier batches; None where there are none.
        alpha: weight of the teacher's opinion in this step.
    """

    def __init__(
        self,
        model: PairModel,
        pairs: Pairs,
        generator: torch.Generator,
        *,
        drawn: Drawn | None = None,
        teacher: Forward | None = None,
        queues: Queues | None = None,
        alpha: float = 0.0,
    ) -> None:
        self.model = model
        self.pairs = pairs
        self.generator = generator
        self.drawn = drawn or {}
        self.teacher = teacher
        self.queues = queues
        self.alpha = alpha

    def draws(self, objective: ObjectiveConfig) -> dict[str, Tensor]:
        """Return what an objective leaves to chance: drawn for the whole batch before, or now."""
        if objective.kind not in self.drawn:
            ids_BL, mask_BL = self.pairs.ids_BL.cpu(), self.pairs.mask_BL.cpu()
            drawn = objective.draw(ids_BL, mask_BL, self.model.config, generator=self.generator)
            device = self.pairs.ids_BL.device
            self.drawn[objective.kind] = {name: x.to(device) for name, x in drawn.items()}
        return self.drawn[objective.kind]

    @cached_property
    def image_embeds(self) -> Tensor:
        """Image embeddings [B, P] of unit norm."""
        return self.model.project_images(self.pairs.image_tokens_BMD).float()

    @cached_property
    def text_embeds(self) -> Tensor:
        """Text embeddings [B, P] of unit norm."""
        if isinstance(self.model, ReadsOnce):
            return self.model.embed_read(self.text_states).float()
        return self.model.encode_texts(self.pairs.ids_BL, self.pairs.mask_BL).float()

    @cached_property
    def text_states(self) -> Tensor:
        """What a model that reads a text once for embedding and captioning makes of it."""
        assert isinstance(self.model, ReadsOnce)
        return self.model.read_texts(self.pairs.ids_BL, self.pairs.mask_BL)

    @cached_property
    def caption_logits(self) -> Tensor:
        """Logits [B, L - 1, V] of the tokens after the first, from the image and those before."""
        if isinstance(self.model, ReadsOnce):
            return self.model.caption_read(self.text_states, self.pairs.image_tokens_BMD)
        inputs_BL = self.pairs.ids_BL[:, :-1].clone()
        inputs_BL[:, 0] = self.model.config.dec_token_id
        return self.model.decode_logits(inputs_BL, self.pairs.image_tokens_BMD)
