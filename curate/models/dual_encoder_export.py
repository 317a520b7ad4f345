"""Dual encoders as ``CLIPModel`` and ``SiglipModel`` of transformers, weight by weight."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from curate.models.med_checkpoint import quiet_transformers
from curate.models.transformers_files import write_processor

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast


def export_dual_encoder(
    model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> dict[str, Path]:
    """Write a dual encoder by its class in transformers, with tokenizer and picture settings.

    Args:
        model: a ``DualEncoder`` on the CPU, in full precision.
        tokenizer: its tokenizer.
        folder: gets a folder named by the class.

    Returns:
        The folder by class name; nothing where the towers are not both of one such class.
    """
    towers = {model.config.image_tower, model.config.text_tower}
    if towers == {"clip"}:
        exported = as_clip(model)
    elif towers == {"siglip"}:
        exported = as_siglip(model)
    else:
        return {}
    name = type(exported).__name__
    with quiet_transformers():
        exported.save_pretrained(folder / name)
    length = model.config.max_text_tokens if towers == {"siglip"} else None
    write_processor(folder / name, model.config, tokenizer, kind=towers.pop(), pad_to=length)
    return {name: folder / name}


def as_clip(model: Any) -> CLIPModel:
    """Return a dual encoder with CLIP's towers as a ``CLIPModel``."""
    vision, text = model.image_tower.tower.config, model.text_tower.tower.config
    config = CLIPConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        projection_dim=model.config.projection_size,
    )
    state = {
        **_under("vision_model", model.image_tower.tower),
        **_under("text_model", model.text_tower.tower),
        **_under("visual_projection", model.image_projection),
        **_under("text_projection", model.text_projection),
        "logit_scale": model.log_logit_scale.detach(),
    }
    return _filled(CLIPModel(config), state)


def as_siglip(model: Any) -> SiglipModel:
    """Return a dual encoder with SigLIP's towers as a ``SiglipModel``."""
    vision, text = model.image_tower.tower.config, model.text_tower.tower.config
    config = SiglipConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    state = {
        **_under("vision_model", model.image_tower.tower),
        **_under("text_model", model.text_tower.tower),
        "logit_scale": model.log_logit_scale.detach().view(1),
        "logit_bias": model.bias.detach().view(1),
    }
    return _filled(SiglipModel(config), state)


def _under(prefix: str, module: torch.nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in module.state_dict().items()}


def _filled(exported: Any, state: dict[str, Tensor]) -> Any:
    exported.load_state_dict(state)
    return exported.eval()
