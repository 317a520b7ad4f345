"""From a decoded picture to the square bytes that MED takes: the one way, in training and after.

Shapes: C channels, H height, W width, S side of the square.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def square_pixels(rgb_HWC: Tensor, size: int) -> Tensor:
    """Squash a picture to a square, aspect ratio not kept, as BLIP does.

    Args:
        rgb_HWC: RGB bytes, uint8 [H, W, 3].
        size: side of the square, pixels.

    Returns:
        uint8 [3, S, S]; the very bytes given when they are of that size already.
    """
    pixels_CHW = rgb_HWC.permute(2, 0, 1)
    if pixels_CHW.shape[1:] == (size, size):
        return pixels_CHW.contiguous()
    resized = F.interpolate(
        pixels_CHW[None].float(), (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0].round().clamp(0, 255).to(torch.uint8)
