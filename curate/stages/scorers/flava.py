"""Score texts with a FLAVA checkpoint of transformers: ITC and ITM.

Source: Singh et al. 2022, "FLAVA" (https://arxiv.org/abs/2112.04482).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.flava import FlavaScorer


class Config(EmbeddingScorerConfig):
    """Score with any ``FlavaForPreTraining`` checkpoint; texts beyond 77 tokens are cut."""

    model_types: ClassVar[tuple[str, ...]] = ("flava",)

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its projections."""
        return int(config.get("projection_dim", 768))

    def load(self) -> FlavaScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.flava import FlavaScorer
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return FlavaScorer(checkpoint, device=device, dtype=dtype)
