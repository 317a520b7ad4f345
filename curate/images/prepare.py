"""From a downloaded body to the columns of a row: checked, decoded, hashed, resized, encoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.images.check import MAX_PIXELS, ImageFault
from curate.images.codec import EncodeFormat, decode_with_header, encode
from curate.images.hashing import perceptual_hash, sha256_hex
from curate.images.listed import HashList
from curate.images.resize import Interpolation, ResizeMode, resize

_STORED_AS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture ready for the table.

    Attributes:
        image: encoded bytes.
        width: pixels of ``image``.
        height: pixels of ``image``.
        original_width: pixels of the body, upright.
        original_height: pixels of the body, upright.
        sha256: of the body as it came, before resizing.
        phash: of the body's pixels, before resizing; None for a flat picture.
    """

    image: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    sha256: str
    phash: int | None


def prepare(
    body: bytes,
    *,
    size: int | None,
    mode: ResizeMode,
    only_if_bigger: bool = False,
    upscale_interpolation: Interpolation = "lanczos",
    downscale_interpolation: Interpolation = "area",
    encode_format: EncodeFormat = "jpg",
    encode_quality: int = 95,
    skip_reencode: bool = False,
    min_image_size: int = 0,
    max_image_area: float = math.inf,
    max_aspect_ratio: float = math.inf,
    max_pixels: int = MAX_PIXELS,
    listed: HashList | None = None,
) -> Prepared:
    """Check, decode, hash, resize and encode one body.

    Options carry img2dataset's names (``size`` is its ``image_size``); ``skip_reencode`` keeps
    the body as it came when it has the wanted format and nothing was changed. ``listed`` are
    hashes of pictures that must not be used: of bytes before anything is decoded, of looks before
    anything is made of the pixels.

    Raises:
        ImageFault: the body cannot be decoded, or ``listed_hash``, ``too_small``, ``too_large``
            (area) or ``aspect_ratio``.
    """
    if listed is not None:
        _refuse(listed.match_bytes(body))
    pixels, header, plain = decode_with_header(body, max_pixels=max_pixels)
    phash = perceptual_hash(pixels)
    if listed is not None and phash is not None:
        _refuse(listed.match_look(phash))
    height, width = pixels.shape[:2]
    _check_shape(
        width,
        height,
        min_image_size=min_image_size,
        max_image_area=max_image_area,
        max_aspect_ratio=max_aspect_ratio,
    )
    resized: NDArray[np.uint8] = pixels
    if size is not None:
        resized = resize(
            pixels,
            size=size,
            mode=mode,
            only_if_bigger=only_if_bigger,
            upscale_interpolation=upscale_interpolation,
            downscale_interpolation=downscale_interpolation,
        )
    untouched = plain and resized is pixels and _STORED_AS.get(header.format) == encode_format
    if skip_reencode and untouched:
        image = body
    else:
        image = encode(resized, encode_format=encode_format, encode_quality=encode_quality)
    return Prepared(
        image=image,
        width=resized.shape[1],
        height=resized.shape[0],
        original_width=width,
        original_height=height,
        sha256=sha256_hex(body),
        phash=phash,
    )


def _refuse(match: str | None) -> None:
    if match is not None:
        raise ImageFault("listed_hash", match)


def _check_shape(
    width: int,
    height: int,
    *,
    min_image_size: int,
    max_image_area: float,
    max_aspect_ratio: float,
) -> None:
    shape = f"{width} x {height} pixels"
    if min(width, height) < min_image_size:
        raise ImageFault("too_small", f"{shape}, min_image_size {min_image_size}")
    if width * height > max_image_area:
        raise ImageFault("too_large", f"{shape}, max_image_area {max_image_area:g}")
    if max(width, height) / min(width, height) > max_aspect_ratio:
        raise ImageFault("aspect_ratio", f"{shape}, max_aspect_ratio {max_aspect_ratio:g}")
