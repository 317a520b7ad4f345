"""MED, BLIP's mixture of encoder-decoder, in curate's own small form.

Source: Li et al. 2022, "BLIP", section 3.1 (https://arxiv.org/abs/2201.12086).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.pretrain.architectures._base import ArchitectureConfig, BertWeights

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.models.pair_model import PairModel

_ATTENTION = (
    ("self.query", "query"),
    ("self.key", "key"),
    ("self.value", "value"),
    ("output.dense", "output"),
)


class Config(ArchitectureConfig):
    """Settings of MED; those of the network are ``start.model`` (``MedConfig``)."""

    can: ClassVar[frozenset[str]] = frozenset({"match", "write", "prefix", "unmask"})
    kind: Literal["med"] = "med"

    def model_class(self) -> type[PreTrainedModel]:
        """Return ``MedModel``."""
        from curate.models.med import MedModel

        return MedModel

    def text_state(self, model: PairModel, bert: BertWeights) -> dict[str, Tensor]:
        """Return a BERT's weights by MED's names; both self-attentions begin as BERT's."""
        return text_layers(bert, model, uses=("encoder_attention", "decoder_attention"))


def text_layers(bert: BertWeights, model: PairModel, *, uses: tuple[str, ...]) -> dict[str, Tensor]:
    """Return a BERT's embeddings and layers by the names of ``TextTransformer``.

    Args:
        bert: the starting weights.
        model: the new model, whose longest text is taken.
        uses: the self-attentions of a layer that begin as BERT's.
    """
    state = {
        "text.words.weight": bert.words(),
        "text.positions.weight": bert.positions(model.config.max_text_tokens),
    }
    state |= bert.pair("embeddings.LayerNorm", "text.norm")
    for ours, theirs in enumerate(bert.layers):
        old, new = f"encoder.layer.{theirs}", f"text.layers.{ours}"
        for use in uses:
            for part, name in _ATTENTION:
                state |= bert.pair(f"{old}.attention.{part}", f"{new}.{use}.attention.{name}")
            state |= bert.pair(f"{old}.attention.output.LayerNorm", f"{new}.{use}.norm")
        state |= bert.pair(f"{old}.intermediate.dense", f"{new}.widen")
        state |= bert.pair(f"{old}.output.dense", f"{new}.narrow")
        state |= bert.pair(f"{old}.output.LayerNorm", f"{new}.norm")
    return state
