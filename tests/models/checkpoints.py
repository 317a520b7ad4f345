"""Tiny checkpoints with random weights and a real tokenizer, made on the spot, no hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipImageProcessorPil,
)

from curate.models.coca import CocaModel
from curate.models.med import MedModel
from curate.models.med_tokenizer import build_tokenizer

WORDS = (
    *("a", "picture", "of", "the", "red", "green", "blue", "small", "large", "old", "dog", "cat"),
    *("bird", "house", "tree", "boat", "man", "woman", "child", "on", "in", "under", "beside"),
    *("grass", "water", "snow", "street", "running", "sitting", "two", "three", "with", "and"),
    *("##s", "##ing", "##ed", ".", ",", "!"),
    *(chr(code) for code in range(ord("b"), ord("z") + 1)),
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIDE = 32

# Networks this small only lose by a second thread, and tests run beside each other.
torch.set_num_threads(1)


def tiny_blip_captioner(folder: Path, *, seed: int = 0, spread: float = 0.3) -> Path:
    """Write a captioner; ``spread`` is the deviation of its weights, so of its opinions."""
    return _write(BlipForConditionalGeneration, folder, seed, spread)


def tiny_blip_scorer(folder: Path, *, seed: int = 1, spread: float = 0.3) -> Path:
    return _write(BlipForImageTextRetrieval, folder, seed, spread)


def _write(model_class: Any, folder: Path, seed: int, spread: float) -> Path:
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate((*SPECIAL, *WORDS))})
    size = len(tokenizer)
    config = BlipConfig(
        text_config={
            **{"vocab_size": size + 2, "hidden_size": 32, "intermediate_size": 48},
            **{"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 40},
            **{"bos_token_id": size, "sep_token_id": 3, "pad_token_id": 0, "eos_token_id": 2},
        },
        vision_config={
            **{"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2},
            **{"num_attention_heads": 2, "image_size": SIDE, "patch_size": 8},
        },
        image_text_hidden_size=16,
    )
    torch.manual_seed(seed)
    model = model_class(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 or "embedding" in name:
                weight.normal_(0, spread)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def tiny_med(folder: Path, *, seed: int = 2, spread: float = 0.3, tower: str = "vit") -> Path:
    return _tiny(folder, MedModel, {}, seed=seed, spread=spread, tower=tower)


def tiny_coca(folder: Path, *, tower: str = "vit") -> Path:
    settings = {"num_multimodal_layers": 2, "num_caption_queries": 5}
    return _tiny(folder, CocaModel, settings, seed=2, spread=0.3, tower=tower)


def _tiny(
    folder: Path,
    model_class: type[MedModel],
    settings: dict[str, int],
    *,
    seed: int,
    spread: float,
    tower: str,
) -> Path:
    tokenizer = build_tokenizer(WORDS)
    vit = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
    vit |= {"num_attention_heads": 2, "patch_size": 8}
    config = model_class.config_class(
        image_tower=tower,
        tower_config=vit if tower == "vit" else None,
        image_size=SIDE,
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_text_tokens=24,
        projection_size=16,
        **settings,
    )
    torch.manual_seed(seed)
    model = model_class(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 or "embedding" in name:
                weight.normal_(0, spread)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pictures(count: int, *, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return smooth RGB pictures of various sizes, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        height, width = rng.integers(20, 90, 2)
        corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float64)
        down = np.linspace(0, 1, height)[:, None, None]
        right = np.linspace(0, 1, width)[None, :, None]
        top = corners[0, 0] * (1 - right) + corners[0, 1] * right
        bottom = corners[1, 0] * (1 - right) + corners[1, 1] * right
        noise = rng.normal(0, 12, (height, width, 3))
        out.append((top * (1 - down) + bottom * down + noise).clip(0, 255).astype(np.uint8))
    return out
