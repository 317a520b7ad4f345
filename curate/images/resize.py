"""img2dataset's resize modes, under its names, without its redirected file descriptors."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.images.area import shrink

ResizeMode = Literal["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]

RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)

Interpolation = Literal[
    "nearest", "linear", "bilinear", "cubic", "bicubic", "area", "lanczos", "lanczos4"
]

_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "bilinear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "lanczos4": cv2.INTER_LANCZOS4,
}


def resized_shape(
    width: int, height: int, *, size: int, mode: ResizeMode, only_if_bigger: bool
) -> tuple[int, int] | None:
    """Return (width, height) after scaling, before border or crop; None when left as it is.

    ``keep_ratio`` and ``center_crop`` bring the shorter side to ``size``, ``border`` and
    ``keep_ratio_largest`` the longer one.
    """
    if mode == "no":
        return None
    side = min if mode in ("keep_ratio", "center_crop") else max
    if only_if_bigger and side(width, height) <= size:
        return None
    scale = size / side(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize(
    pixels: NDArray[np.uint8],
    *,
    size: int,
    mode: ResizeMode,
    only_if_bigger: bool = False,
    upscale_interpolation: Interpolation = "lanczos",
    downscale_interpolation: Interpolation = "area",
) -> NDArray[np.uint8]:
    """Resize as img2dataset 1.47 does; pixel-equal to its ``Resizer`` for RGB pictures.

    Args:
        pixels: RGB, uint8, (height, width, 3).
        size: target side, pixels; see ``resized_shape``.
        mode: ``border`` also pads to a square with white, ``center_crop`` cuts the square out.
        only_if_bigger: leave a picture alone whose side in question is not above ``size``.
        upscale_interpolation: filter when the side in question grows or stays.
        downscale_interpolation: filter when it shrinks.

    Returns:
        RGB, uint8. The input itself when nothing is to be done.

    Source:
        https://github.com/rom1504/img2dataset, ``resizer.py``.
    """
    height, width = pixels.shape[:2]
    target = resized_shape(width, height, size=size, mode=mode, only_if_bigger=only_if_bigger)
    if target is None:
        return pixels
    if target != (width, height):
        side = min if mode in ("keep_ratio", "center_crop") else max
        shrinks = side(width, height) > size
        name = downscale_interpolation if shrinks else upscale_interpolation
        if name == "area":
            pixels = shrink(pixels, *target)
        else:
            resized = cv2.resize(pixels, target, interpolation=_INTERPOLATION[name])
            pixels = np.asarray(resized, dtype=np.uint8)
    if mode == "center_crop":
        return _center_crop(pixels, size)
    if mode == "border":
        return _pad_white(pixels, size)
    return pixels


def _center_crop(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[top : top + size, left : left + size]


def _pad_white(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    top, left = (size - height) // 2, (size - width) // 2
    square = np.full((size, size, 3), 255, dtype=np.uint8)
    square[top : top + height, left : left + width] = pixels
    return square
