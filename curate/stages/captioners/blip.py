"""Write captions with a BLIP checkpoint of transformers, from the hub or a local folder.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086), section 4: captions are sampled
from a nucleus of 0.9, because surprising captions teach more than likely ones (table 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from curate.stages.captioning import CaptionerConfig, Decoding
from curate.stages.modelling import accepting

if TYPE_CHECKING:
    from curate.models.blip import BlipCaptioner


class Config(CaptionerConfig):
    """Caption with any ``BlipForConditionalGeneration`` checkpoint.

    Attributes:
        prompt: words every caption begins with; BLIP's captioners were fine-tuned with this one.
        decoding: ``nucleus`` samples, ``greedy`` takes the likeliest token, ``beam`` searches.
        num_beams: beams of a search.
    """

    model_types: ClassVar[tuple[str, ...]] = ("blip",)

    prompt: str = "a picture of"
    decoding: Decoding = "nucleus"
    num_beams: int = Field(3, ge=1, le=64)

    def how(self) -> tuple[Decoding, int]:
        """Return the decoding and its number of beams."""
        return self.decoding, self.num_beams

    @model_validator(mode="after")
    def _beams_are_used(self) -> Self:
        if "num_beams" in self.model_fields_set and self.decoding != "beam":
            raise ValueError(f"num_beams without effect: decoding is {self.decoding}")
        return self

    def load(self) -> BlipCaptioner:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.blip import BlipCaptioner
        from curate.models.loading import choose_device, choose_dtype, open_checkpoint

        checkpoint = open_checkpoint(self.model, self.revision, self.model_types, accepting)
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return BlipCaptioner(checkpoint, self.writing(), device=device, dtype=dtype)
