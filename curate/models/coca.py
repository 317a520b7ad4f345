"""CoCa: contrast and captions from one pass over image and text.

An image tower with an attentional pooler: one query's answer is the image's embedding, the others'
are what captions are written from. A text decoder whose lower layers read the text alone, with a
summary token at its end that is the text's embedding, and whose upper layers look at the image and
write. Source: Yu et al. 2022, "CoCa", section 3.2 (https://arxiv.org/abs/2205.01917).

Shapes: B texts, I images, L text tokens, M image tokens, D width, P projection, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from curate.models.fusion_layers import FusionText, causal_mask
from curate.models.med import ImageAdapter, MedModel
from curate.models.med_config import MedConfig
from curate.models.med_text import Attention, DecoderCache


class CocaConfig(MedConfig):
    """What a CoCa checkpoint is: MED's settings, where ``num_hidden_layers`` read the text alone.

    Attributes:
        num_multimodal_layers: layers on top of them that look at the image.
        num_caption_queries: image tokens that captions are written from.
    """

    model_type = "coca"

    num_multimodal_layers: int = 3
    num_caption_queries: int = 64

    def __post_init__(self, **kwargs: Any) -> None:
        """Check the settings.

        Raises:
            ValueError: a setting outside its range.
        """
        for name in ("num_multimodal_layers", "num_caption_queries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1")
        super().__post_init__(**kwargs)


class AttentionalPooler(nn.Module):
    """Learned queries that each gather what they need from an image's tokens."""

    def __init__(self, config: CocaConfig, adapter: ImageAdapter) -> None:
        super().__init__()
        self.adapter = adapter
        self.queries = nn.Embedding(1 + config.num_caption_queries, config.hidden_size)
        self.attention = Attention(config)
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-6)

    def forward(self, tower_tokens_IMD: Tensor) -> Tensor:
        """Map [I, tokens, tower width] to [I, 1 + queries, D]; the first is the embedding's."""
        keys_values = self.attention.keys_values(self.adapter(tower_tokens_IMD))
        queries = self.queries.weight.expand(len(tower_tokens_IMD), -1, -1)
        pooled: Tensor = self.norm(self.attention(queries, keys_values))
        return pooled


class CocaModel(MedModel):
    """The contrastive captioner; it embeds and writes, in one pass over the text."""

    config_class = CocaConfig
    base_model_prefix = "coca"

    def __init__(self, config: CocaConfig) -> None:
        super().__init__(config)
        adapter = self.image_adapter
        assert isinstance(adapter, ImageAdapter)
        self.image_adapter = AttentionalPooler(config, adapter)
        self.summary = nn.Parameter(torch.zeros(config.hidden_size))
        self.post_init()

    def _build_text(self, config: MedConfig) -> nn.Module:
        assert isinstance(config, CocaConfig)
        return FusionText(config, num_looking=config.num_multimodal_layers)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AttentionalPooler):
            # queries that begin alike would gather alike
            init.normal_(module.queries.weight, mean=0.0, std=1.0)
        elif isinstance(module, CocaModel) and hasattr(module, "summary"):
            init.normal_(module.summary, mean=0.0, std=self.config.initializer_range)

    def read_texts(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return states [B, L, D]: of all columns but the last, then of the summary.

        The first token is read as [DEC]. The summary sees all words, and neither [SEP] nor padding,
        so that a text's embedding does not hang on the batch's longest.
        """
        words_BL = ids_BL[:, :-1].clone()
        words_BL[:, 0] = self.config.dec_token_id
        x_BLD = self.text.embed(words_BL)
        summary = self.summary.to(x_BLD.dtype).expand(len(ids_BL), 1, -1)
        length = ids_BL.shape[1]
        mask = causal_mask(length, ids_BL.device).repeat(len(ids_BL), 1, 1, 1)
        mask[:, 0, -1, :-1] = mask_BL[:, :-1].bool() & (words_BL != self.config.sep_token_id)
        states: Tensor = self.text.read(torch.cat([x_BLD, summary], 1), mask=mask)
        return states

    def embed_read(self, states_BLD: Tensor) -> Tensor:
        """Return text embeddings [B, P] of unit norm."""
        return F.normalize(self.text_projection(states_BLD[:, -1]), dim=-1)

    def caption_read(self, states_BLD: Tensor, image_tokens_BMD: Tensor) -> Tensor:
        """Return logits [B, L - 1, V] of the tokens after the first."""
        return self._write(states_BLD[:, :-1], image_tokens_BMD, None)

    def encode_texts(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return text embeddings [B, P] of unit norm."""
        return self.embed_read(self.read_texts(ids_BL, mask_BL))

    def decode_logits(
        self,
        ids_BL: Tensor,
        image_tokens_IMD: Tensor,
        image_rows_B: Tensor | None = None,
        *,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Return logits [B, L, V] of the token after each of the given ones, [DEC] first.

        See :meth:`MedModel.decode_logits`.
        """
        if cache is not None:
            seen_IMD = _seen(image_tokens_IMD)
            return self._words(self.text.decode(ids_BL, seen_IMD, image_rows_B, cache=cache))
        mask = causal_mask(ids_BL.shape[1], ids_BL.device)
        states_BLD = self.text.read(self.text.embed(ids_BL), mask=mask)
        return self._write(states_BLD, image_tokens_IMD, image_rows_B)

    def _write(
        self, states_BLD: Tensor, image_tokens_IMD: Tensor, image_rows_B: Tensor | None
    ) -> Tensor:
        mask = causal_mask(states_BLD.shape[1], states_BLD.device)
        seen_IMD = _seen(image_tokens_IMD)
        return self._words(self.text.look(states_BLD, seen_IMD, image_rows_B, mask=mask))

    def _words(self, x_BLD: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(x_BLD, self.text.words.weight)
        return logits


def _seen(image_tokens_IMD: Tensor) -> Tensor:
    """Return what captions are written from: all but the first, which is the embedding's."""
    return image_tokens_IMD[:, 1:]
