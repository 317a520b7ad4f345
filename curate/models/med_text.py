"""The text transformer of MED: one set of weights, three uses.

As a text encoder it attends to the text both ways; as an image-grounded encoder it also attends to
image tokens; as an image-grounded decoder it attends to earlier tokens only, and to the image.
All parameters are shared between the uses but the self-attention, of which the decoder has its
own (Li et al. 2022, "BLIP", table 3: the best of the sharings tried).

The layers are those of BERT, so that its family's weights can be loaded, but for one thing:
attention to the image is a residual added before the feed-forward part, through a projection that
starts at zero. A new model grounded in images begins as the text model it was started from.

Shapes: B texts, I images, L text tokens, M image tokens, D width, H heads, K = D / H,
V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.models.med_config import MedConfig

Use = Literal["encode", "fuse", "decode"]
KeysValues = tuple[Tensor, Tensor]


@dataclass
class DecoderCache:
    """What a decoder remembers between steps, per layer.

    Attributes:
        texts: keys and values of the tokens so far, each [B, H, L, K].
        images: keys and values of the images, each [B, H, M, K].
    """

    texts: list[KeysValues] = field(default_factory=list)
    images: list[KeysValues] = field(default_factory=list)

    @property
    def num_tokens(self) -> int:
        """Text tokens seen so far."""
        return self.texts[0][0].shape[2] if self.texts else 0


class Attention(nn.Module):
    """Multi-head attention; what follows it (norm, residual) is its caller's."""

    def __init__(self, config: MedConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads: int = config.num_attention_heads
        self.dropout: float = config.dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def keys_values(self, x_BLD: Tensor) -> KeysValues:
        """Return keys and values, each [B, H, L, K]."""
        return self._split(self.key(x_BLD)), self._split(self.value(x_BLD))

    def forward(
        self,
        x_BLD: Tensor,
        keys_values: KeysValues,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Attend from ``x`` to the given keys and values; returns [B, L, D].

        ``mask`` is boolean, True where attention is allowed, and broadcasts to [B, H, L, M].
        """
        keys, values = keys_values
        dropout = self.dropout if self.training else 0.0
        out_BHLK = F.scaled_dot_product_attention(
            self._split(self.query(x_BLD)),
            *(keys, values),
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=causal,
        )
        merged: Tensor = self.output(out_BHLK.transpose(1, 2).flatten(2))
        return merged

    def _split(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.view(*x_BLD.shape[:2], self.heads, -1).transpose(1, 2)


class StartsAtZero(nn.Linear):
    """A linear layer whose new weights are zero."""


class SelfAttention(nn.Module):
    """BERT's attention block: attend, add, normalise."""

    def __init__(self, config: MedConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x_BLD: Tensor, *, mask: Tensor | None, causal: bool, past: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        """Return the block's output [B, L, D] and the keys and values it attended to."""
        keys, values = self.attention.keys_values(x_BLD)
        if past is not None:
            keys = torch.cat([past[0], keys], 2)
            values = torch.cat([past[1], values], 2)
        attended = self.attention(x_BLD, (keys, values), mask=mask, causal=causal)
        return self.norm(x_BLD + self.dropout(attended)), (keys, values)


class ImageAttention(nn.Module):
    """Attention to image tokens, as a residual that a new model starts at zero."""

    def __init__(self, config: MedConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = Attention(config)
        self.attention.output = StartsAtZero(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BLD: Tensor, keys_values: KeysValues) -> Tensor:
        """Return [B, L, D]."""
        attended: Tensor = self.dropout(self.attention(self.norm(x_BLD), keys_values))
        return x_BLD + attended


class Layer(nn.Module):
    """One layer: two self-attentions to choose from, attention to the image, feed-forward."""

    def __init__(self, config: MedConfig) -> None:
        super().__init__()
        self.encoder_attention = SelfAttention(config)
        self.decoder_attention = SelfAttention(config)
        self.image_attention = ImageAttention(config)
        self.widen = nn.Linear(config.hidden_size, config.intermediate_size)
        self.narrow = nn.Linear(config.intermediate_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def feed_forward(self, x_BLD: Tensor) -> Tensor:
        """Return [B, L, D]."""
        out: Tensor = self.norm(x_BLD + self.dropout(self.narrow(F.gelu(self.widen(x_BLD)))))
        return out


class TextTransformer(nn.Module):
    """Embeddings and layers."""

    def __init__(self, config: MedConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_text_tokens, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def embed(self, ids_BL: Tensor, *, start: int = 0) -> Tensor:
        """Return the embeddings [B, L, D] of tokens whose first stands at position ``start``."""
        positions_L = torch.arange(start, start + ids_BL.shape[1], device=ids_BL.device)
        x_BLD: Tensor = self.norm(self.words(ids_BL) + self.positions(positions_L))
        dropped: Tensor = self.dropout(x_BLD)
        return dropped

    def encode(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        image_tokens_IMD: Tensor | None = None,
        image_rows_B: Tensor | None = None,
    ) -> Tensor:
        """Attend both ways, to the image as well when one is given.

        Args:
            ids_BL: token ids.
            mask_BL: True where there is a token, False where there is padding.
            image_tokens_IMD: image tokens of width D.
            image_rows_B: the image of each text; text number b looks at image number b when None.

        Returns:
            Hidden states [B, L, D]; those of padding mean nothing.
        """
        mask = mask_BL.bool()[:, None, None, :]
        x_BLD = self.embed(ids_BL)
        for layer in self.layers:
            assert isinstance(layer, Layer)
            x_BLD, _ = layer.encoder_attention(x_BLD, mask=mask, causal=False, past=None)
            if image_tokens_IMD is not None:
                image = layer.image_attention.attention.keys_values(image_tokens_IMD)
                x_BLD = layer.image_attention(x_BLD, _rows(image, image_rows_B))
            x_BLD = layer.feed_forward(x_BLD)
        return x_BLD

    def decode(
        self,
        ids_BL: Tensor,
        image_tokens_IMD: Tensor,
        image_rows_B: Tensor | None = None,
        *,
        cache: DecoderCache | None = None,
        prefix_B: Tensor | None = None,
    ) -> Tensor:
        """Attend to earlier tokens and to the image; padding may only stand at the end.

        With a cache, ``ids`` are the tokens that follow those it holds, and it grows by them: all
        the prompt's tokens at first, then one at a time. With ``prefix``, the so many first tokens
        of each text see each other both ways.

        Returns:
            Hidden states [B, L, D].
        """
        start = cache.num_tokens if cache is not None else 0
        if start and ids_BL.shape[1] > 1:
            raise ValueError("after the prompt, a cached decoder takes one token at a time")
        x_BLD = self.embed(ids_BL, start=start)
        mask = None if prefix_B is None else prefix_mask(prefix_B, ids_BL.shape[1])
        causal = not start and mask is None
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            past = cache.texts[number] if cache is not None and start else None
            x_BLD, texts = layer.decoder_attention(x_BLD, mask=mask, causal=causal, past=past)
            if cache is not None and start:
                cache.texts[number] = texts
                image = cache.images[number]
            else:
                image = _rows(
                    layer.image_attention.attention.keys_values(image_tokens_IMD), image_rows_B
                )
                if cache is not None:
                    cache.texts.append(texts)
                    cache.images.append(image)
            x_BLD = layer.image_attention(x_BLD, image)
            x_BLD = layer.feed_forward(x_BLD)
        return x_BLD


def prefix_mask(prefix_B: Tensor, length: int) -> Tensor:
    """Return which tokens see which, [B, 1, L, L]: earlier ones, and all of the prefix.

    Source: Raffel et al. 2020, "T5", figure 4 (https://arxiv.org/abs/1910.10683).
    """
    places = torch.arange(length, device=prefix_B.device)
    earlier_LL = places[None, :] <= places[:, None]
    return (earlier_LL | (places < prefix_B[:, None])[:, None, :])[:, None]


def _rows(keys_values: KeysValues, rows_B: Tensor | None) -> KeysValues:
    if rows_B is None:
        return keys_values
    return keys_values[0].index_select(0, rows_B), keys_values[1].index_select(0, rows_B)
