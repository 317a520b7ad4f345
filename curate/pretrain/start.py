"""Building the model that training starts from: a checkpoint, parts of others, or chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.core.errors import ModelError, nearest
from curate.models.med_checkpoint import load_med, quiet_transformers
from curate.models.pair_checkpoint import load_pair_model
from curate.pretrain.architectures._base import ArchitectureConfig, BertWeights
from curate.pretrain.architectures.med import Config as Med
from curate.pretrain.resize_positions import fit_positions
from curate.pretrain.sections import ImageStart, StartConfig, TextStart

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel


@dataclass(frozen=True)
class Started:
    """What training starts from.

    Attributes:
        model: on the CPU.
        tokenizer: its tokenizer.
        pretrained: names of the parameters that do not begin by chance.
    """

    model: PairModel
    tokenizer: PreTrainedTokenizerFast
    pretrained: frozenset[str]


def start_model(
    config: StartConfig, texts: Iterable[str], architecture: ArchitectureConfig | None = None
) -> Started:
    """Build the model and its tokenizer; new weights come from torch's global seed.

    Args:
        config: the recipe's ``start``.
        texts: the training texts, from which the vocabulary is chosen.
        architecture: the recipe's; MED when None.

    Raises:
        ModelError: starting weights that are missing, or that do not fit.
    """
    from curate.models.med_tokenizer import build_tokenizer, word_pieces

    able = architecture or Med()
    if config.from_ is not None:
        return _from_checkpoint(able, config.from_, config.image_size)
    settings = dict(config.model)
    if config.image is not None:
        known = _fields(able.model_class().config_class)
        found = _image_settings(config.image)
        settings |= {name: value for name, value in found.items() if name in known}
    base = _Bert(config.text) if config.text else None
    if base is not None:
        settings |= able.text_settings(base.config, num_layers=len(base.layers))
        pieces = base.pieces(texts, config.vocabulary)
    else:
        pieces = word_pieces(texts, config.vocabulary or 0)
    tokenizer = build_tokenizer(pieces)
    model = new_model(able, {**settings, "vocab_size": len(tokenizer)})
    pretrained: set[str] = set()
    if base is not None:
        pretrained |= base.load_into(model, able, tokenizer)
    if config.image is not None:
        pretrained |= _load_image(model, config.image)
    return Started(model, tokenizer, frozenset(pretrained))


def new_model(architecture: ArchitectureConfig, settings: dict[str, Any]) -> PairModel:
    """Build a model with new weights.

    Raises:
        ModelError: a setting that the architecture does not have, or a value outside its range.
    """
    model_class = architecture.model_class()
    config_class = model_class.config_class
    known = _fields(config_class)
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ModelError(
            f"start.model: {architecture.kind} has no setting {unknown[0]!r}: "
            f"{nearest(unknown[0], known)}"
        )
    try:
        model: PairModel = model_class(config_class(**settings))
    except (TypeError, ValueError) as error:
        raise ModelError(f"start.model does not make a model: {error}") from error
    return model


def _fields(config_class: Any) -> Sequence[str]:
    """Return the settings that a config class itself declares."""
    from transformers import PreTrainedConfig

    own = [c for c in config_class.__mro__ if c not in PreTrainedConfig.__mro__]
    names = dict.fromkeys(name for c in reversed(own) for name in c.__annotations__)
    return [name for name in names if name != "model_type"]


def _from_checkpoint(
    architecture: ArchitectureConfig, folder: Path, image_size: int | None
) -> Started:
    """Load a whole checkpoint, for another picture size where one is asked for."""
    model_class = architecture.model_class()
    model, tokenizer = load_pair_model(folder, (model_class.config_class.model_type,))
    if image_size is not None and image_size != model.config.image_size:
        known = _fields(model_class.config_class)
        settings = {name: getattr(model.config, name) for name in known}
        larger = new_model(architecture, {**settings, "image_size": image_size})
        larger.load_state_dict(fit_positions(model.state_dict(), larger.state_dict()))
        model = larger
    return Started(model, tokenizer, frozenset(name for name, _ in model.named_parameters()))


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


def _load_image(model: PairModel, image: ImageStart) -> set[str]:
    """Load the image tower's weights; returns the names of what was loaded."""
    from curate.models.efficientnet_lite import from_imagenet_names

    if image.kind == "med":
        other = load_med(image.path)[0]
        parts = {"image_tower": other.image_tower, "image_adapter": other.image_adapter}
        state = {
            f"{part}.{name}": value
            for part, module in parts.items()
            for name, value in module.state_dict().items()
        }
        if not _names_under("image_adapter", state) <= set(model.state_dict()):
            # another architecture: its adapter, if it has one, begins by chance
            state = {name: state[name] for name in _names_under("image_tower", state)}
    else:
        weights = from_imagenet_names(_tensors(image.path))
        state = {f"image_tower.{name}": value for name, value in weights.items()}
    tops = {name.split(".")[0] for name in state}
    wanted = {name for top in tops for name in _names_under(top, model.state_dict())}
    try:
        if wanted != set(state):
            odd = min(wanted ^ set(state))
            raise RuntimeError(f"{odd} is {'missing' if odd in wanted else 'not one of them'}")
        model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        what = "EfficientNet-Lite0's weights" if image.kind != "med" else "such a tower"
        raise ModelError(f"{image.path} does not hold {what}: {error}") from error
    return set(state)


def _names_under(part: str, state: dict[str, Tensor]) -> set[str]:
    return {name for name in state if name.startswith(f"{part}.")}


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
        return tensors
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {error}") from error


class _Bert:
    """A BERT-shaped checkpoint folder, and which of its layers and word pieces are taken."""

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

    def pieces(self, texts: Iterable[str], size: int | None) -> list[str]:
        """Return the word pieces to keep."""
        from curate.models.med_tokenizer import prune_pieces

        return prune_pieces(self.tokenizer, texts, size or len(self.tokenizer))

    def load_into(
        self,
        model: PairModel,
        architecture: ArchitectureConfig,
        tokenizer: PreTrainedTokenizerFast,
    ) -> set[str]:
        """Copy the weights, [ENC] and [DEC] as [CLS]; returns the names of what was loaded."""
        ids = self.tokenizer.get_vocab()
        pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        rows = [ids.get(piece, ids["[CLS]"]) for piece in pieces]
        bert = BertWeights(self.weights, self.layers, rows)
        try:
            state = architecture.text_state(model, bert)
            if state is None:
                raise ModelError(
                    f"start.text: the text side of {architecture.kind} is not shaped like BERT"
                )
            model.load_state_dict(state, strict=False)
        except (KeyError, RuntimeError) as error:
            raise ModelError(f"{self.path} is not shaped like BERT: {error}") from error
        return set(state)
