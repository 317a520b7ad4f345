"""Score texts with a MED checkpoint: curate-tiny, or what ``curate pretrain`` wrote.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086), sections 3.1 and 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import ScorerConfig

if TYPE_CHECKING:
    from curate.models.med_family import MedScorer


class Config(ScorerConfig):
    """Score with any MED checkpoint; its ITM reads [ENC] first, as it was trained."""

    model_types: ClassVar[tuple[str, ...]] = ("med",)

    model: str = "curate-tiny"

    def load(self) -> MedScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.loading import choose_device, open_checkpoint
        from curate.models.med_family import MedScorer

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        return MedScorer(checkpoint, device=choose_device(self.device), dtype=self.dtype)
