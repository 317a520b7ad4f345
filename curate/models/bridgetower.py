"""BridgeTower checkpoints of transformers as scorer: ITM alone.

Source: Xu et al. 2022, "BridgeTower" (https://arxiv.org/abs/2206.08657), section 3: two towers, and
a cross-modal encoder of two streams that every upper layer of the towers feeds through a bridge.
The towers know nothing of each other, so each runs once per image or distinct text, and the
cross-modal encoder alone runs once a pair; transformers' own forward runs all three. The network is
``transformers.models.bridgetower``.

Shapes: B images, U distinct texts of a batch, P pairs, M image tokens, L tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from curate.models.base import Pixels
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_tokenizer
from curate.models.pair_scorer import LoadedScorer, matched
from curate.models.picture_processing import CLIP_MEAN, CLIP_STD, PictureProcessing
from curate.models.text_tokens import Pairs, TextBatch, TextTokens

#: Texts were cut to so many tokens in training.
MOST_TOKENS = 50


class BridgeTowerScorer(LoadedScorer[list[Tensor], list[Tensor]]):
    """Scores texts with a ``BridgeTowerForImageAndTextRetrieval`` checkpoint: ITM alone.

    What it sees of images, and reads in texts, is one tensor a cross-modal layer: the tower's
    states behind their bridge, [B, M, D] or [U, L, D].
    """

    gives = ("itm",)

    def _load(self, checkpoint: Checkpoint, texts_per_batch: int) -> None:
        from transformers import BridgeTowerForImageAndTextRetrieval

        model = self._network(BridgeTowerForImageAndTextRetrieval, checkpoint)
        self._model: Any = model.bridgetower
        self._itm_head = model.itm_score
        self._depth = len(self._model.text_model.encoder.layer)  # both towers are bridged up to it
        self._layers = int(model.config.num_hidden_layers)
        side = int(model.config.vision_config.image_size)
        defaults = {
            **{"size": {"shortest_edge": side}, "crop_size": {"shortest_edge": side}},
            **{"do_center_crop": True, "size_divisor": 32},
            **{"image_mean": CLIP_MEAN, "image_std": CLIP_STD},
        }
        self._pictures = PictureProcessing(
            checkpoint, defaults=defaults, side=side, number_is_square=False
        )
        text = model.config.text_config
        # RoBERTa's positions begin behind the one of its padding token.
        positions = int(text.max_position_embeddings) - int(text.pad_token_id) - 1
        self._tokens = TextTokens(
            load_tokenizer(checkpoint),
            most_tokens=min(MOST_TOKENS, positions),
            texts_per_batch=texts_per_batch,
        )

    def _see(self, images: Pixels) -> list[Tensor]:
        visual = self._model.vision_model.visual
        states_MBD = visual.forward_pre(self._pictures.normalised(images, self._like))
        bridged = []
        for depth in range(self._depth):
            states_MBD = visual.transformer.resblocks[depth](states_MBD)
            layer = depth - (self._depth - self._layers)
            if layer >= 0:
                normed_BMD = visual.forward_post(states_MBD)
                bridged.append(self._bridged("image", normed_BMD, layer, kind=1))
        return bridged

    def _read(self, batch: TextBatch) -> list[Tensor]:
        text = self._model.text_model
        states_ULD = text.embeddings(input_ids=batch.ids)
        mask = self._unseen(batch.mask)
        bridged = []
        for depth, block in enumerate(text.encoder.layer):
            states_ULD = block(states_ULD, mask)
            layer = depth - (self._depth - self._layers)
            if layer >= 0:
                bridged.append(self._bridged("text", states_ULD, layer, kind=0))
        return bridged

    def _bridged(self, tower: str, states: Tensor, layer: int, *, kind: int) -> Tensor:
        """Bring a tower's states to the cross-modal width, marked as image (1) or text (0)."""
        transform = getattr(self._model, f"cross_modal_{tower}_transform")
        if not self._model.config.share_cross_modal_transformer_layers:
            transform = transform[layer]
        marked: Tensor = transform(states) + self._model.token_type_embeddings.weight[kind]
        return marked

    def _unseen(self, mask_UL: Tensor) -> Tensor:
        """Return what is added to attention: a very low number where there is padding."""
        low = torch.finfo(self._like.dtype).min
        return (1 - mask_UL[:, None, None]).to(self._like.dtype) * low

    def _judge(
        self, seen: list[Tensor], read: list[Tensor], batch: TextBatch, pairs: Pairs
    ) -> dict[str, Tensor]:
        model = self._model
        images_P, texts_P = pairs.image_rows, pairs.text_rows
        mask = self._unseen(batch.mask[texts_P])
        texts_PLD = model.cross_modal_text_layernorm(read[0][texts_P])
        images_PMD = model.cross_modal_image_layernorm(seen[0][images_P])
        for layer in range(self._layers):
            if layer > 0:
                text_link = model.cross_modal_text_link_tower
                image_link = model.cross_modal_image_link_tower
                if not model.config.share_link_tower_layers:
                    text_link, image_link = text_link[layer - 1], image_link[layer - 1]
                texts_PLD = text_link(read[layer][texts_P], texts_PLD, mask)
                images_PMD = image_link(seen[layer][images_P], images_PMD, None)
            new_texts_PLD = model.cross_modal_text_layers[layer](
                texts_PLD, images_PMD, attention_mask=mask
            )[0]
            images_PMD = model.cross_modal_image_layers[layer](
                images_PMD, texts_PLD, encoder_attention_mask=mask
            )[0]
            texts_PLD = new_texts_PLD
        pooled = model.get_cls_features(texts_PLD, images_PMD)
        return {"itm": matched(self._itm_head(pooled))}
