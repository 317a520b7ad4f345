"""ALIGN checkpoints of transformers as scorer.

Source: Jia et al. 2021, "ALIGN" (https://arxiv.org/abs/2102.05918), section 4.1: an EfficientNet
and a BERT, trained on texts of at most 64 tokens; the network is ``transformers.models.align``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from curate.models.dual_scorer import DualScorer


class AlignScorer(DualScorer):
    """Scores texts with an ``AlignModel`` checkpoint: ITC."""

    network = "AlignModel"
    picture_defaults: ClassVar[Mapping[str, Any]] = {
        **{"size": {"height": 346, "width": 346}, "crop_size": 289},
        **{"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5), "include_top": True},
    }
    most_tokens = 64

    def _image_side(self) -> None:
        """Any: the tower is convolutional, and its config's size is not the processor's."""
        return
