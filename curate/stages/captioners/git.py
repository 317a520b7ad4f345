"""Write captions with a GIT checkpoint of transformers.

Source: Wang et al. 2022, "GIT" (https://arxiv.org/abs/2205.14100).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.decoding import DecodingConfig

if TYPE_CHECKING:
    import torch

    from curate.models.base import Writing
    from curate.models.checkpoints import Checkpoint
    from curate.models.git import GitCaptioner


class Config(DecodingConfig):
    """Caption with any ``GitForCausalLM`` checkpoint."""

    model_types: ClassVar[tuple[str, ...]] = ("git",)

    def captioner(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> GitCaptioner:
        """Load the checkpoint.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.git import GitCaptioner

        return GitCaptioner(checkpoint, writing, device=device, dtype=dtype)
