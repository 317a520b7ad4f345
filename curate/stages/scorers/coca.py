"""Score texts with a CoCa checkpoint that ``curate pretrain`` wrote: ITC.

Source: Yu et al. 2022, "CoCa" (https://arxiv.org/abs/2205.01917).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.coca_family import CocaScorer


class Config(EmbeddingScorerConfig):
    """Score with any CoCa checkpoint of ``curate pretrain``."""

    model_types: ClassVar[tuple[str, ...]] = ("coca",)
    scores: ClassVar[tuple[str, ...]] = ("itc",)

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its projections."""
        return int(config.get("projection_size", 256))

    def load(self) -> CocaScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.coca_family import CocaScorer
        from curate.models.loading import choose_device, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        return CocaScorer(checkpoint, device=choose_device(self.device), dtype=self.dtype)
