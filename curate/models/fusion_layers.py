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
from curate.models.med_text import ImageAttention, SelfAttention


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
            keys, values = self.image_attention.attention.keys_values(image_tokens_IMD)
            if image_rows_B is not None:
                keys, values = keys[image_rows_B], values[image_rows_B]
            x_BLD = self.image_attention(x_BLD, (keys, values))
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

    def embed(self, ids_BL: Tensor) -> Tensor:
        """Return embeddings [B, L, D]."""
        places_L = torch.arange(ids_BL.shape[1], device=ids_BL.device)
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
