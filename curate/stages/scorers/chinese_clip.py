"""Score Chinese texts with a Chinese-CLIP checkpoint of transformers: ITC.

Source: Yang et al. 2022, "Chinese CLIP" (https://arxiv.org/abs/2211.01335).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.chinese_clip import ChineseClipScorer


class Config(EmbeddingScorerConfig):
    """Score with any ``ChineseCLIPModel`` checkpoint; texts beyond 52 tokens are cut."""

    model_types: ClassVar[tuple[str, ...]] = ("chinese_clip",)
    scores: ClassVar[tuple[str, ...]] = ("itc",)

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its projections."""
        return int(config.get("projection_dim", 512))

    def load(self) -> ChineseClipScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.chinese_clip import ChineseClipScorer
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return ChineseClipScorer(checkpoint, device=device, dtype=dtype)
