"""BLIP as its authors have it: one set of text weights, all shared but the self-attention.

Built of the parts of ``transformers.models.blip``, so that what is trained here is, weight by
weight, a ``BlipForImageTextRetrieval`` and a ``BlipForConditionalGeneration``
(``curate.models.blip_export``). Source: Li et al. 2022, "BLIP", section 3.1 and table 3
(https://arxiv.org/abs/2201.12086).

Shapes: B texts, I images, C channels, H height, W width, L text tokens, M image tokens, D width,
P projection, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    BlipTextConfig,
    BlipTextModel,
    BlipVisionConfig,
    BlipVisionModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.models.blip.modeling_blip_text import (
    BlipTextAttention,
    BlipTextPredictionHeadTransform,
)

from curate.models.caption_writer import CaptionWriter
from curate.models.med_config import never_written
from curate.models.pair_model import normalised

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 0.5
_CLIP_MEAN = (122.7709, 116.7460, 104.0937)
_CLIP_STD = (68.5005, 66.6322, 70.3232)


class BlipPairConfig(PreTrainedConfig):  # type: ignore[misc]
    """What a BLIP in training is, and how its pictures are prepared.

    Attributes:
        tower_config: settings of the image tower (``transformers.BlipVisionConfig``).
        text_config: settings of the text transformer (``transformers.BlipTextConfig``).
        image_size: side of the picture, pixels.
        image_mean: subtracted from the bytes, one per channel, in 0..255.
        image_std: divides, one per channel, in 0..255.
        vocab_size: entries of the vocabulary, [ENC] and [DEC] included.
        max_text_tokens: longest text, special tokens included.
        projection_size: width of the space that ITC compares in.
        start_temperature: ITC temperature of a new model.
    """

    model_type = "blip_pair"

    tower_config: dict[str, Any] | None = None
    text_config: dict[str, Any] | None = None
    image_size: int = 224
    image_mean: list[float] | None = None
    image_std: list[float] | None = None
    vocab_size: int = 30524
    max_text_tokens: int = 64
    projection_size: int = 256
    start_temperature: float = 0.07
    pad_token_id: int = 0
    unk_token_id: int = 1
    cls_token_id: int = 2
    sep_token_id: int = 3
    mask_token_id: int = 4
    enc_token_id: int = 5
    dec_token_id: int = 6

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in what depends on other settings."""
        self.tower_config = dict(self.tower_config or {})
        self.text_config = dict(self.text_config or {})
        self.image_mean = list(self.image_mean or _CLIP_MEAN)
        self.image_std = list(self.image_std or _CLIP_STD)
        super().__post_init__(**kwargs)

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Token ids that are never part of a written caption; the end, [SEP], is not among them."""
        return never_written(self)

    def vision(self) -> BlipVisionConfig:
        """Return the image tower's config."""
        said = BlipVisionConfig(**{**(self.tower_config or {}), "image_size": self.image_size})
        return _keeping_variance(said, self.tower_config)

    def text(self) -> BlipTextConfig:
        """Return the text transformer's config."""
        ids = {
            **{"pad_token_id": self.pad_token_id, "bos_token_id": self.dec_token_id},
            **{"eos_token_id": self.sep_token_id, "sep_token_id": self.sep_token_id},
        }
        sizes = {
            **{"vocab_size": self.vocab_size, "max_position_embeddings": self.max_text_tokens},
            "encoder_hidden_size": self.vision().hidden_size,
        }
        said = BlipTextConfig(**{**(self.text_config or {}), **ids, **sizes, "is_decoder": True})
        return _keeping_variance(said, self.text_config)


def _keeping_variance(config: Any, said: dict[str, Any] | None) -> Any:
    """Let new weights keep the variance where the settings say nothing of them.

    The defaults are for weights that are loaded: the image tower's deviation is 1e-10, from which
    nothing is learned.
    """
    if "initializer_range" not in (said or {}):
        config.initializer_range = config.hidden_size**-0.5
    return config


class BlipTower(nn.Module):
    """BLIP's image tower; the pooled token comes first."""

    def __init__(self, config: BlipVisionConfig) -> None:
        super().__init__()
        self.tower = BlipVisionModel(config)
        self.width: int = config.hidden_size
        self.num_tokens: int = 1 + (config.image_size // config.patch_size) ** 2

    def forward(self, pixels_ICHW: Tensor) -> Tensor:
        """Map normalised pixels [I, 3, H, W] to tokens [I, M, D]."""
        tokens: Tensor = self.tower(pixel_values=pixels_ICHW).last_hidden_state
        return tokens


class BlipPair(CaptionWriter, PreTrainedModel):  # type: ignore[misc]
    """Captioner and filter in one; it embeds, matches and writes."""

    config_class = BlipPairConfig
    base_model_prefix = "blip_pair"
    main_input_name = "pixels_ICHW"
    _supports_sdpa = True
    remembers: ClassVar[bool] = False
    #: Layers that are also entered by their parts, as ``decode_logits`` does.
    entered_by_parts: ClassVar[tuple[str, ...]] = ("text_encoder.encoder.layer",)

    def __init__(self, config: BlipPairConfig) -> None:
        super().__init__(config)
        text = config.text()
        width = text.hidden_size
        self.image_tower = BlipTower(config.vision())
        self.image_adapter = nn.Identity()
        self.text_encoder = BlipTextModel(text, add_pooling_layer=False)
        self.decoder_attention = nn.ModuleList(
            BlipTextAttention(text, layer_idx=number) for number in range(text.num_hidden_layers)
        )
        self.image_projection = nn.Linear(self.image_tower.width, config.projection_size)
        self.text_projection = nn.Linear(width, config.projection_size)
        self.log_logit_scale = nn.Parameter(torch.tensor(-math.log(config.start_temperature)))
        self.itm_head = nn.Linear(width, 2)
        self.lm_transform = BlipTextPredictionHeadTransform(text)
        self.lm_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, BlipPair):
            init.constant_(module.log_logit_scale, -math.log(self.config.start_temperature))
            init.zeros_(module.lm_bias)

    def tower_tokens(self, pixels_ICHW: Tensor) -> Tensor:
        """Return image tokens [I, M, D] of RGB bytes, the pooled one first."""
        like = self.image_projection.weight
        tokens: Tensor = self.image_tower(normalised(pixels_ICHW, self.config, like))
        return tokens

    def encode_images(self, pixels_ICHW: Tensor) -> Tensor:
        """Return image tokens [I, M, D] of RGB bytes, the pooled one first."""
        return self.tower_tokens(pixels_ICHW)

    def project_images(self, image_tokens_IMD: Tensor) -> Tensor:
        """Return image embeddings [I, P] of unit norm."""
        return F.normalize(self.image_projection(image_tokens_IMD[:, 0]), dim=-1)

    def encode_texts(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return text embeddings [B, P] of unit norm."""
        states = self.text_encoder(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
        return F.normalize(self.text_projection(states[:, 0]), dim=-1)

    @property
    def logit_scale(self) -> Tensor:
        """What ITC multiplies cosines by: one over the temperature."""
        return self.log_logit_scale.exp()

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Bring the temperature back into [0.001, 0.5]; call after each optimizer step."""
        self.log_logit_scale.clamp_(-math.log(MAX_TEMPERATURE), -math.log(MIN_TEMPERATURE))

    def fuse(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        image_tokens_IMD: Tensor,
        image_rows_B: Tensor | None = None,
    ) -> Tensor:
        """Return ITM logits [B, 2]: unmatched, matched; the first token is read as [ENC]."""
        grounded_BL = ids_BL.clone()
        grounded_BL[:, 0] = self.config.enc_token_id
        states = self.text_encoder(
            input_ids=grounded_BL,
            attention_mask=mask_BL,
            encoder_hidden_states=_rows(image_tokens_IMD, image_rows_B),
        )
        logits: Tensor = self.itm_head(states.last_hidden_state[:, 0])
        return logits

    def decode_logits(
        self, ids_BL: Tensor, image_tokens_IMD: Tensor, image_rows_B: Tensor | None = None
    ) -> Tensor:
        """Return logits [B, L, V] of the token after each of the given ones, [DEC] first."""
        image_tokens_BMD = _rows(image_tokens_IMD, image_rows_B)
        embeddings = self.text_encoder.embeddings
        x_BLD = embeddings(input_ids=ids_BL)
        length = ids_BL.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=ids_BL.device).triu(1)
        hidden = torch.finfo(x_BLD.dtype).min
        mask = torch.zeros(1, 1, length, length, dtype=x_BLD.dtype, device=x_BLD.device)
        mask = mask.masked_fill(later, hidden)
        layers = self.text_encoder.encoder.layer
        for layer, attention in zip(layers, self.decoder_attention, strict=True):
            x_BLD = attention(x_BLD, attention_mask=mask)[0]
            x_BLD = layer.crossattention(x_BLD, encoder_hidden_states=image_tokens_BMD)[0]
            x_BLD = layer.feed_forward_chunk(x_BLD)
        words_VD = embeddings.word_embeddings.weight
        return F.linear(self.lm_transform(x_BLD), words_VD, self.lm_bias)


def _rows(image_tokens_IMD: Tensor, rows_B: Tensor | None) -> Tensor:
    return image_tokens_IMD if rows_B is None else image_tokens_IMD[rows_B]
