"""What every architecture's config has.

A file ``architectures/NAME.py`` holds a ``Config`` of this form; ``architecture: NAME`` in a recipe
finds it. Objectives name what they need of a model, and an architecture what its models can; so a
recipe whose parts do not fit is refused before anything is built.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from curate.core.config import FrozenConfig

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel

#: What models can, beyond the embedding of images and texts: ``match`` (ITM logits), ``write``
#: (decoder logits), ``prefix`` (decoder logits after a prefix read both ways), ``unmask`` (logits
#: at masked places), ``bias`` (a learned bias of the similarities).
ABILITIES = ("match", "write", "prefix", "unmask", "bias")


class ArchitectureConfig(FrozenConfig):
    """Base of the architectures' configs.

    Attributes:
        kind: the file's name.
    """

    can: ClassVar[frozenset[str]]
    kind: str

    @abstractmethod
    def model_class(self) -> type[PreTrainedModel]:
        """Return the class of the models, whose ``config_class`` takes ``start.model``."""

    def text_state(self, model: PairModel, bert: BertWeights) -> dict[str, Tensor] | None:
        """Return a BERT's weights by the model's names; None where no BERT fits the text side.

        Args:
            model: the new model.
            bert: the starting weights; see there for how layers and word pieces are chosen.
        """
        del model, bert
        return None

    def text_settings(self, bert: dict[str, Any], *, num_layers: int) -> dict[str, Any]:
        """Return the model settings that a BERT's config.json decides.

        Args:
            bert: the content of that file.
            num_layers: how many of its layers are taken.
        """
        names = ("hidden_size", "num_attention_heads", "intermediate_size", "layer_norm_eps")
        return {**{name: bert[name] for name in names}, "num_hidden_layers": num_layers}

    def exports(self, config: Any) -> bool:
        """Whether transformers has an architecture for a model of this config."""
        del config
        return False

    def export(
        self, model: PairModel, tokenizer: PreTrainedTokenizerFast, folder: Path
    ) -> dict[str, Path]:
        """Write the model by the classes of transformers; called where it ``exports``.

        Args:
            model: on the CPU, in full precision.
            tokenizer: its tokenizer.
            folder: where to put a folder for each class.

        Returns:
            Folders by class name.
        """
        del model, tokenizer, folder
        return {}


class BertWeights:
    """A BERT-shaped checkpoint: the weights that a text side starts from.

    Attributes:
        weights: by BERT's names, without a prefix.
        layers: which of its layers are taken, in this order.
        rows: for each entry of the new vocabulary its row in BERT's word embeddings.
    """

    def __init__(
        self, weights: dict[str, Tensor], layers: tuple[int, ...], rows: list[int]
    ) -> None:
        self.weights, self.layers, self.rows = weights, layers, rows

    def words(self) -> Tensor:
        """Return word embeddings of the new vocabulary."""
        import torch

        return self.weights["embeddings.word_embeddings.weight"][torch.tensor(self.rows)]

    def positions(self, count: int) -> Tensor:
        """Return the first position embeddings, the one kind of text added to them."""
        kind_of_text = self.weights["embeddings.token_type_embeddings.weight"][0]
        return self.weights["embeddings.position_embeddings.weight"][:count] + kind_of_text

    def pair(self, old: str, new: str) -> dict[str, Tensor]:
        """Return weight and bias of a part, by its new name."""
        return {f"{new}.{part}": self.weights[f"{old}.{part}"] for part in ("weight", "bias")}
