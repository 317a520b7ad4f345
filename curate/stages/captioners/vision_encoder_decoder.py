"""Write captions with a vision encoder-decoder of transformers, such as ViT-GPT2.

Source: Li et al. 2021, "TrOCR" (https://arxiv.org/abs/2109.10282), section 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.decoding import DecodingConfig

if TYPE_CHECKING:
    import torch

    from curate.models.base import Writing
    from curate.models.checkpoints import Checkpoint
    from curate.models.vision_encoder_decoder import VisionEncoderDecoderCaptioner


class Config(DecodingConfig):
    """Caption with any ``VisionEncoderDecoderModel`` checkpoint."""

    model_types: ClassVar[tuple[str, ...]] = ("vision-encoder-decoder",)

    def captioner(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> VisionEncoderDecoderCaptioner:
        """Load the checkpoint.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.vision_encoder_decoder import VisionEncoderDecoderCaptioner

        return VisionEncoderDecoderCaptioner(checkpoint, writing, device=device, dtype=dtype)
