"""Random resized crop and distortions of a whole batch at once, on its device, in plain torch.

Shapes: B pictures, C channels, S side of the square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from curate.pretrain.config import AugmentConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def augment(
    pixels_BCSS: Tensor,
    config: AugmentConfig,
    *,
    generator: torch.Generator,
    among: tuple[int, Sequence[int]] | None = None,
) -> Tensor:
    """Cut a random part out of every picture, stretch it to the picture's size, and distort it.

    Args:
        pixels_BCSS: uint8 squares.
        config: how much is cut, and what distorts.
        generator: source of chance, on the CPU, so that a seed means the same on every device.
        among: where these are some rows of a larger batch, its size and which rows: what happens to
            a picture then does not hang on which others are here.

    Returns:
        uint8, of the same shape; the very same tensor when the config does nothing.
    """
    import torch

    from curate.pretrain.rand_augment import distort, draw

    if not len(pixels_BCSS):
        return pixels_BCSS
    count, rows = among or (len(pixels_BCSS), range(len(pixels_BCSS)))
    if config.crops:
        uniform_5B = torch.rand(5, count, generator=generator)[:, list(rows)]
        pixels_BCSS = _crop(pixels_BCSS, config, uniform_5B)
    for _ in range(config.rand_augment):
        chosen_B, sign_B = (x[list(rows)] for x in draw(count, generator=generator))
        strength_B = sign_B * (config.rand_magnitude / 10)
        pixels_BCSS = distort(pixels_BCSS, chosen_B, strength_B)
    return pixels_BCSS


def _crop(pixels_BCSS: Tensor, config: AugmentConfig, uniform: Tensor) -> Tensor:
    import torch
    import torch.nn.functional as F

    num = len(pixels_BCSS)
    area = config.crop_area[0] + (config.crop_area[1] - config.crop_area[0]) * uniform[0]
    low, high = map(math.log, config.crop_aspect)
    aspect = torch.exp(low + (high - low) * uniform[1])
    width = (area * aspect).sqrt().clamp(max=1)
    height = (area / aspect).sqrt().clamp(max=1)
    theta = torch.zeros(num, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2] = (1 - width) * (2 * uniform[2] - 1)
    theta[:, 1, 2] = (1 - height) * (2 * uniform[3] - 1)
    if config.flip:
        theta[:, 0, 0] *= torch.where(uniform[4] < 0.5, -1.0, 1.0)
    theta = theta.to(pixels_BCSS.device)
    grid = F.affine_grid(theta, list(pixels_BCSS.shape), align_corners=False)
    cut = F.grid_sample(pixels_BCSS.float(), grid, padding_mode="border", align_corners=False)
    return cut.round().to(torch.uint8)
