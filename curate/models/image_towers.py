"""The image towers of MED: pixels to tokens, the pooled token first.

Shapes: B batch, C channels, H height, W width, L tokens, D width of a token.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from curate.models.efficientnet_lite import EfficientNetLite
from curate.models.med_config import MedConfig


class VisionTransformer(nn.Module):
    """A ViT whose [CLS] token is the pooled one."""

    knows_positions = True

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.vit = ViTModel(config, add_pooling_layer=False)
        self.width: int = config.hidden_size
        self.num_tokens: int = 1 + (config.image_size // config.patch_size) ** 2

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Map normalised pixels [B, 3, H, W] to tokens [B, L, D]."""
        tokens_BLD: Tensor = self.vit(pixel_values=pixels_BCHW).last_hidden_state
        return tokens_BLD


ImageTower = EfficientNetLite | VisionTransformer


def build_tower(config: MedConfig) -> ImageTower:
    """Build the tower a MED config asks for, with new weights."""
    if config.image_tower == "vit":
        return VisionTransformer(
            ViTConfig(**{**(config.tower_config or {}), "image_size": config.image_size})
        )
    return EfficientNetLite(config.image_size)
