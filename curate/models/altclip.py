"""AltCLIP checkpoints of transformers as scorer.

Source: Chen et al. 2022, "AltCLIP" (https://arxiv.org/abs/2211.06679): CLIP's vision tower, with a
multilingual XLM-R in place of its text tower, trained on texts of at most 77 tokens; the network is
``transformers.models.altclip``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from curate.models.clip import CLIP_PICTURES
from curate.models.dual_scorer import DualScorer


class AltClipScorer(DualScorer):
    """Scores texts with an ``AltCLIPModel`` checkpoint: ITC."""

    network = "AltCLIPModel"
    picture_defaults: ClassVar[Mapping[str, Any]] = CLIP_PICTURES
    number_is_square = False
    most_tokens = 77

    def _text_positions(self) -> int:
        """Return the positions: RoBERTa's begin behind the one of its padding token."""
        text = self._model.config.text_config
        return int(text.max_position_embeddings) - int(text.pad_token_id) - 1
