"""Write captions with a Florence-2 checkpoint of transformers.

Source: Xiao et al. 2023, "Florence-2" (https://arxiv.org/abs/2311.06242), section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.stages.decoding import DecodingConfig

if TYPE_CHECKING:
    import torch

    from curate.models.base import Writing
    from curate.models.checkpoints import Checkpoint
    from curate.models.florence_2 import Florence2Captioner


class Config(DecodingConfig):
    """Caption with any ``Florence2ForConditionalGeneration`` checkpoint.

    Attributes:
        prompt: the task; raise ``max_tokens`` for the longer captions.
    """

    model_types: ClassVar[tuple[str, ...]] = ("florence2",)

    prompt: Literal["<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>"] = "<CAPTION>"

    def captioner(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> Florence2Captioner:
        """Load the checkpoint.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.florence_2 import Florence2Captioner

        return Florence2Captioner(checkpoint, writing, device=device, dtype=dtype)
