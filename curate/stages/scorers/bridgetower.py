"""Score texts with a BridgeTower checkpoint of transformers: ITM.

Source: Xu et al. 2022, "BridgeTower" (https://arxiv.org/abs/2206.08657).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import ScorerConfig

if TYPE_CHECKING:
    from curate.models.bridgetower import BridgeTowerScorer


class Config(ScorerConfig):
    """Score with any ``BridgeTowerForImageAndTextRetrieval`` checkpoint.

    Texts beyond 50 tokens are cut, as in its training.
    """

    model_types: ClassVar[tuple[str, ...]] = ("bridgetower",)
    scores: ClassVar[tuple[str, ...]] = ("itm",)

    def load(self) -> BridgeTowerScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.bridgetower import BridgeTowerScorer
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return BridgeTowerScorer(checkpoint, device=device, dtype=dtype)
