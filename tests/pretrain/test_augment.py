from __future__ import annotations

import torch

from curate.pretrain.augment import augment
from curate.pretrain.config import AugmentConfig


def ramp(count: int, side: int = 64) -> torch.Tensor:
    """Return pictures whose red grows to the right and whose green grows downwards."""
    steps = torch.linspace(20, 220, side).round().to(torch.uint8)
    picture = torch.zeros(3, side, side, dtype=torch.uint8)
    picture[0], picture[1] = steps[None, :], steps[:, None]
    return picture.repeat(count, 1, 1, 1)


def spans(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the share of the ramp that each picture shows, in width and in height."""
    across, down = pictures[:, 0].float(), pictures[:, 1].float()
    width = across.amax((1, 2)) - across.amin((1, 2))
    height = down.amax((1, 2)) - down.amin((1, 2))
    return width / 200, height / 200


def run(config: AugmentConfig, *, count: int = 200, seed: int = 0) -> torch.Tensor:
    return augment(ramp(count), config, generator=torch.Generator().manual_seed(seed))


def test_crops_have_the_area_and_aspect_asked_for() -> None:
    width, height = spans(run(AugmentConfig(crop_area=(0.3, 0.5), crop_aspect=(0.8, 1.25))))
    area, aspect = width * height, width / height
    assert 0.27 < area.min() < 0.33
    assert 0.47 < area.max() < 0.53
    assert 0.75 < aspect.min() < 0.85
    assert 1.18 < aspect.max() < 1.33


def test_crops_come_from_everywhere_and_stay_inside() -> None:
    pictures = run(AugmentConfig(crop_area=(0.25, 0.25), crop_aspect=(1, 1)))
    left = pictures[:, 0].float().amin((1, 2))
    assert left.min() < 35
    assert left.max() > 105
    assert pictures[:, 0].max() <= 220
    assert pictures[:, 0].min() >= 20
    assert (pictures[:, 0, :, -1] > pictures[:, 0, :, 0]).all()


def test_flip_mirrors_about_half_and_never_upside_down() -> None:
    pictures = run(AugmentConfig(flip=True))
    mirrored = pictures[:, 0, :, -1] < pictures[:, 0, :, 0]
    assert 0.35 < mirrored.all(1).float().mean() < 0.65
    assert (pictures[:, 1, -1] > pictures[:, 1, 0]).all()


def test_the_seed_decides_and_nothing_to_do_does_nothing() -> None:
    config = AugmentConfig()
    assert torch.equal(run(config), run(config))
    assert not torch.equal(run(config), run(config, seed=1))
    pictures = ramp(3)
    still = AugmentConfig(crop_area=(1, 1), crop_aspect=(1, 1))
    assert augment(pictures, still, generator=torch.Generator()) is pictures
