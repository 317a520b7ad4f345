"""Settings of captioners whose checkpoints transformers can search with: nucleus, greedy, beams."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from curate.models.checkpoints import check_folder, fetch
from curate.stages.captioning import CaptionerConfig, Decoding
from curate.stages.modelling import accepting

if TYPE_CHECKING:
    import torch

    from curate.models.base import Captioner, Writing
    from curate.models.checkpoints import Checkpoint


class DecodingConfig(CaptionerConfig):
    """Settings of every captioner of transformers.

    Attributes:
        decoding: ``nucleus`` samples, ``greedy`` takes the likeliest token, ``beam`` searches.
        num_beams: beams of a search.
    """

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

    def load(self) -> Captioner:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.loading import choose_device, choose_dtype

        checkpoint = self.fetched()
        self.require(checkpoint)
        device = choose_device(self.device)
        return self.captioner(
            checkpoint, self.writing(), device=device, dtype=choose_dtype(self.dtype, device)
        )

    def fetched(self) -> Checkpoint:
        """Bring the checkpoint to this machine.

        Raises:
            ModelError: it is not there, or the hub cannot be reached and nothing is cached.
        """
        return fetch(self.model, self.revision)

    def require(self, checkpoint: Checkpoint) -> None:
        """Check that a checkpoint is one this stage can load.

        Raises:
            ModelError: another family, or no safetensors.
        """
        check_folder(checkpoint.folder, self.model_types, accepting)

    @abstractmethod
    def captioner(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> Captioner:
        """Load the family's captioner from a checked checkpoint.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
