"""Chinese-CLIP checkpoints of transformers as scorer.

Source: Yang et al. 2022, "Chinese CLIP" (https://arxiv.org/abs/2211.01335), section 2: CLIP's
vision tower and a Chinese RoBERTa, trained on texts of at most 52 tokens; the network is
``transformers.models.chinese_clip``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from curate.models.clip import CLIP_PICTURES
from curate.models.dual_scorer import DualScorer


class ChineseClipScorer(DualScorer):
    """Scores texts with a ``ChineseCLIPModel`` checkpoint: ITC."""

    network = "ChineseCLIPModel"
    picture_defaults: ClassVar[Mapping[str, Any]] = CLIP_PICTURES
    number_is_square = False
    most_tokens = 52
