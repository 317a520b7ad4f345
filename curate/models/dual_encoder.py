"""Dual encoders: CLIP, SigLIP, ALIGN and BriVL are two towers that meet in one space.

The towers are those of transformers (ViT and CLIP and SigLIP for images, BERT and CLIP and SigLIP
for texts) or EfficientNet-Lite0; with both of CLIP or both of SigLIP the model is the very one of
transformers. Source: Radford et al. 2021, "CLIP" (https://arxiv.org/abs/2103.00020); Zhai et al.
2023, "SigLIP" (https://arxiv.org/abs/2303.15343); Jia et al. 2021, "ALIGN"
(https://arxiv.org/abs/2102.05918).

Shapes: B texts, I images, C channels, H height, W width, L text tokens, M image tokens, D width of
a tower, P projection.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedConfig,
    PreTrainedModel,
    SiglipTextConfig,
    SiglipTextModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
)
from transformers import initialization as init

from curate.models.efficientnet_lite import EfficientNetLite
from curate.models.image_towers import VisionTransformer
from curate.models.pair_model import normalised

IMAGE_TOWERS = ("efficientnet_lite", "vit", "clip", "siglip")
TEXT_TOWERS = ("bert", "clip", "siglip")


class DualEncoderConfig(PreTrainedConfig):  # type: ignore[misc]
    """What a dual encoder is, and how its pictures are prepared.

    A picture is squashed to ``image_size`` x ``image_size`` RGB bytes and normalised on the device
    as ``(byte - image_mean) / image_std``.

    Attributes:
        image_tower: ``efficientnet_lite``, ``vit``, ``clip`` or ``siglip``.
        tower_config: settings of the image tower, those of its config class in transformers.
        text_tower: ``bert``, ``clip`` or ``siglip``.
        text_config: settings of the text tower, those of its config class in transformers.
        image_size: side of the picture, pixels.
        image_mean: subtracted from the bytes, one per channel, in 0..255.
        image_std: divides, one per channel, in 0..255.
        vocab_size: entries of the vocabulary.
        max_text_tokens: longest text, special tokens included; SigLIP's tower pads all to it.
        projection_size: width of the common space; with SigLIP's image tower that tower's width.
        start_temperature: of a new model; SigLIP takes 0.1.
        start_bias: of a new model; SigLIP takes -10. Only the pairwise sigmoid reads it.
        max_logit_scale: what cosines are multiplied by at most.
    """

    model_type = "dual_encoder"

    image_tower: str = "clip"
    tower_config: dict[str, Any] | None = None
    text_tower: str = "clip"
    text_config: dict[str, Any] | None = None
    image_size: int = 224
    image_mean: list[float] | None = None
    image_std: list[float] | None = None
    vocab_size: int = 30524
    max_text_tokens: int = 64
    projection_size: int = 512
    start_temperature: float = 0.07
    start_bias: float = -10.0
    max_logit_scale: float = 100.0
    pad_token_id: int = 0
    unk_token_id: int = 1
    cls_token_id: int = 2
    sep_token_id: int = 3
    mask_token_id: int = 4
    enc_token_id: int = 5
    dec_token_id: int = 6

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in what depends on other settings, and check them.

        Raises:
            ValueError: a setting outside its range.
        """
        self.tower_config = dict(self.tower_config or {})
        self.text_config = dict(self.text_config or {})
        self.image_mean = list(self.image_mean or [127.5] * 3)
        self.image_std = list(self.image_std or [127.5] * 3)
        if self.image_tower not in IMAGE_TOWERS:
            raise ValueError(
                f"image_tower is {self.image_tower!r}; one of {', '.join(IMAGE_TOWERS)}"
            )
        if self.text_tower not in TEXT_TOWERS:
            raise ValueError(f"text_tower is {self.text_tower!r}; one of {', '.join(TEXT_TOWERS)}")
        super().__post_init__(**kwargs)


class ClipImages(nn.Module):
    """CLIP's image tower; the pooled token comes first."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        # older transformers wrap the tower once more
        self.tower = _inner(CLIPVisionModel(config), "vision_model")
        self.width: int = config.hidden_size
        self.num_tokens: int = 1 + (config.image_size // config.patch_size) ** 2

    def forward(self, pixels_ICHW: Tensor) -> Tensor:
        """Map normalised pixels [I, 3, H, W] to tokens [I, M, D]."""
        out = self.tower(pixel_values=pixels_ICHW)
        return torch.cat([out.pooler_output[:, None], out.last_hidden_state[:, 1:]], 1)


class SiglipImages(nn.Module):
    """SigLIP's image tower; what its attention pooling makes comes first."""

    def __init__(self, config: SiglipVisionConfig) -> None:
        super().__init__()
        self.tower = _inner(SiglipVisionModel(config), "vision_model")
        self.width: int = config.hidden_size
        self.num_tokens: int = 1 + (config.image_size // config.patch_size) ** 2

    def forward(self, pixels_ICHW: Tensor) -> Tensor:
        """Map normalised pixels [I, 3, H, W] to tokens [I, M, D]."""
        out = self.tower(pixel_values=pixels_ICHW)
        return torch.cat([out.pooler_output[:, None], out.last_hidden_state], 1)


class BertTexts(nn.Module):
    """BERT; a text is its first token's state."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.tower = BertModel(config, add_pooling_layer=False)
        self.width: int = config.hidden_size

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return [B, D]."""
        out = self.tower(input_ids=ids_BL, attention_mask=mask_BL)
        pooled: Tensor = out.last_hidden_state[:, 0]
        return pooled


class ClipTexts(nn.Module):
    """CLIP's text tower, which reads forwards; a text is its end token's state."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.tower = _inner(CLIPTextModel(config), "text_model")
        self.width: int = config.hidden_size

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return [B, D]."""
        pooled: Tensor = self.tower(input_ids=ids_BL, attention_mask=mask_BL).pooler_output
        return pooled


class SiglipTexts(nn.Module):
    """SigLIP's text tower: every text padded to one length, no mask, the last token's state."""

    def __init__(self, config: SiglipTextConfig) -> None:
        super().__init__()
        self.tower = _inner(SiglipTextModel(config), "text_model")
        self.width: int = config.projection_size
        self.length: int = config.max_position_embeddings
        self.pad_id: int = config.pad_token_id

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return [B, D]."""
        del mask_BL
        padded = F.pad(ids_BL, (0, self.length - ids_BL.shape[1]), value=self.pad_id)
        pooled: Tensor = self.tower(input_ids=padded).pooler_output
        return pooled


def _inner(model: Any, name: str) -> Any:
    return getattr(model, name, model)


class DualEncoder(PreTrainedModel):  # type: ignore[misc]
    """Two towers, two projections, a temperature and a bias."""

    config_class = DualEncoderConfig
    base_model_prefix = "dual_encoder"
    main_input_name = "pixels_ICHW"
    _supports_sdpa = True

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__(config)
        self.image_tower = build_image_tower(config)
        self.image_adapter = nn.Identity()
        self.text_tower = build_text_tower(config)
        # SigLIP's towers end in heads of their own
        ends = config.image_tower == "siglip", config.text_tower == "siglip"
        size = config.projection_size
        self.image_projection = _projection(self.image_tower.width, size, ends=ends[0])
        self.text_projection = _projection(self.text_tower.width, size, ends=ends[1])
        self.log_logit_scale = nn.Parameter(torch.tensor(-math.log(config.start_temperature)))
        self.bias = nn.Parameter(torch.tensor(float(config.start_bias)))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self.image_projection or module is self.text_projection:
            if isinstance(module, nn.Linear):
                init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5)
        elif isinstance(module, DualEncoder):
            init.constant_(module.log_logit_scale, -math.log(self.config.start_temperature))
            init.constant_(module.bias, self.config.start_bias)
        elif isinstance(module, nn.Conv2d) and self.config.image_tower == "efficientnet_lite":
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def tower_tokens(self, pixels_ICHW: Tensor) -> Tensor:
        """Return the image tower's tokens [I, M, D] of RGB bytes, the pooled one first."""
        like = self.log_logit_scale
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
        return F.normalize(self.text_projection(self.text_tower(ids_BL, mask_BL)), dim=-1)

    @property
    def logit_scale(self) -> Tensor:
        """What cosines are multiplied by."""
        return self.log_logit_scale.exp()

    @property
    def logit_bias(self) -> Tensor:
        """What the pairwise sigmoid adds to scaled cosines."""
        return self.bias

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Bring the scale back below its most; call after each optimizer step."""
        self.log_logit_scale.clamp_(max=math.log(self.config.max_logit_scale))


def build_image_tower(config: DualEncoderConfig) -> Any:
    """Build the image tower a config asks for, with new weights."""
    if config.image_tower == "efficientnet_lite":
        return EfficientNetLite(config.image_size)
    settings = {**(config.tower_config or {}), "image_size": config.image_size}
    if config.image_tower == "vit":
        return VisionTransformer(ViTConfig(**settings))
    if config.image_tower == "clip":
        return ClipImages(CLIPVisionConfig(**settings))
    return SiglipImages(SiglipVisionConfig(**settings))


def build_text_tower(config: DualEncoderConfig) -> Any:
    """Build the text tower a config asks for, with new weights."""
    settings = {
        **{"vocab_size": config.vocab_size, "max_position_embeddings": config.max_text_tokens},
        **{"pad_token_id": config.pad_token_id, **(config.text_config or {})},
    }
    if config.text_tower == "bert":
        return BertTexts(BertConfig(**settings))
    ids = {"bos_token_id": config.cls_token_id, "eos_token_id": config.sep_token_id}
    if config.text_tower == "clip":
        return ClipTexts(CLIPTextConfig(**settings, **ids))
    return SiglipTexts(SiglipTextConfig(**settings, **ids, projection_size=config.projection_size))


def _projection(width: int, size: int, *, ends: bool) -> nn.Module:
    if ends:
        if width != size:
            raise ValueError(f"projection_size is {size}, but SigLIP's tower is {width} wide")
        return nn.Identity()
    return nn.Linear(width, size, bias=False)
