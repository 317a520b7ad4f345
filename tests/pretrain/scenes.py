"""Drawn scenes with captions that say what is to be seen: enough to learn something real from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from curate.core.pairs import ListSource, Pair
from curate.pretrain.config import PretrainConfig

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 170, 40),
    "blue": (30, 60, 220),
    "yellow": (230, 210, 20),
}
SHAPES = ("circle", "square", "bar")


def scene(colour: str, shape: str, *, seed: int) -> bytes:
    """Return a PNG of a coloured shape at some place on grey noise."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(100, 156, (32, 32, 3)).astype(np.uint8)
    picture = Image.fromarray(noise)
    x, y = (int(value) for value in rng.integers(2, 12, 2))
    draw = ImageDraw.Draw(picture)
    box = (x, y, x + 16, y + 16) if shape != "bar" else (x, y + 6, x + 18, y + 10)
    (draw.ellipse if shape == "circle" else draw.rectangle)(box, fill=COLOURS[colour])
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def scenes(per_kind: int, *, seed: int = 0) -> ListSource:
    """Return ``per_kind`` scenes of each of the twelve kinds, two captions each.

    Scenes of a kind share their uid, since each other's captions are true of them.
    """
    pairs = []
    for copy in range(per_kind):
        for number, (colour, shape) in enumerate((c, s) for c in COLOURS for s in SHAPES):
            body = scene(colour, shape, seed=seed * 10_000 + copy * 100 + number)
            texts = [f"a {colour} {shape}", f"there is a {shape}, it is {colour}"]
            pairs.append(Pair(f"{colour} {shape}", body, texts))
    return ListSource(pairs)


def recipe(**changes: Any) -> PretrainConfig:
    """Return a recipe for a very small model that trains in seconds."""
    vit = {
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"intermediate_size": 64, "patch_size": 8},
    }
    model = {
        **{"image_tower": "vit", "tower_config": vit, "image_size": 32, "hidden_size": 32},
        **{"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
        **{"max_text_tokens": 16, "projection_size": 16, "dropout": 0.0},
    }
    whole = {"crop_area": (1, 1), "crop_aspect": (1, 1)}
    settings: dict[str, Any] = {
        **{"name": "scenes", "start": {"vocabulary": 150, "model": model}, "augment": whole},
        **{"objectives": ["itc", "itm", "lm"], "epochs": 1, "batch_size": 24, "device": "cpu"},
        **{"optim": {"lr": 3e-3, "weight_decay": 0.0}, "log_every": 1},
    }
    return PretrainConfig(**{**settings, **changes})
