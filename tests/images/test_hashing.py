from __future__ import annotations

import hashlib
import itertools

import cv2
import numpy as np

from curate.images import decode, hamming, perceptual_hash, resize, sha256_hex
from tests.images.pictures import encoded, scene


def _hash(pixels: np.ndarray) -> int:
    value = perceptual_hash(pixels)
    assert value is not None
    return value


def _reference(pixels: np.ndarray) -> int:
    """The same by OpenCV's own cosine transform and a plain loop over the bits."""
    grey = cv2.resize(
        cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA
    )
    low = cv2.dct(grey.astype(np.float64))[:8, :8]
    middle = float(np.median(low))
    value = 0
    for row, column in itertools.product(range(8), range(8)):
        value = value * 2 + int(low[row, column] > middle)
    return value


def test_equals_the_plain_reference() -> None:
    for seed in range(20):
        pixels = scene(seed, width=120, height=90)
        assert _hash(pixels) == _reference(pixels)


def test_odd_sizes_equal_the_plain_reference_too() -> None:
    for width, height in ((31, 33), (64, 32), (801, 599), (1, 40), (7, 5), (2100, 2000)):
        pixels = scene(width, width=width, height=height)
        assert hamming(_hash(pixels), _reference(pixels)) <= 1, (width, height)


def test_survives_reencoding_and_resizing_and_tells_scenes_apart() -> None:
    hashes = []
    for seed in range(20):
        pixels = scene(seed, width=160, height=120)
        original = _hash(pixels)
        worse = decode(encoded(pixels, "JPEG", quality=40))
        smaller = resize(pixels, size=64, mode="keep_ratio_largest")
        assert hamming(original, _hash(worse)) <= 4
        assert hamming(original, _hash(smaller)) <= 4
        hashes.append(original)
    assert min(hamming(a, b) for a, b in itertools.combinations(hashes, 2)) > 8


def test_half_of_the_bits_are_set() -> None:
    assert _hash(scene(0)).bit_count() == 32


def test_flat_pictures_have_no_hash() -> None:
    for level in (0, 17, 255):
        assert perceptual_hash(np.full((50, 70, 3), level, np.uint8)) is None
    almost = np.full((64, 64, 3), 200, np.uint8)
    almost[3, 5] = 201
    assert perceptual_hash(almost) is None
    half = np.full((64, 64, 3), 200, np.uint8)
    half[:, 32:] = 210
    assert perceptual_hash(half) is not None


def test_sha256_is_the_standard_one() -> None:
    assert sha256_hex(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert hamming(0b1011, 0b0010) == 2
