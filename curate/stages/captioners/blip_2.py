"""Write captions with a BLIP-2 checkpoint of transformers.

Source: Li et al. 2023, "BLIP-2" (https://arxiv.org/abs/2301.12597), section 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.decoding import DecodingConfig

if TYPE_CHECKING:
    import torch

    from curate.models.base import Writing
    from curate.models.blip_2 import Blip2Captioner
    from curate.models.checkpoints import Checkpoint


class Config(DecodingConfig):
    """Caption with any ``Blip2ForConditionalGeneration`` checkpoint.

    Attributes:
        prompt: words every caption begins with; BLIP-2's captioners were fine-tuned with these.
    """

    model_types: ClassVar[tuple[str, ...]] = ("blip-2",)

    prompt: str = "a photo of"

    def captioner(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> Blip2Captioner:
        """Load the checkpoint.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.blip_2 import Blip2Captioner

        return Blip2Captioner(checkpoint, writing, device=device, dtype=dtype)
