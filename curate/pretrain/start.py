"""Building the model that training starts from: a checkpoint, parts of others, or chance."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.core.errors import ModelError
from curate.models.med_checkpoint import load_med, quiet_transformers
from curate.pretrain.config import ImageStart, StartConfig, TextStart

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from curate.models.med import MedModel

_ATTENTION = (
    ("self.query", "query"),
    ("self.key", "key"),
    ("self.value", "value"),
    ("output.dense", "output"),
)


def start_model(
    config: StartConfig, texts: Iterable[str]
) -> tuple[MedModel, PreTrainedTokenizerFast]:
    """Build the model and its tokenizer; new weights come from torch's global seed.

    Args:
        config: the recipe's ``start``.
        texts: the training texts, from which the vocabulary is chosen.

    Raises:
        ModelError: starting weights that are missing, or that do not fit.
    """
    from curate.models.med import MedModel
    from curate.models.med_config import MedConfig
    from curate.models.med_tokenizer import build_tokenizer, word_pieces

    if config.from_ is not None:
        return load_med(config.from_)
    settings = dict(config.model)
    base = _BertWeights(config.text) if config.text else None
    if config.image is not None:
        settings |= _image_settings(config.image)
    if base is not None:
        settings |= base.settings()
        pieces = base.pieces(texts, config.vocabulary)
    else:
        pieces = word_pieces(texts, config.vocabulary or 0)
    tokenizer = build_tokenizer(pieces)
    try:
        model = MedModel(MedConfig(vocab_size=len(tokenizer), **settings))
    except (TypeError, ValueError) as error:
        raise ModelError(f"start.model does not make a model: {error}") from error
    if base is not None:
        base.load_into(model, tokenizer)
    if config.image is not None:
        _load_image(model, config.image)
    return model, tokenizer


def _image_settings(image: ImageStart) -> dict[str, Any]:
    if image.kind == "med":
        config = load_med(image.path)[0].config
        names = (
            "image_tower",
            "tower_config",
            "image_size",
            "image_mean",
            "image_std",
            "hidden_size",
        )
        return {name: getattr(config, name) for name in names}
    return {"image_tower": "efficientnet_lite", "image_mean": [127.0] * 3, "image_std": [128.0] * 3}


def _load_image(model: MedModel, image: ImageStart) -> None:
    from curate.models.efficientnet_lite import from_imagenet_names

    if image.kind == "med":
        other = load_med(image.path)[0]
        model.image_tower.load_state_dict(other.image_tower.state_dict())
        model.image_adapter.load_state_dict(other.image_adapter.state_dict())
        return
    try:
        model.image_tower.load_state_dict(from_imagenet_names(_tensors(image.path)))
    except RuntimeError as error:
        raise ModelError(
            f"{image.path} does not hold EfficientNet-Lite0's weights: {error}"
        ) from error


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
        return tensors
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {error}") from error


class _BertWeights:
    """A BERT-shaped checkpoint, and how its parts map to MED's text transformer."""

    def __init__(self, start: TextStart) -> None:
        import json

        from curate.models.med_tokenizer import load_tokenizer

        self.path = start.path
        self.weights = _tensors(start.path / "model.safetensors")
        try:
            self.config = json.loads((start.path / "config.json").read_text(encoding="utf-8"))
            with quiet_transformers():
                self.tokenizer = load_tokenizer(start.path)
        except (OSError, ValueError) as error:
            raise ModelError(f"{start.path} is no whole checkpoint folder: {error}") from error
        num_layers = self.config["num_hidden_layers"]
        self.layers = start.layers or tuple(range(num_layers))
        if max(self.layers) >= num_layers or min(self.layers) < 0:
            raise ModelError(
                f"{start.path} has layers 0 to {num_layers - 1}; asked for {self.layers}"
            )

    def settings(self) -> dict[str, Any]:
        """Return the model settings that these weights decide."""
        names = ("hidden_size", "num_attention_heads", "intermediate_size", "layer_norm_eps")
        return {
            **{name: self.config[name] for name in names},
            "num_hidden_layers": len(self.layers),
        }

    def pieces(self, texts: Iterable[str], size: int | None) -> list[str]:
        """Return the word pieces to keep."""
        from curate.models.med_tokenizer import prune_pieces

        return prune_pieces(self.tokenizer, texts, size or len(self.tokenizer))

    def load_into(self, model: MedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        """Copy the weights; [ENC] and [DEC] begin as [CLS]."""
        try:
            model.text.load_state_dict(self._text_state(model, tokenizer), strict=False)
        except (KeyError, RuntimeError) as error:
            raise ModelError(f"{self.path} is not shaped like BERT: {error}") from error

    def _text_state(self, model: MedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Tensor]:
        import torch

        weights = self.weights
        ids = self.tokenizer.get_vocab()
        rows = [
            ids.get(piece, ids["[CLS]"])
            for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        ]
        kind_of_text = weights["embeddings.token_type_embeddings.weight"][0]
        num = model.config.max_text_tokens
        state = {
            "words.weight": weights["embeddings.word_embeddings.weight"][torch.tensor(rows)],
            "positions.weight": weights["embeddings.position_embeddings.weight"][:num]
            + kind_of_text,
        }
        state |= _pair(weights, "embeddings.LayerNorm", "norm")
        for ours, theirs in enumerate(self.layers):
            old, new = f"encoder.layer.{theirs}", f"layers.{ours}"
            for use in ("encoder_attention", "decoder_attention"):
                for bert, med in _ATTENTION:
                    state |= _pair(
                        weights, f"{old}.attention.{bert}", f"{new}.{use}.attention.{med}"
                    )
                state |= _pair(weights, f"{old}.attention.output.LayerNorm", f"{new}.{use}.norm")
            state |= _pair(weights, f"{old}.intermediate.dense", f"{new}.widen")
            state |= _pair(weights, f"{old}.output.dense", f"{new}.narrow")
            state |= _pair(weights, f"{old}.output.LayerNorm", f"{new}.norm")
        return state


def _pair(weights: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {f"{new}.{part}": weights[f"{old}.{part}"] for part in ("weight", "bias")}
