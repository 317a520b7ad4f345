"""Pictures made in code, for tests of everything that touches images."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def scene(seed: int, *, width: int = 96, height: int = 72) -> NDArray[np.uint8]:
    """Return a smooth random picture, RGB uint8 (height, width, 3), different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    fine = rng.integers(0, 24, (height, width, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth.astype(np.int16) + fine, 0, 255).astype(np.uint8)


def encoded(
    pixels: NDArray[np.uint8] | Image.Image, kind: str = "JPEG", **options: object
) -> bytes:
    """Return the picture as bytes, by Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int, *, width: int = 96, height: int = 72, quality: int = 92) -> bytes:
    """Return ``scene(seed)`` as a JPEG."""
    return encoded(scene(seed, width=width, height=height), "JPEG", quality=quality)
