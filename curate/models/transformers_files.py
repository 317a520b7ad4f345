"""The files beside a model's weights that transformers' own loaders ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.models.med_checkpoint import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_BILINEAR = 2
#: Family -> processor class and the class of its pictures.
_CLASSES = {
    "clip": ("CLIPProcessor", "CLIPImageProcessor"),
    "siglip": ("SiglipProcessor", "SiglipImageProcessor"),
    "blip": ("BlipProcessor", "BlipImageProcessor"),
}


def write_processor(
    folder: Path,
    config: Any,
    tokenizer: PreTrainedTokenizerFast,
    *,
    kind: str,
    pad_to: int | None = None,
) -> None:
    """Write preprocessor_config.json and the tokenizer.

    Pictures are squashed to a square, bilinear with antialias, as in training.

    Args:
        folder: of the checkpoint.
        config: the trained model's, for size, mean and deviation in 0..255.
        tokenizer: the model's.
        kind: ``clip``, ``siglip`` or ``blip``.
        pad_to: length that every text is padded to, tokens; None where the longest decides.
    """
    processor, images = _CLASSES[kind]
    said = {
        "processor_class": processor,
        "image_processor_type": images,
        "do_resize": True,
        "size": {"height": config.image_size, "width": config.image_size},
        "resample": _BILINEAR,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [value / 255 for value in config.image_mean],
        "image_std": [value / 255 for value in config.image_std],
        "do_convert_rgb": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(said, indent=1), encoding="utf-8")
    with quiet_transformers():
        tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["model_max_length"] = pad_to or config.max_text_tokens
    settings["processor_class"] = processor
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
