"""Score texts of several languages with an AltCLIP checkpoint of transformers: ITC.

Source: Chen et al. 2022, "AltCLIP" (https://arxiv.org/abs/2211.06679).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.altclip import AltClipScorer


class Config(EmbeddingScorerConfig):
    """Score with any ``AltCLIPModel`` checkpoint; texts beyond 77 tokens are cut."""

    model_types: ClassVar[tuple[str, ...]] = ("altclip",)
    scores: ClassVar[tuple[str, ...]] = ("itc",)

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its projections."""
        return int(config.get("projection_dim", 768))

    def load(self) -> AltClipScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.altclip import AltClipScorer
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return AltClipScorer(checkpoint, device=device, dtype=dtype)
