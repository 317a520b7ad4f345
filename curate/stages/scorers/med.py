"""Score texts with a MED checkpoint: curate-tiny, or what ``curate pretrain`` wrote.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086), sections 3.1 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.med_family import MedScorer


class Config(EmbeddingScorerConfig):
    """Score with any MED checkpoint; its ITM reads [ENC] first, as it was trained."""

    model_types: ClassVar[tuple[str, ...]] = ("med",)

    model: str = "curate-tiny"

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its projections."""
        return int(config.get("projection_size", 256))

    def load(self) -> MedScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.loading import choose_device, open_checkpoint
        from curate.models.med_family import MedScorer

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        return MedScorer(checkpoint, device=choose_device(self.device), dtype=self.dtype)
