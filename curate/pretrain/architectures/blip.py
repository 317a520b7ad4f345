"""BLIP as its authors have it, exported to the classes of transformers.

Source: Li et al. 2022, "BLIP", section 3.1 (https://arxiv.org/abs/2201.12086).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.pretrain.architectures._base import ArchitectureConfig, BertWeights
from curate.pretrain.architectures.dual_encoder import bert_names

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel


class Config(ArchitectureConfig):
    """Settings of BLIP; those of the network are ``start.model`` (``BlipPairConfig``)."""

    can: ClassVar[frozenset[str]] = frozenset({"match", "write"})
    kind: Literal["blip"] = "blip"

    def model_class(self) -> type[PreTrainedModel]:
        """Return ``BlipPair``."""
        from curate.models.blip_pair import BlipPair

        return BlipPair

    def text_settings(self, bert: dict[str, Any], *, num_layers: int) -> dict[str, Any]:
        """Return the settings of a text transformer of BERT's size."""
        return {"text_config": super().text_settings(bert, num_layers=num_layers)}

    def text_state(self, model: PairModel, bert: BertWeights) -> dict[str, Tensor]:
        """Return a BERT's weights by BLIP's names; both self-attentions begin as BERT's."""
        state = bert_names(bert, "text_encoder.", num_positions=model.config.max_text_tokens)
        del state["text_encoder.embeddings.token_type_embeddings.weight"]
        for number in range(len(bert.layers)):
            old, new = f"text_encoder.encoder.layer.{number}.attention.", "decoder_attention."
            state |= {
                f"{new}{number}.{name.removeprefix(old)}": value
                for name, value in list(state.items())
                if name.startswith(old)
            }
        return state

    def exports(self, config: Any) -> bool:
        """Whether transformers has it: always."""
        del config
        return True

    def export(
        self, model: PairModel, tokenizer: PreTrainedTokenizerFast, folder: Path
    ) -> dict[str, Path]:
        """Write a ``BlipForConditionalGeneration`` and a ``BlipForImageTextRetrieval``."""
        from curate.models.blip_export import export_blip

        return export_blip(model, tokenizer, folder)
