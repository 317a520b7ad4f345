from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from curate.models.med import MedModel
from curate.models.med_checkpoint import load_med
from curate.pretrain.batch import TextBatch
from curate.pretrain.cache import KeptPixels, KeptTokens, encode_loaded
from curate.pretrain.optim import build_optimizer
from tests.models.med_models import med_model
from tests.pretrain.scenes import recipe, scenes


def trained_tower() -> MedModel:
    """Return a small model with a real tower, which takes pictures of 32 pixels as well."""
    model = med_model(tower="efficientnet_lite")
    tower = load_med(Path("curate-tiny"))[0].image_tower
    model.image_tower.load_state_dict(tower.state_dict())
    return model


@pytest.mark.parametrize("unlocked", [None, 1, 2])
def test_what_is_kept_gives_the_image_tokens(unlocked: int | None) -> None:
    model, source = trained_tower(), scenes(1)
    optim: dict[str, Any] = {"image_unlocked": unlocked} if unlocked else {"image_lr_scale": 0}
    made = recipe(optim=optim, data={"cache": "image_tokens"}, precision="fp32")
    optimizer = build_optimizer(model, made.optim)
    kept = KeptTokens(source, made, model, tell=lambda *_: None)
    bodies = [pair.image for pair in source.read(range(12))]
    nothing = torch.empty(0, dtype=torch.int64)
    bodies = [bodies[n] for n in (3, 0, 7)]
    batch = TextBatch([3, 0, 7], nothing, nothing, nothing, [0, 1, 2], bodies)
    loaded, good = kept.load(batch, generator=torch.Generator())
    assert good == [True] * 3
    assert loaded.dtype == torch.float16
    tokens = encode_loaded(model, loaded, unlocked=unlocked)
    squares = KeptPixels(source, size=32, tell=lambda *_: None).load(
        batch, generator=torch.Generator()
    )[0]
    torch.testing.assert_close(tokens, model.encode_images(squares), atol=0.02, rtol=0.02)

    before = {name: weight.clone() for name, weight in model.image_tower.named_parameters()}
    tokens.square().mean().backward()
    optimizer.step()
    after = dict(model.image_tower.named_parameters())
    moved = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    top = tuple(f"blocks.{16 - 1 - n}." for n in range(unlocked or 0))
    wanted = {name for name in before if name.startswith((*top, "head"))} if unlocked else set()
    assert moved == wanted
