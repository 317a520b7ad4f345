"""Write captions with a CoCa checkpoint that ``curate pretrain`` wrote.

Source: Yu et al. 2022, "CoCa" (https://arxiv.org/abs/2205.01917).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from curate.stages.captioners.med import Config as MedConfig
from curate.stages.modelling import accepting

if TYPE_CHECKING:
    from curate.models.coca_family import CocaCaptioner


class Config(MedConfig):
    """Caption with any CoCa checkpoint of ``curate pretrain``; settings as of ``med``."""

    model_types: ClassVar[tuple[str, ...]] = ("coca",)

    model: str = Field(min_length=1)

    def load(self) -> CocaCaptioner:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.coca_family import CocaCaptioner
        from curate.models.loading import choose_device, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        return CocaCaptioner(checkpoint, self.writing(), device=device, dtype=self.dtype)
