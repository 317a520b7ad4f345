"""ALBEF: a dual stream, image and text aligned before they are fused.

An image tower; text layers that read the text alone, whose first token is compared with the image
(ITC); fusion layers on top, which look at the image (ITM, MLM). Source: Li et al. 2021, "ALBEF",
section 3.1 (https://arxiv.org/abs/2107.07651).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from curate.models.fusion_layers import FusionText
from curate.models.med import MedModel
from curate.models.med_config import MedConfig


class AlbefConfig(MedConfig):
    """What an ALBEF checkpoint is: MED's settings, where ``num_hidden_layers`` read the text alone.

    Attributes:
        num_fusion_layers: layers on top of them that look at the image.
    """

    model_type = "albef"

    num_fusion_layers: int = 3

    def __post_init__(self, **kwargs: Any) -> None:
        """Check the settings; ITM reads [CLS], which the text layers have seen.

        Raises:
            ValueError: a setting outside its range.
        """
        if self.num_fusion_layers < 1:
            raise ValueError(f"num_fusion_layers is {self.num_fusion_layers}; at least 1")
        self.enc_token_id = self.cls_token_id
        super().__post_init__(**kwargs)


class AlbefModel(MedModel):
    """The dual stream; it embeds, matches and unmasks, and writes no captions."""

    config_class = AlbefConfig
    base_model_prefix = "albef"

    def _build_text(self, config: MedConfig) -> nn.Module:
        assert isinstance(config, AlbefConfig)
        return FusionText(config, num_looking=config.num_fusion_layers)
