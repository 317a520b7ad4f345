"""CoCa: contrast and captions from one pass over image and text.

Source: Yu et al. 2022, "CoCa" (https://arxiv.org/abs/2205.01917).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.pretrain.architectures._base import ArchitectureConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Config(ArchitectureConfig):
    """Settings of CoCa; those of the network are ``start.model`` (``CocaConfig``)."""

    can: ClassVar[frozenset[str]] = frozenset({"write"})
    kind: Literal["coca"] = "coca"

    def model_class(self) -> type[PreTrainedModel]:
        """Return ``CocaModel``."""
        from curate.models.coca import CocaModel

        return CocaModel
