"""Score texts with an ALIGN checkpoint of transformers: ITC.

Source: Jia et al. 2021, "ALIGN" (https://arxiv.org/abs/2102.05918).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.align import AlignScorer


class Config(EmbeddingScorerConfig):
    """Score with any ``AlignModel`` checkpoint; texts beyond 64 tokens are cut.

    Where ``dtype`` is ``auto`` it computes in float32: the stored statistics of its convolutional
    tower do not survive bfloat16.
    """

    model_types: ClassVar[tuple[str, ...]] = ("align",)
    scores: ClassVar[tuple[str, ...]] = ("itc",)

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its projections."""
        return int(config.get("projection_dim", 640))

    def load(self) -> AlignScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.align import AlignScorer
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype("float32" if self.dtype == "auto" else self.dtype, device)
        return AlignScorer(checkpoint, device=device, dtype=dtype)
