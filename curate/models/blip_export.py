"""A trained BLIP as the captioner and the filter of transformers, weight by weight.

Both classes are written from one training; fine-tune each by itself before it curates
(Li et al. 2022, section 4.2: sharing weights makes the filter agree with the captioner).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval

from curate.models.med_checkpoint import quiet_transformers
from curate.models.transformers_files import write_processor

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast


def export_blip(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> dict[str, Path]:
    """Write a ``BlipForConditionalGeneration`` and a ``BlipForImageTextRetrieval``.

    ITM is trained with [ENC] as the first token: score with ``itm_token: enc``.

    Args:
        model: a ``BlipPair`` on the CPU, in full precision.
        tokenizer: its tokenizer.
        folder: gets a folder for each class, named by it.
    """
    written = {}
    for exported in (as_captioner(model), as_filter(model)):
        name = type(exported).__name__
        written[name] = folder / name
        with quiet_transformers():
            exported.save_pretrained(folder / name)
        write_processor(folder / name, model.config, tokenizer, kind="blip")
    return written


def as_captioner(model: Any) -> BlipForConditionalGeneration:
    """Return a ``BlipPair`` as a ``BlipForConditionalGeneration``."""
    prefix, own = "text_encoder.", "decoder_attention."
    state = _vision(model)
    decoder: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name.startswith(prefix):
            decoder.setdefault(f"text_decoder.bert.{name.removeprefix(prefix)}", value)
        elif name.startswith(own):
            number, rest = name.removeprefix(own).split(".", 1)
            decoder[f"text_decoder.bert.encoder.layer.{number}.attention.{rest}"] = value
        elif name.startswith("lm_transform."):
            rest = name.removeprefix("lm_transform.")
            decoder[f"text_decoder.cls.predictions.transform.{rest}"] = value
    head = "text_decoder.cls.predictions."
    decoder[f"{head}decoder.weight"] = model.text_encoder.embeddings.word_embeddings.weight
    decoder[f"{head}decoder.bias"] = decoder[f"{head}bias"] = model.lm_bias
    exported = BlipForConditionalGeneration(_config(model))
    exported.load_state_dict(state | decoder)
    return exported.eval()


def as_filter(model: Any) -> BlipForImageTextRetrieval:
    """Return a ``BlipPair`` as a ``BlipForImageTextRetrieval``."""
    theirs = {
        "text_encoder": "text_encoder",
        "image_projection": "vision_proj",
        "text_projection": "text_proj",
        "itm_head": "itm_head",
    }
    state = _vision(model)
    for name, value in model.state_dict().items():
        top, _, rest = name.partition(".")
        if top in theirs:
            state[f"{theirs[top]}.{rest}"] = value
    exported = BlipForImageTextRetrieval(_config(model))
    exported.load_state_dict(state)
    return exported.eval()


def _vision(model: Any) -> dict[str, Tensor]:
    tower = model.image_tower.tower.state_dict()
    return {f"vision_model.{name}": value for name, value in tower.items()}


def _config(model: Any) -> BlipConfig:
    config = model.config
    return BlipConfig(
        text_config=config.text().to_dict(),
        vision_config=config.vision().to_dict(),
        image_text_hidden_size=config.projection_size,
        projection_dim=config.projection_size,
    )
