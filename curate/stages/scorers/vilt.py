"""Score texts with a ViLT checkpoint of transformers: ITM.

Source: Kim et al. 2021, "ViLT" (https://arxiv.org/abs/2102.03334).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import ScorerConfig

if TYPE_CHECKING:
    from curate.models.vilt import ViltScorer


class Config(ScorerConfig):
    """Score with any ``ViltForImageAndTextRetrieval`` checkpoint; texts beyond 40 tokens are cut.

    Its head was fine-tuned to rank the texts of one image: 0.5 is no natural threshold, so look for
    one with canaries. One stream reads image and text together, so all but the patches' embedding
    is computed for each pair.
    """

    model_types: ClassVar[tuple[str, ...]] = ("vilt",)
    scores: ClassVar[tuple[str, ...]] = ("itm",)

    def load(self) -> ViltScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint
        from curate.models.vilt import ViltScorer

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return ViltScorer(checkpoint, device=device, dtype=dtype)
