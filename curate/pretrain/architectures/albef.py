"""ALBEF: image and text aligned before they are fused, a dual stream.

Source: Li et al. 2021, "ALBEF" (https://arxiv.org/abs/2107.07651).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.pretrain.architectures._base import ArchitectureConfig, BertWeights
from curate.pretrain.architectures.med import text_layers

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.models.pair_model import PairModel


class Config(ArchitectureConfig):
    """Settings of ALBEF; those of the network are ``start.model`` (``AlbefConfig``)."""

    can: ClassVar[frozenset[str]] = frozenset({"match", "unmask"})
    kind: Literal["albef"] = "albef"

    def model_class(self) -> type[PreTrainedModel]:
        """Return ``AlbefModel``."""
        from curate.models.albef import AlbefModel

        return AlbefModel

    def text_settings(self, bert: dict[str, Any], *, num_layers: int) -> dict[str, Any]:
        """Split a BERT's layers: the lower half reads, the upper half looks, as ALBEF does."""
        settings = super().text_settings(bert, num_layers=num_layers)
        looking = num_layers // 2
        return settings | {
            "num_hidden_layers": num_layers - looking,
            "num_fusion_layers": looking,
        }

    def text_state(self, model: PairModel, bert: BertWeights) -> dict[str, Tensor]:
        """Return a BERT's weights by ALBEF's names."""
        return text_layers(bert, model, uses=("encoder_attention",))
