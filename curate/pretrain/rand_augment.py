"""RandAugment without colour: distortions that leave every word of a caption true.

Source: Cubuk et al. 2019, "RandAugment" (https://arxiv.org/abs/1909.13719), with the operations
that BLIP's code keeps (section 4.1, https://arxiv.org/abs/2201.12086): nothing that inverts, shifts
or removes colours, which captions name.

Shapes: B pictures, C channels, S side of the square.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Operation = Callable[["Tensor", "Tensor"], "Tensor"]
"""Takes floats [B, C, S, S] in 0..255 and strengths [B] in -1..1; returns floats of that shape."""

_MOST_SHEAR = 0.3
_MOST_SHIFT = 0.45
_MOST_DEGREES = 30.0
_MOST_ENHANCEMENT = 0.9


def draw(count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw an operation's number [B] and the sign of its strength [B] for so many pictures."""
    import torch

    chosen_B = torch.randint(len(OPERATIONS), (count,), generator=generator)
    return chosen_B, torch.randint(2, (count,), generator=generator) * 2 - 1


def distort(pixels_BCSS: Tensor, chosen_B: Tensor, strength_B: Tensor) -> Tensor:
    """Apply to each picture the operation of a number, with a strength.

    Args:
        pixels_BCSS: uint8 squares.
        chosen_B: places in ``OPERATIONS``.
        strength_B: in -1..1.

    Returns:
        uint8, of the same shape.
    """
    import torch

    strength_B = strength_B.to(pixels_BCSS.device, torch.float32)
    out = pixels_BCSS.clone()
    for number, operation in enumerate(OPERATIONS.values()):
        rows = torch.nonzero(chosen_B == number)[:, 0].to(pixels_BCSS.device)
        if len(rows):
            changed = operation(pixels_BCSS[rows].float(), strength_B[rows])
            out[rows] = changed.round().clamp(0, 255).to(torch.uint8)
    return out


def identity(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Leave pictures as they are."""
    del strength_B
    return pixels_BCSS


def auto_contrast(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Stretch every channel to the whole range; a channel of one value stays."""
    del strength_B
    low = pixels_BCSS.amin((2, 3), keepdim=True)
    span = pixels_BCSS.amax((2, 3), keepdim=True) - low
    return ((pixels_BCSS - low) * 255 / span.clamp(min=1)).where(span > 0, pixels_BCSS)


def equalize(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Map every channel's values to their rank, so that all are about equally frequent."""
    import torch

    del strength_B
    flat = pixels_BCSS.flatten(2).flatten(0, 1).long()
    counts = torch.zeros(len(flat), 256, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=counts.dtype))
    # as Pillow does it: a value's rank among the others, in steps of a 255th of the pixels
    last = (counts > 0).long().cumsum(1).argmax(1, keepdim=True)
    step = ((counts.sum(1, keepdim=True) - counts.gather(1, last)) / 255).floor()
    below = counts.cumsum(1) - counts
    table = ((below + (step / 2).floor()) / step.clamp(min=1)).floor().clamp(max=255)
    kept = torch.arange(256, device=flat.device, dtype=counts.dtype).expand_as(table)
    table = table.where(step > 0, kept)
    return table.gather(1, flat).view_as(pixels_BCSS)


def brightness(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Multiply all values."""
    return pixels_BCSS * (1 + _MOST_ENHANCEMENT * strength_B)[:, None, None, None]


def sharpness(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Move away from a smoothed copy, or towards it; the border stays."""
    import torch
    import torch.nn.functional as F

    kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], device=pixels_BCSS.device) / 13
    channels = pixels_BCSS.shape[1]
    weight = kernel.expand(channels, 1, 3, 3)
    smooth = pixels_BCSS.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(pixels_BCSS, weight, groups=channels)
    factor = (1 + _MOST_ENHANCEMENT * strength_B)[:, None, None, None]
    return smooth + factor * (pixels_BCSS - smooth)


def shear_x(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Shift every row by its height."""
    return _affine(pixels_BCSS, {(0, 1): _MOST_SHEAR * strength_B})


def shear_y(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Shift every column by its place."""
    return _affine(pixels_BCSS, {(1, 0): _MOST_SHEAR * strength_B})


def shift_x(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Move sideways; what comes in is grey."""
    return _affine(pixels_BCSS, {(0, 2): 2 * _MOST_SHIFT * strength_B})


def shift_y(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Move up or down; what comes in is grey."""
    return _affine(pixels_BCSS, {(1, 2): 2 * _MOST_SHIFT * strength_B})


def rotate(pixels_BCSS: Tensor, strength_B: Tensor) -> Tensor:
    """Turn about the middle; what comes in is grey."""
    angle = math.radians(_MOST_DEGREES) * strength_B
    cos, sin = angle.cos(), angle.sin()
    return _affine(pixels_BCSS, {(0, 0): cos, (0, 1): -sin, (1, 0): sin, (1, 1): cos})


OPERATIONS: dict[str, Operation] = {
    operation.__name__: operation
    for operation in (
        *(identity, auto_contrast, equalize, brightness, sharpness),
        *(shear_x, shear_y, shift_x, shift_y, rotate),
    )
}


def _affine(pixels_BCSS: Tensor, entries: dict[tuple[int, int], Tensor]) -> Tensor:
    """Look every pixel up where a matrix says, in coordinates from -1 to 1; grey outside."""
    import torch
    import torch.nn.functional as F

    theta = torch.eye(2, 3, device=pixels_BCSS.device).repeat(len(pixels_BCSS), 1, 1)
    for (row, column), values in entries.items():
        theta[:, row, column] = values
    grid = F.affine_grid(theta, list(pixels_BCSS.shape), align_corners=False)
    # zeros outside, so shifting by the grey of 127.5 makes the outside grey
    grey = 127.5
    return F.grid_sample(pixels_BCSS - grey, grid, align_corners=False) + grey
