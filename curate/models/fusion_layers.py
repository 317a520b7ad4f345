"""Text layers of which some look at an image: the parts of dual streams and of CoCa.

The parts are MED's: attention as BERT has it, and attention to the image as a residual that a new
model starts at zero.

Shapes: B texts, I images, L text tokens, M image tokens, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.models.med_config import MedConfig
from curate.models.med_text import DecoderCache, ImageAttention, KeysValues, SelfAttention


class FusionLayer(nn.Module):
    """One layer: self-attention, attention to the image if it ``looks``, feed-forward."""

    def __init__(self, config: MedConfig, *, looks: bool) -> None:
        super().__init__()
        self.encoder_attention = SelfAttention(config)
        self.image_attention = ImageAttention(config) if looks else None
        self.widen = nn.Linear(config.hidden_size, config.intermediate_size)
        self.narrow = nn.Linear(config.intermediate_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x_BLD: Tensor,
        *,
        mask: Tensor,
        image_tokens_IMD: Tensor | None = None,
        image_rows_B: Tensor | None = None,
    ) -> Tensor:
        """Return [B, L, D].

        Args:
            x_BLD: states of the text.
            mask: True where attention is allowed; broadcasts to [B, heads, L, L].
            image_tokens_IMD: needed by a layer that looks.
            image_rows_B: the image of each text; text number b looks at image number b when None.
        """
        x_BLD, _ = self.encoder_attention(x_BLD, mask=mask, causal=False, past=None)
        if self.image_attention is not None:
            assert image_tokens_IMD is not None
            x_BLD = self.image_attention(x_BLD, self.image_parts(image_tokens_IMD, image_rows_B))
        return self.feed_forward(x_BLD)

    def image_parts(self, image_tokens_IMD: Tensor, image_rows_B: Tensor | None) -> KeysValues:
        """Return the images' keys and values, of each text's own where rows are given."""
        assert self.image_attention is not None
        keys, values = self.image_attention.attention.keys_values(image_tokens_IMD)
        return (
            (keys, values) if image_rows_B is None else (keys[image_rows_B], values[image_rows_B])
        )

    def feed_forward(self, x_BLD: Tensor) -> Tensor:
        """Return [B, L, D]."""
        wide = F.gelu(self.widen(x_BLD))
        out: Tensor = self.norm(x_BLD + self.dropout(self.narrow(wide)))
        return out


class FusionText(nn.Module):
    """Embeddings, layers that read, then layers that look."""

    def __init__(self, config: MedConfig, *, num_looking: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_text_tokens, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            FusionLayer(config, looks=number >= config.num_hidden_layers)
            for number in range(config.num_hidden_layers + num_looking)
        )
        self.num_reading: int = config.num_hidden_layers

    def embed(self, ids_BL: Tensor, *, start: int = 0) -> Tensor:
        """Return the embeddings [B, L, D] of tokens whose first stands at position ``start``."""
        places_L = torch.arange(start, start + ids_BL.shape[1], device=ids_BL.device)
        x_BLD: Tensor = self.dropout(self.norm(self.words(ids_BL) + self.positions(places_L)))
        return x_BLD

    def read(self, x_BLD: Tensor, *, mask: Tensor) -> Tensor:
        """Pass through the layers that read; returns [B, L, D]."""
        for layer in self.layers[: self.num_reading]:
            x_BLD = layer(x_BLD, mask=mask)
        return x_BLD

    def look(
        self,
        x_BLD: Tensor,
        image_tokens_IMD: Tensor,
        image_rows_B: Tensor | None = None,
        *,
        mask: Tensor,
    ) -> Tensor:
        """Pass what was read through the layers that look; returns [B, L, D]."""
        for layer in self.layers[self.num_reading :]:
            x_BLD = layer(
                *(x_BLD,),
                mask=mask,
                image_tokens_IMD=image_tokens_IMD,
                image_rows_B=image_rows_B,
            )
        return x_BLD

    def decode(
        self,
        ids_BL: Tensor,
        image_tokens_IMD: Tensor,
        image_rows_B: Tensor | None,
        *,
        cache: DecoderCache,
    ) -> Tensor:
        """Read and look from left to right, the tokens after those that the cache holds.

        The cache grows by them: all the prompt's tokens at first, then one at a time.

        Returns:
            Hidden states [B, L, D].
        """
        start = cache.num_tokens
        if start and ids_BL.shape[1] > 1:
            raise ValueError("after the prompt, a cached decoder takes one token at a time")
        x_BLD = self.embed(ids_BL, start=start)
        mask = None if start else causal_mask(ids_BL.shape[1], ids_BL.device)
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, FusionLayer)
            past = cache.texts[number] if start else None
            x_BLD, texts = layer.encoder_attention(x_BLD, mask=mask, causal=False, past=past)
            if start:
                cache.texts[number] = texts
            else:
                cache.texts.append(texts)
            if layer.image_attention is not None:
                if not start:
                    cache.images.append(layer.image_parts(image_tokens_IMD, image_rows_B))
                x_BLD = layer.image_attention(x_BLD, cache.images[number - self.num_reading])
            x_BLD = layer.feed_forward(x_BLD)
        return x_BLD

    def encode(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        image_tokens_IMD: Tensor | None = None,
        image_rows_B: Tensor | None = None,
    ) -> Tensor:
        """Read both ways, and look when an image is given; returns states [B, L, D].

        Args:
            ids_BL: token ids.
            mask_BL: 1 where there is a token, 0 where there is padding.
            image_tokens_IMD: image tokens of width D.
            image_rows_B: the image of each text; text number b looks at image number b when None.
        """
        mask = mask_BL.bool()[:, None, None, :]
        x_BLD = self.read(self.embed(ids_BL), mask=mask)
        if image_tokens_IMD is None:
            return x_BLD
        return self.look(x_BLD, image_tokens_IMD, image_rows_B, mask=mask)


def causal_mask(length: int, device: torch.device) -> Tensor:
    """Return which tokens see which, [1, 1, L, L]: earlier ones and themselves."""
    seen_LL = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return seen_LL[None, None]
