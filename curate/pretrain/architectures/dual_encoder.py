"""Two towers that meet in one space: CLIP, SigLIP, ALIGN, BriVL.

Source: Radford et al. 2021, "CLIP", section 2.3 (https://arxiv.org/abs/2103.00020).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.pretrain.architectures._base import ArchitectureConfig, BertWeights

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel


class Config(ArchitectureConfig):
    """Settings of dual encoders; those of the network are ``start.model``."""

    can: ClassVar[frozenset[str]] = frozenset({"bias"})
    kind: Literal["dual_encoder"] = "dual_encoder"

    def model_class(self) -> type[PreTrainedModel]:
        """Return ``DualEncoder``."""
        from curate.models.dual_encoder import DualEncoder

        return DualEncoder

    def text_settings(self, bert: dict[str, Any], *, num_layers: int) -> dict[str, Any]:
        """Return the settings of a BERT tower."""
        return {
            "text_tower": "bert",
            "text_config": super().text_settings(bert, num_layers=num_layers),
        }

    def text_state(self, model: PairModel, bert: BertWeights) -> dict[str, Tensor]:
        """Return a BERT's weights by the names of the text tower."""
        return bert_names(bert, "text_tower.tower.", num_positions=model.config.max_text_tokens)

    def exports(self, config: Any) -> bool:
        """Whether transformers has it: where both towers are CLIP's, or both SigLIP's."""
        return bool(config.image_tower == config.text_tower)

    def export(
        self, model: PairModel, tokenizer: PreTrainedTokenizerFast, folder: Path
    ) -> dict[str, Path]:
        """Write a ``CLIPModel`` or a ``SiglipModel`` where both towers are of that kind."""
        from curate.models.dual_encoder_export import export_dual_encoder

        return export_dual_encoder(model, tokenizer, folder)


def bert_names(bert: BertWeights, prefix: str, *, num_positions: int) -> dict[str, Tensor]:
    """Return a BERT's weights by BERT's own names, for the chosen layers and word pieces."""
    state = {
        f"{prefix}embeddings.word_embeddings.weight": bert.words(),
        # the one kind of text is added to the positions, and so is zero by itself
        f"{prefix}embeddings.position_embeddings.weight": bert.positions(num_positions),
    }
    kinds = bert.weights["embeddings.token_type_embeddings.weight"]
    state[f"{prefix}embeddings.token_type_embeddings.weight"] = kinds * 0
    state |= bert.pair("embeddings.LayerNorm", f"{prefix}embeddings.LayerNorm")
    for ours, theirs in enumerate(bert.layers):
        old = f"encoder.layer.{theirs}."
        state |= {
            f"{prefix}encoder.layer.{ours}.{name.removeprefix(old)}": value
            for name, value in bert.weights.items()
            if name.startswith(old)
        }
    return state
