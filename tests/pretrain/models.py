"""A small model of every architecture, with random weights, made on the spot."""

from __future__ import annotations

from typing import Any

import torch

from curate.core.families import kinds
from curate.models.pair_model import PairModel
from curate.pretrain.architectures._base import ArchitectureConfig
from curate.pretrain.start import new_model
from tests.models.med_models import SIDE, med_tokenizer

_VIT = {
    **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"intermediate_size": 24, "patch_size": 16},
}
_TEXT = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4},
    "intermediate_size": 32,
}
_COMMON = {"image_size": SIDE, "max_text_tokens": 20}
_MED = {**_COMMON, **_TEXT, "image_tower": "vit", "tower_config": _VIT, "projection_size": 12}
_SIGLIP_TEXT = {**_TEXT, "hidden_size": 16}

#: ``start.model`` of each architecture, by a name of its own.
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "med": ("med", _MED),
    "albef": ("albef", {**_MED, "num_fusion_layers": 2}),
    "coca": ("coca", {**_MED, "num_multimodal_layers": 1, "num_caption_queries": 5}),
    "blip": (
        "blip",
        {**_COMMON, "tower_config": _VIT, "text_config": _TEXT, "projection_size": 12},
    ),
    "clip": (
        "dual_encoder",
        {**_COMMON, "tower_config": _VIT, "text_config": _TEXT, "projection_size": 12},
    ),
    "siglip": (
        "dual_encoder",
        {
            **{**_COMMON, "tower_config": _VIT, "text_config": _SIGLIP_TEXT},
            **{"image_tower": "siglip", "text_tower": "siglip", "projection_size": 16},
        },
    ),
    "align": (
        "dual_encoder",
        {
            **{**_COMMON, "image_tower": "efficientnet_lite", "text_tower": "bert"},
            **{"text_config": _TEXT, "projection_size": 12},
        },
    ),
}


def architecture(name: str) -> ArchitectureConfig:
    """Return the config of the architecture that a name of ``SETTINGS`` is of."""
    made: Any = kinds("architectures")[SETTINGS[name][0]].config()()
    return made  # type: ignore[no-any-return]


def small_model(name: str, *, seed: int = 0, spread: float = 0.2) -> PairModel:
    """Return a small model in evaluation mode whose every weight matters.

    ``spread`` is the deviation of its weights, those that a new model starts at zero included.
    """
    torch.manual_seed(seed)
    settings = {**SETTINGS[name][1], "vocab_size": len(med_tokenizer())}
    model = new_model(architecture(name), settings)
    with torch.no_grad():
        for parameter_name, weight in model.named_parameters():
            # a convolutional tower's weights depend on its norms: those stay
            if weight.ndim > 1 and not (name == "align" and parameter_name.startswith("image")):
                weight.normal_(0, spread)
    model.eval()
    return model
