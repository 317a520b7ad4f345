from __future__ import annotations

import itertools

import pytest
import torch

from curate.pretrain.config import OptimConfig
from curate.pretrain.optim import build_optimizer, rate_factor, rate_scales, set_rate
from tests.models.med_models import med_model
from tests.pretrain.models import SETTINGS, small_model


def test_the_rate_rises_falls_and_ends() -> None:
    course = [rate_factor(step, 100, warmup=0.1, final=0.2) for step in range(101)]
    assert course[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert course[10] == 1.0
    assert course[55] == pytest.approx(0.6)
    assert course[100] == pytest.approx(0.2)
    assert all(a >= b for a, b in itertools.pairwise(course[10:]))


def test_norms_and_biases_do_not_decay_and_the_tower_has_its_own_rate() -> None:
    model = med_model()
    config = OptimConfig(lr=1e-3, image_lr_scale=0.1, weight_decay=0.07, warmup=0)
    optimizer = build_optimizer(model, config)
    set_rate(optimizer, 1e-3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            seen[names[id(parameter)]] = (group["lr"], group["weight_decay"])
    assert seen.keys() == set(names.values())
    assert seen["text.layers.0.widen.weight"] == (1e-3, 0.07)
    assert seen["text.layers.0.widen.bias"] == (1e-3, 0.0)
    assert seen["text.norm.weight"] == (1e-3, 0.0)
    assert seen["log_logit_scale"] == (1e-3, 0.0)
    lr, decay = seen["image_tower.vit.layernorm.bias"]
    assert (lr, decay) == (pytest.approx(1e-4), 0.0)


def test_a_frozen_tower_does_not_move() -> None:
    model = med_model()
    optimizer = build_optimizer(model, OptimConfig(image_lr_scale=0, lr=0.1))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    loss = model.encode_images(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).square().sum()
    loss.backward()
    optimizer.step()
    moved = {
        name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])
    }
    assert "image_adapter.project.weight" in moved
    assert not any(name.startswith("image_tower.") for name in moved)


def test_lower_layers_and_embeddings_learn_more_slowly() -> None:
    names = [
        "image_tower.vit.embeddings.position_embeddings",
        *(f"image_tower.vit.layers.{n}.mlp.weight" for n in range(3)),
        "image_tower.vit.layernorm.weight",
        "text.words.weight",
        *(f"text.layers.{n}.widen.weight" for n in range(2)),
        "itm_head.weight",
        "log_logit_scale",
    ]
    found = rate_scales(names, OptimConfig(layer_decay=0.5, image_lr_scale=0.1))
    image = [0.1 / 16, 0.1 / 8, 0.1 / 4, 0.1 / 2, 0.1]
    assert [found[n] for n in names] == pytest.approx([*image, 1 / 8, 1 / 4, 1 / 2, 1, 1])


def test_blocks_below_the_unlocked_ones_are_frozen() -> None:
    names = [
        "image_tower.stem.weight",
        *(f"image_tower.blocks.{n}.project.weight" for n in range(4)),
        "image_tower.head.weight",
        *("text.words.weight", "text.layers.0.widen.weight", "image_adapter.project.weight"),
    ]
    found = rate_scales(names, OptimConfig(image_unlocked=2, image_lr_scale=0.5))
    assert [found[n] for n in names] == [0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1]
    model = med_model(tower="efficientnet_lite")
    build_optimizer(model, OptimConfig(image_unlocked=1))
    tower = dict(model.image_tower.named_parameters())
    learns = {name.split(".")[0] for name, p in tower.items() if p.requires_grad}
    assert learns == {"blocks", "head", "head_norm"}
    assert not tower["blocks.14.expand.weight"].requires_grad


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_architecture_s_layers_are_found(name: str) -> None:
    model = small_model(name)
    names = [parameter for parameter, _ in model.named_parameters()]
    found = rate_scales(names, OptimConfig(layer_decay=0.5))
    below = [n for n in names if "embed" in n or ".words" in n or "stem" in n]
    assert below
    assert all(found[n] <= 0.25 for n in below)
    heads = [n for n in names if ("projection" in n and "tower" not in n) or n == "itm_head.weight"]
    assert all(found[n] == 1 for n in heads)
    assert len(set(found.values())) >= 3


def test_fresh_layers_learn_faster_beside_trained_ones() -> None:
    names = ["text.words.weight", "itm_head.weight"]
    config = OptimConfig(fresh_lr_scale=5)
    assert rate_scales(names, config, {"text.words.weight"}) == {
        "text.words.weight": 1,
        "itm_head.weight": 5,
    }
    assert set(rate_scales(names, config).values()) == {1}  # all begins by chance
    assert set(rate_scales(names, config, set(names)).values()) == {1}
