"""Score texts with a MED checkpoint: curate-tiny, or what ``curate pretrain`` wrote.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086), sections 3.1 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from curate.core.resources import Resources
from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.med_family import MedScorer


class Config(EmbeddingScorerConfig):
    """Score with any MED checkpoint; its ITM reads [ENC] first, as it was trained.

    Attributes:
        share_with: name of a ``med`` captioner of the same checkpoint that stands before this
            scorer in one leg: pictures that it has encoded are not encoded again. A filter with
            the captioner's weights agrees with it too often (BLIP, table 4), so this is for tests
            of a pipeline and for machines that are short of time.
    """

    model_types: ClassVar[tuple[str, ...]] = ("med",)

    model: str = "curate-tiny"
    share_with: str | None = Field(None, min_length=1)

    @property
    def beside(self) -> str | None:
        """The captioner that is shared with."""
        return self.share_with

    @property
    def resources(self) -> Resources:
        """Those of a scorer, or the captioner's where one is shared with: one worker for both."""
        own = super().resources
        if self.share_with is None:
            return own
        return replace(own, key=own.key.replace(self.family, "captioners", 1))

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
