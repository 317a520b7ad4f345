"""Score texts with a BLIP-2 checkpoint of transformers: ITC and ITM.

Source: Li et al. 2023, "BLIP-2" (https://arxiv.org/abs/2301.12597).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import ScorerConfig

if TYPE_CHECKING:
    from curate.models.blip_2_scorer import Blip2Scorer


class Config(ScorerConfig):
    """Score with any ``Blip2ForImageTextRetrieval`` checkpoint, ``Salesforce/blip2-itm-vit-g`` say.

    Texts beyond 32 tokens are cut, as in its training. There is no ``embed``: it has 32 vectors for
    an image and no single one.
    """

    model_types: ClassVar[tuple[str, ...]] = ("blip-2",)

    def load(self) -> Blip2Scorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.blip_2_scorer import Blip2Scorer
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return Blip2Scorer(checkpoint, device=device, dtype=dtype)
