"""Score texts with a CLIP checkpoint of transformers: ITC.

Source: Radford et al. 2021, "CLIP" (https://arxiv.org/abs/2103.00020). A threshold on its cosine is
how LAION and DataComp were filtered (https://arxiv.org/abs/2304.14108, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.clip import ClipScorer


class Config(EmbeddingScorerConfig):
    """Score with any ``CLIPModel`` checkpoint; texts beyond 77 tokens are cut."""

    model_types: ClassVar[tuple[str, ...]] = ("clip",)
    scores: ClassVar[tuple[str, ...]] = ("itc",)

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its projections."""
        return int(config.get("projection_dim", 512))

    def load(self) -> ClipScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.clip import ClipScorer
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return ClipScorer(checkpoint, device=device, dtype=dtype)
