"""Score texts with a BLIP checkpoint of transformers: ITC and ITM from one pass over an image.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086), section 4: the filter is an
image-grounded text encoder fine-tuned with ITC and ITM, apart from the captioner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.stages.modelling import accepting
from curate.stages.scoring import EmbeddingScorerConfig

if TYPE_CHECKING:
    from curate.models.blip import BlipScorer


class Config(EmbeddingScorerConfig):
    """Score with any ``BlipForImageTextRetrieval`` checkpoint.

    Attributes:
        itm_token: the first token that ITM reads. ``cls`` is what transformers' own forward reads;
            ``enc`` is what BLIP was trained with. Checkpoints differ in which they want: score a
            few matched and shuffled texts both ways and take the one that tells them apart.
    """

    model_types: ClassVar[tuple[str, ...]] = ("blip",)

    itm_token: Literal["cls", "enc"] = "cls"

    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of its projections."""
        return int(config.get("image_text_hidden_size", 256))

    def load(self) -> BlipScorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.blip import BlipScorer
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return BlipScorer(checkpoint, device=device, dtype=dtype, itm_token=self.itm_token)
