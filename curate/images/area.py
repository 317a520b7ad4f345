"""Shrinking by averaging areas: the pixels of OpenCV's ``INTER_AREA`` at a third of its cost."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from numpy.typing import NDArray

try:
    from curate.images import _area
except ImportError:  # installed without a compiler, or on a processor other than x86-64
    _area = None  # type: ignore[assignment]

#: Whether the compiled loop is installed; without it OpenCV makes the same pixels.
COMPILED = _area is not None


def shrink(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return the picture with every pixel the mean of the area it stands for.

    Equal to ``cv2.resize`` with ``INTER_AREA``, of which only the case of a shrinking that is no
    whole number on both axes is computed here; OpenCV is fast at whole numbers, and area means
    nothing where an axis grows.

    Args:
        pixels: RGB, uint8, (height, width, 3).
        width: of the result, pixels.
        height: of the result, pixels.
    """
    rows, columns = pixels.shape[:2]
    if _area is None or width > columns or height > rows or _whole(columns, width, rows, height):
        resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(resized, dtype=np.uint8)
    target = np.empty((height, width, 3), dtype=np.uint8)
    _area.shrink(np.ascontiguousarray(pixels), rows, columns, target, height, width)
    return target


def _whole(columns: int, width: int, rows: int, height: int) -> bool:
    """Whether OpenCV takes both scales for whole numbers."""
    scales = (1 / (width / columns), 1 / (height / rows))
    return all(abs(scale - round(scale)) < sys.float_info.epsilon for scale in scales)
