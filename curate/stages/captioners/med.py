"""Write captions with a MED checkpoint: curate-tiny, or what ``curate pretrain`` wrote.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086), sections 3.1 and 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.stages.captioning import CaptionerConfig, Decoding
from curate.stages.modelling import accepting

if TYPE_CHECKING:
    from curate.models.med_family import MedCaptioner


class Config(CaptionerConfig):
    """Caption with any MED checkpoint.

    Attributes:
        decoding: ``nucleus`` samples, ``greedy`` takes the likeliest token.
    """

    model_types: ClassVar[tuple[str, ...]] = ("med",)

    model: str = "curate-tiny"
    decoding: Literal["nucleus", "greedy"] = "nucleus"

    def how(self) -> tuple[Decoding, int]:
        """Return the decoding; there are no beams."""
        return self.decoding, 1

    def load(self) -> MedCaptioner:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.loading import choose_device, open_checkpoint
        from curate.models.med_family import MedCaptioner

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        return MedCaptioner(checkpoint, self.writing(), device=device, dtype=self.dtype)
