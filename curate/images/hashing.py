"""Identity of a picture: of its bytes (SHA-256) and of what it shows (perceptual hash)."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE, _BLOCK = 32, 8

#: The sums of this many grey levels fit into 32 bits.
_INTEGRAL_PIXELS = 4_000_000

#: A picture whose coefficients all stay below this is flat: its waves are under half a grey level.
_FLAT = 8.0


def sha256_hex(body: bytes) -> str:
    """Return the SHA-256 of the bytes, 64 hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()


def perceptual_hash(pixels: NDArray[np.uint8]) -> int | None:
    """Return a 64-bit hash that survives resizing and re-encoding, or None for a flat picture.

    Grey, area-averaged to 32 x 32, discrete cosine transform; a bit is set where one of the
    8 x 8 lowest frequencies lies above their median (bit 63 is the mean brightness, then row by
    row). Rotation, mirroring and crops change it. A picture whose low frequencies are all
    (nearly) nothing has no hash: it would be equal to every other flat picture.

    Args:
        pixels: RGB, uint8, (height, width, 3).

    Source:
        Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010,
        section 3.2.1; the median over all 64 coefficients follows the ImageHash library.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = _area_averages(grey)
    low = _DCT @ small @ _DCT.T
    # Rounding keeps a tie a tie whatever order a processor adds in.
    low = np.round(low, 6)
    if np.abs(low.ravel()[1:]).max() < _FLAT:
        return None
    middle = np.sort(low, axis=None)[_MIDDLE].mean()
    bits = (low > middle).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _area_averages(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean grey of each field of a 32 x 32 grid, rounded to whole levels.

    The fields' borders fall between pixels, so sums are read off an integral image at fractional
    places: the numbers of ``cv2.resize`` with ``INTER_AREA``, three times as fast. Left
    to ``cv2.resize`` are very large pictures, since the integral image takes 4 bytes a pixel, and
    those that have to be enlarged.
    """
    height, width = grey.shape
    if height * width > _INTEGRAL_PIXELS or min(height, width) < _SIDE:
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.float64)
    sums = np.asarray(cv2.integral(grey, sdepth=cv2.CV_32S))
    (rows, row_part), (columns, column_part) = _borders(height), _borders(width)
    upper_lower, left_right = np.stack((rows, rows + 1)), np.stack((columns, columns + 1))
    around = sums[upper_lower[:, None, :, None], left_right[:, None]]
    part = row_part[:, None]
    bands = around[0] * (1 - part) + around[1] * part
    corners = bands[0] * (1 - column_part) + bands[1] * column_part
    totals = np.diff(np.diff(corners, axis=0), axis=1)
    return np.asarray(np.rint(totals * (_SIDE * _SIDE / (height * width))), dtype=np.float64)


def _borders(length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where a side is cut into 32: the pixel and how far into it, (33,) each."""
    places = np.arange(_SIDE + 1) * (length / _SIDE)
    whole = np.minimum(places.astype(np.int64), length - 1)
    return whole, np.asarray(places - whole, dtype=np.float64)


def hamming(left: int, right: int) -> int:
    """Return the number of bits in which two hashes differ."""
    return (left ^ right).bit_count()


def _dct_basis() -> NDArray[np.float64]:
    """Return the first 8 rows of the orthonormal DCT-II of length 32, (8, 32)."""
    frequency = np.arange(_BLOCK)[:, None]
    position = np.arange(_SIDE)[None, :]
    basis = np.cos(np.pi * frequency * (2 * position + 1) / (2 * _SIDE)) * np.sqrt(2 / _SIDE)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, dtype=np.float64)


_DCT = _dct_basis()

#: Of the 64 coefficients in order, the two whose mean is the median.
_MIDDLE = slice(_BLOCK * _BLOCK // 2 - 1, _BLOCK * _BLOCK // 2 + 1)
