"""CLIP checkpoints of transformers as scorer.

Source: Radford et al. 2021, "CLIP" (https://arxiv.org/abs/2103.00020); the network is
``transformers.models.clip``. Texts of more than 77 tokens are cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from curate.models.dual_scorer import DualScorer
from curate.models.picture_processing import CLIP_MEAN, CLIP_STD

#: The processor that CLIP and its descendants share: the shorter side, then the middle.
CLIP_PICTURES: Mapping[str, Any] = {
    **{"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True},
    **{"image_mean": CLIP_MEAN, "image_std": CLIP_STD},
}


class ClipScorer(DualScorer):
    """Scores texts with a ``CLIPModel`` checkpoint: ITC."""

    network = "CLIPModel"
    picture_defaults: ClassVar[Mapping[str, Any]] = CLIP_PICTURES
    number_is_square = False
