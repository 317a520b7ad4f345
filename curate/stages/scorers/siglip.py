"""Score texts with a SigLIP or SigLIP 2 checkpoint of transformers: ITC.

Source: Zhai et al. 2023, "SigLIP" (https://arxiv.org/abs/2303.15343); Tschannen et al. 2025,
"SigLIP 2" (https://arxiv.org/abs/2502.14786).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.siglip import SiglipScorer


class Config(EmbeddingScorerConfig):
    """Score with any ``SiglipModel`` or ``Siglip2Model`` checkpoint.

    SigLIP 2 checkpoints for pictures of a fixed size are of type ``siglip``, NaFlex ones of type
    ``siglip2``; either is found by its config.json. Texts are lower-cased, padded to 64 tokens and
    cut beyond. ITC is the cosine; the model's own probability rises with it.
    """

    model_types: ClassVar[tuple[str, ...]] = ("siglip", "siglip2")
    scores: ClassVar[tuple[str, ...]] = ("itc",)

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its towers: there is no projection."""
        return int(config.get("vision_config", {}).get("hidden_size", 768))

    def load(self) -> SiglipScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint
        from curate.models.siglip import NaflexScorer, SiglipScorer

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        said = checkpoint.read_json("config.json") or {}
        scorer = NaflexScorer if said.get("model_type") == "siglip2" else SiglipScorer
        return scorer(checkpoint, device=device, dtype=dtype)
