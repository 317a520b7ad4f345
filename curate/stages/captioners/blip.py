"""Write captions with a BLIP checkpoint of transformers, from the hub or a local folder.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086), section 4: captions are sampled
from a nucleus of 0.9, because surprising captions teach more than likely ones (table 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.decoding import DecodingConfig

if TYPE_CHECKING:
    import torch

    from curate.models.base import Writing
    from curate.models.blip import BlipCaptioner
    from curate.models.checkpoints import Checkpoint


class Config(DecodingConfig):
    """Caption with any ``BlipForConditionalGeneration`` checkpoint.

    Attributes:
        prompt: words every caption begins with; BLIP's captioners were fine-tuned with this one.
    """

    model_types: ClassVar[tuple[str, ...]] = ("blip",)

    prompt: str = "a picture of"

    def captioner(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> BlipCaptioner:
        """Load the checkpoint.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.blip import BlipCaptioner

        return BlipCaptioner(checkpoint, writing, device=device, dtype=dtype)
