"""BLIP-2 checkpoints of transformers as scorer: ITC and ITM.

Source: Li et al. 2023, "BLIP-2" (https://arxiv.org/abs/2301.12597), section 3.2: 32 learned queries
look at the image. ITC is the greatest of their cosines with the text; ITM lets queries and text
attend to each other and averages the queries' verdicts. The vision tower and the queries of ITC run
once per image, the Q-Former of ITM once a pair. The networks are those of
``transformers.models.blip_2``.

Shapes: B images, U distinct texts of a batch, P pairs, M image tokens, Q queries, L tokens,
D width, E projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Pixels
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_tokenizer
from curate.models.pair_scorer import LoadedScorer, matched, unit
from curate.models.picture_processing import CLIP_MEAN, CLIP_STD, PictureProcessing
from curate.models.text_tokens import Pairs, TextBatch, TextTokens

#: Texts were cut to so many tokens in training.
MOST_TOKENS = 32


@dataclass(frozen=True, slots=True)
class _Seen:
    """Embeddings of the queries [B, Q, E], unit norm, and the image tokens [B, M, D]."""

    query_embeds: Tensor
    image_tokens: Tensor


class Blip2Scorer(LoadedScorer[_Seen, Tensor]):
    """Scores texts with a ``Blip2ForImageTextRetrieval`` checkpoint: ITC and ITM.

    It has 32 vectors for an image and no single one, so it gives no image embeddings.
    """

    gives = ("itc", "itm")

    def _load(self, checkpoint: Checkpoint, texts_per_batch: int) -> None:
        from transformers import Blip2ForImageTextRetrieval

        model = self._network(Blip2ForImageTextRetrieval, checkpoint)
        if not model.config.qformer_config.use_qformer_text_input:
            raise ModelError(
                f"{checkpoint.folder} has a Q-Former that reads no texts (use_qformer_text_input "
                "in its config.json): a scorer needs a checkpoint that was trained to match, "
                "blip2-itm-vit-g say"
            )
        self._model = model
        side = int(model.config.vision_config.image_size)
        defaults = {"size": side, "image_mean": CLIP_MEAN, "image_std": CLIP_STD}
        self._pictures = PictureProcessing(checkpoint, defaults=defaults, side=side)
        positions = int(model.config.qformer_config.max_position_embeddings)
        self._tokens = TextTokens(
            load_tokenizer(checkpoint),
            most_tokens=min(MOST_TOKENS, positions),
            texts_per_batch=texts_per_batch,
        )

    def _see(self, images: Pixels) -> _Seen:
        model = self._model
        pixels = self._pictures.normalised(images, self._like)
        tokens_BMD = model.vision_model(pixel_values=pixels).last_hidden_state
        queries = model.query_tokens.expand(len(images), -1, -1)
        states_BQD = model.qformer(
            query_embeds=queries, encoder_hidden_states=tokens_BMD
        ).last_hidden_state
        return _Seen(unit(self._projected(model.vision_projection, states_BQD)), tokens_BMD)

    def _read(self, batch: TextBatch) -> Tensor:
        model = self._model
        states_ULD = model.qformer(
            query_embeds=model.embeddings(input_ids=batch.ids),
            query_length=0,
            attention_mask=batch.mask,
        ).last_hidden_state
        return unit(self._projected(model.text_projection, states_ULD[:, 0]))

    def _judge(
        self, seen: _Seen, read: Tensor, batch: TextBatch, pairs: Pairs
    ) -> dict[str, Tensor]:
        images_P, texts_P = pairs.image_rows, pairs.text_rows
        each_PQ = (seen.query_embeds[images_P] * read[texts_P][:, None]).sum(-1)
        model = self._model
        queries = model.query_tokens.expand(len(images_P), -1, -1)
        count = queries.shape[1]
        mask_PL = batch.mask[texts_P]
        states = model.qformer(
            query_embeds=model.embeddings(input_ids=batch.ids[texts_P], query_embeds=queries),
            query_length=count,
            attention_mask=torch.cat([mask_PL.new_ones(len(mask_PL), count), mask_PL], dim=1),
            encoder_hidden_states=seen.image_tokens[images_P],
        ).last_hidden_state
        verdicts_PQ2 = self._projected(model.itm_head, states[:, :count])
        return {
            "itc": each_PQ.amax(-1).clamp(-1, 1),
            "itm": matched(verdicts_PQ2.float().mean(1)),
        }

    @staticmethod
    def _projected(layer: torch.nn.Linear, states: Tensor) -> Tensor:
        projected: Tensor = layer(states.to(layer.weight.dtype))
        return projected
