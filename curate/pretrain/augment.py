"""Random resized crop and distortions of a whole batch at once, on its device, in plain torch.

Shapes: B pictures, C channels, S side of the square.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from curate.pretrain.config import AugmentConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def augment(pixels_BCSS: Tensor, config: AugmentConfig, *, generator: torch.Generator) -> Tensor:
    """Cut a random part out of every picture, stretch it to the picture's size, and distort it.

    Args:
        pixels_BCSS: uint8 squares.
        config: how much is cut, and what distorts.
        generator: source of chance, on the CPU, so that a seed means the same on every device.

    Returns:
        uint8, of the same shape; the very same tensor when the config does nothing.
    """
    from curate.pretrain.rand_augment import rand_augment

    if config.crops:
        pixels_BCSS = _crop(pixels_BCSS, config, generator)
    for _ in range(config.rand_augment):
        pixels_BCSS = rand_augment(pixels_BCSS, config.rand_magnitude, generator=generator)
    return pixels_BCSS


def _crop(pixels_BCSS: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    import torch
    import torch.nn.functional as F

    num = len(pixels_BCSS)
    uniform = torch.rand(5, num, generator=generator)
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
