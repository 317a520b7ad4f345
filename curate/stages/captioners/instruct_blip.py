"""Write captions with an InstructBLIP checkpoint of transformers.

Source: Dai et al. 2023, "InstructBLIP" (https://arxiv.org/abs/2305.06500), appendix C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.decoding import DecodingConfig

if TYPE_CHECKING:
    import torch

    from curate.models.base import Writing
    from curate.models.checkpoints import Checkpoint
    from curate.models.instruct_blip import InstructBlipCaptioner


class Config(DecodingConfig):
    """Caption with any ``InstructBlipForConditionalGeneration`` checkpoint.

    Attributes:
        prompt: what is asked; the Q-Former reads it too. This is how its authors ask for captions.
    """

    model_types: ClassVar[tuple[str, ...]] = ("instructblip",)

    prompt: str = "A short image description:"

    def captioner(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> InstructBlipCaptioner:
        """Load the checkpoint.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.instruct_blip import InstructBlipCaptioner

        return InstructBlipCaptioner(checkpoint, writing, device=device, dtype=dtype)
