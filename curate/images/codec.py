"""Encoded bytes to RGB and back."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from curate.images.check import (
    DECODER_ERRORS,
    MAX_PIXELS,
    Header,
    ImageFault,
    broken,
    header_of,
    open_image,
)

EncodeFormat = Literal["jpg", "png", "webp"]

ENCODE_FORMATS: tuple[EncodeFormat, ...] = ("jpg", "png", "webp")

_ORIENTATION = 0x0112


def decode(body: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return the picture as RGB, uint8, (height, width, 3).

    The pixels of an ordinary JPEG equal those of OpenCV's decoder, so they equal img2dataset's.
    Odd formats are brought to RGB where img2dataset passes on what OpenCV happens to give:

    - EXIF orientation is applied, for re-encoding loses the tag and would leave the picture
      lying on its side; unreadable EXIF counts as none;
    - grey becomes three equal channels; palettes are resolved; of animations the first frame
      is taken;
    - alpha, also that of a palette, is blended over white with img2dataset's formula;
    - 16 bits keep their upper 8; CMYK is converted without a colour profile.

    Args:
        body: the encoded picture, whole.
        max_pixels: see ``check_header``.

    Raises:
        ImageFault: see ``check_header``; also ``unsupported_image`` for pixel types with no
            plain meaning as RGB (floating point, LAB).
    """
    return decode_with_header(body, max_pixels=max_pixels)[0]


def decode_with_header(
    body: bytes, *, max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[np.uint8], Header, bool]:
    """Decode, and say whether the stored bytes already show these pixels to any reader.

    Returns:
        RGB pixels; the header; True when no orientation, alpha or depth had to be resolved.

    Raises:
        ImageFault: see ``decode``.
    """
    image = open_image(body)
    header = header_of(image, max_pixels=max_pixels)
    try:
        if header.format == "JPEG" and header.mode in ("RGB", "L"):
            pixels = _sound_jpeg(body) if _orientation(image) in (None, 1) else None
            if pixels is not None:
                return pixels, header, True
        image.load()
        turned = _orientation(image) not in (None, 1)
        upright = ImageOps.exif_transpose(image) if turned else image
        plain = header.mode in ("RGB", "L") and "transparency" not in image.info and not turned
        return _to_rgb(upright), header, plain
    except ImageFault:
        raise
    except DECODER_ERRORS as error:
        raise broken(header.format, body, error) from error


def encode(pixels: NDArray[np.uint8], *, encode_format: EncodeFormat, encode_quality: int) -> bytes:
    """Encode RGB pixels with OpenCV, as img2dataset does: equal pixels give equal bytes.

    Args:
        pixels: RGB, uint8, (height, width, 3).
        encode_format: ``jpg``, ``png`` or ``webp``.
        encode_quality: 0 to 100 for JPEG and WebP (above 100, WebP is lossless), 0 to 9 for PNG,
            where it is the compression level.

    Raises:
        ImageFault: ``too_large`` when the format cannot hold the size (WebP ends at 16,383).
    """
    flag = {
        "jpg": cv2.IMWRITE_JPEG_QUALITY,
        "png": cv2.IMWRITE_PNG_COMPRESSION,
        "webp": cv2.IMWRITE_WEBP_QUALITY,
    }[encode_format]
    height, width = pixels.shape[:2]
    limit = 16_383 if encode_format == "webp" else 65_500
    if max(height, width) > limit:
        raise ImageFault("too_large", f"{width} x {height} pixels, {encode_format} ends at {limit}")
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, buffer = cv2.imencode(f".{encode_format}", bgr, [int(flag), encode_quality])
    assert done, "OpenCV encodes every uint8 picture within a format's limits"
    return bytes(buffer.tobytes())


def _sound_jpeg(body: bytes) -> NDArray[np.uint8] | None:
    """Decode a JPEG without any damage: what Pillow gives, in four fifths of its time.

    Returns None where libjpeg has the least to object to, which Pillow then judges.
    """
    try:
        return np.asarray(simplejpeg.decode_jpeg(body, "RGB", strict=True), dtype=np.uint8)
    except ValueError:
        return None


def _orientation(image: Image.Image) -> int | None:
    try:
        value = image.getexif().get(_ORIENTATION)
    except DECODER_ERRORS:
        return None
    return value if isinstance(value, int) else None


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        return _over_white(np.asarray(image.convert("RGBA")))
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("1", "L", "P", "CMYK", "YCbCr", "RGBX"):
        return np.asarray(image.convert("RGB"))
    raise ImageFault("unsupported_image", f"pixels of type {image.mode} in a {image.format}")


def _over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[:, :, 3:]
    blended = alpha / 255 * rgba[:, :, :3] + 255 - alpha
    return np.asarray(np.rint(blended.clip(min=0, max=255)), dtype=np.uint8)
