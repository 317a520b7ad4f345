from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from curate.pretrain.augment import augment
from curate.pretrain.rand_augment import OPERATIONS
from curate.pretrain.sections import AugmentConfig

_ONE = AugmentConfig(crop_area=(1, 1), crop_aspect=(1, 1), rand_augment=1)


def picture(*, seed: int = 0) -> torch.Tensor:
    """Return a smooth picture with a narrow range, uint8 [1, 3, 48, 48]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=generator) * 150 + 40
    smooth = torch.nn.functional.interpolate(coarse, (48, 48), mode="bilinear")
    return smooth.round().to(torch.uint8)


def apply(name: str, strength: float, pixels: torch.Tensor) -> torch.Tensor:
    out = OPERATIONS[name](pixels.float(), torch.full((len(pixels),), strength))
    return out.round().clamp(0, 255).to(torch.uint8)


def pillow(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels[0].permute(1, 2, 0).numpy())


def close(ours: torch.Tensor, theirs: Image.Image, *, inside: int = 0) -> float:
    """Return the mean difference of two pictures, their border left out."""
    other = torch.from_numpy(np.array(theirs)).permute(2, 0, 1)[None].float()
    keep = slice(inside, 48 - inside)
    return float((ours.float() - other)[:, :, keep, keep].abs().mean())


@pytest.mark.parametrize("strength", [-0.5, 0.5])
def test_enhancements_are_those_of_pillow(strength: float) -> None:
    pixels = picture()
    image = pillow(pixels)
    factor = 1 + 0.9 * strength
    assert close(apply("auto_contrast", strength, pixels), ImageOps.autocontrast(image)) < 1
    assert close(apply("equalize", strength, pixels), ImageOps.equalize(image)) == 0
    bright = ImageEnhance.Brightness(image).enhance(factor)
    assert close(apply("brightness", strength, pixels), bright) < 1
    sharp = ImageEnhance.Sharpness(image).enhance(factor)
    assert close(apply("sharpness", strength, pixels), sharp) < 1
    turned = image.rotate(30 * strength, Image.Resampling.BILINEAR, fillcolor=(127, 127, 127))
    assert close(apply("rotate", strength, pixels), turned, inside=12) < 1.5


def test_shifts_and_shears_move_the_right_way() -> None:
    pixels = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    pixels[:, :, 20:28, 20:28] = 255
    places = torch.arange(48.0)

    def centre(out: torch.Tensor) -> tuple[float, float]:
        light = (out[0, 0].float() - 129).clamp(min=0)
        x = float((light.sum(0) * places).sum() / light.sum())
        y = float((light.sum(1) * places).sum() / light.sum())
        return x, y

    assert centre(apply("shift_x", 0.5, pixels)) == pytest.approx((23.5 - 10.8, 23.5), abs=0.2)
    assert centre(apply("shift_y", -0.5, pixels)) == pytest.approx((23.5, 23.5 + 10.8), abs=0.2)
    pixels = pixels.roll(12, 2)  # below the middle, a shear moves it sideways
    x, y = centre(apply("shear_x", 1.0, pixels))
    assert x == pytest.approx(23.5 - 0.3 * 12, abs=0.3)
    assert y == pytest.approx(35.5, abs=0.3)


def test_nothing_touches_the_order_of_colours() -> None:
    red = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    red[:, 0], red[:, 1], red[:, 2] = 200, 60, 30
    for name in ("brightness", "sharpness", "identity", "auto_contrast", "equalize"):
        for strength in (-0.7, 0.7):
            out = apply(name, strength, red)[0, :, 24, 24].tolist()
            assert out[0] > out[1] > out[2], name


def test_each_picture_draws_its_own_and_a_seed_repeats() -> None:
    pixels = picture().repeat(200, 1, 1, 1)
    first = augment(pixels, _ONE, generator=torch.Generator().manual_seed(0))
    again = augment(pixels, _ONE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(first, again)
    assert first.dtype == torch.uint8
    assert first.shape == pixels.shape
    kinds = {row.numpy().tobytes() for row in first}
    # seven operations have two signs, three have none
    assert len(kinds) == 2 * (len(OPERATIONS) - 3) + 3
    one = augment(pixels[:50], _ONE, generator=torch.Generator().manual_seed(1))
    unchanged = sum(torch.equal(row, pixels[0]) for row in one)
    assert 0 < unchanged < 20
