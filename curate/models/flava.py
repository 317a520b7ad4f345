"""FLAVA checkpoints of transformers as scorer: ITC and ITM.

Source: Singh et al. 2022, "FLAVA" (https://arxiv.org/abs/2112.04482), sections 3.1 and 3.2: an
image and a text encoder with a contrastive loss, and a multimodal encoder over the states of both,
whose first token feeds an ITM head. Each encoder runs once per image or distinct text; the
multimodal one runs once a pair. The networks are those of ``transformers.models.flava``.

Shapes: B images, U distinct texts of a batch, P pairs, M image tokens, L tokens, D width,
E projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import FlavaModel, FlavaPreTrainedModel
from transformers.models.flava.modeling_flava import FlavaITMHead

from curate.models.base import Pixels
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_tokenizer
from curate.models.pair_scorer import LoadedScorer, cosines, matched, unit
from curate.models.picture_processing import CLIP_MEAN, CLIP_STD, PictureProcessing
from curate.models.text_tokens import Pairs, TextBatch, TextTokens

#: Texts were padded or cut to CLIP's 77 tokens in training.
MOST_TOKENS = 77
_PICTURES = {
    **{"size": {"height": 224, "width": 224}, "crop_size": 224, "do_center_crop": True},
    **{"image_mean": CLIP_MEAN, "image_std": CLIP_STD},
}


class FlavaMatcher(FlavaPreTrainedModel):  # type: ignore[misc]
    """The part of ``FlavaForPreTraining`` that judges pairs: without its codebook and MLM heads."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.flava = FlavaModel(config)
        self.itm_head = FlavaITMHead(config)
        self.post_init()


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Embeddings, unit norm, and states in the width of the multimodal encoder."""

    embeds: Tensor
    states: Tensor


class FlavaScorer(LoadedScorer[_Encoded, _Encoded]):
    """Scores texts with a ``FlavaForPreTraining`` checkpoint: ITC and ITM."""

    gives = ("itc", "itm")

    def _load(self, checkpoint: Checkpoint, texts_per_batch: int) -> None:
        self._model = self._network(FlavaMatcher, checkpoint)
        config = self._model.config
        side = int(config.image_config.image_size)
        self._pictures = PictureProcessing(checkpoint, defaults=_PICTURES, side=side)
        self._tokens = TextTokens(
            load_tokenizer(checkpoint),
            most_tokens=min(MOST_TOKENS, int(config.text_config.max_position_embeddings)),
            texts_per_batch=texts_per_batch,
        )

    def _see(self, images: Pixels) -> _Encoded:
        flava = self._model.flava
        pixels = self._pictures.normalised(images, self._like)
        out = flava.image_model(pixel_values=pixels, output_hidden_states=True)
        embeds_BE = unit(flava.image_projection(out.last_hidden_state[:, 0]))
        # The multimodal encoder reads the states ahead of the last norm, as it was trained.
        return _Encoded(embeds_BE, flava.image_to_mm_projection(out.hidden_states[-1]))

    def _read(self, batch: TextBatch) -> _Encoded:
        flava = self._model.flava
        out = flava.text_model(
            input_ids=batch.ids, attention_mask=batch.mask, output_hidden_states=True
        )
        embeds_UE = unit(flava.text_projection(out.last_hidden_state[:, 0]))
        return _Encoded(embeds_UE, flava.text_to_mm_projection(out.hidden_states[-1]))

    def _judge(
        self, seen: _Encoded, read: _Encoded, batch: TextBatch, pairs: Pairs
    ) -> dict[str, Tensor]:
        images_P, texts_P = pairs.image_rows, pairs.text_rows
        image_states_PMD = seen.states[images_P]
        joint = torch.cat([image_states_PMD, read.states[texts_P]], dim=1)
        multimodal = self._model.flava.multimodal_model
        seen_tokens = image_states_PMD.shape[1] + int(multimodal.use_cls_token)
        mask_PL = batch.mask[texts_P]
        mask = torch.cat([mask_PL.new_ones(len(mask_PL), seen_tokens), mask_PL], dim=1)
        states = multimodal(joint, attention_mask=mask).last_hidden_state
        itm_P = matched(self._model.itm_head(states))
        return {"itc": cosines(seen.embeds[images_P], read.embeds[texts_P]), "itm": itm_P}

    def _image_embeds(self, seen: _Encoded) -> Tensor:
        return seen.embeds

    def _text_embeds(self, read: _Encoded) -> Tensor:
        return read.embeds
