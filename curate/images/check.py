"""What a body is, from its first bytes and header, before a single pixel is decoded."""

from __future__ import annotations

import io
import logging
import struct
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

# Pillow logs some damaged headers; a stranger's picture is told in the ledger, not on the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())

#: Formats that are decoded, by Pillow's names. The list is closed on purpose: Pillow also opens
#: formats that start other programs (EPS) or that no web page uses.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

#: Most pixels a caller may allow; Pillow refuses pictures beyond it (twice its warning limit).
MAX_PIXELS = 178_956_970

#: What Pillow's parsers are known to raise on damaged bytes, besides ``OSError``. A warning is
#: among them because a program may have turned warnings into errors.
DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, EOFError, RuntimeError, AssertionError, struct.error, Warning),
)

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)

_OTHERS = (
    (b"<!doctype html", "HTML"),
    (b"<html", "HTML"),
    (b"<head", "HTML"),
    (b"<body", "HTML"),
    (b"<svg", "SVG"),
    (b"<", "XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"%pdf", "PDF"),
)


class ImageFault(Exception):  # noqa: N818 - a fact about the picture, not an error of the program
    """A picture that cannot be used.

    Attributes:
        reason: stable code for the ledger: ``empty_body``, ``not_an_image``,
            ``truncated_image``, ``broken_image``, ``unsupported_image``, ``too_many_pixels``,
            and from ``prepare`` also ``listed_hash``, ``too_small``, ``too_large``,
            ``aspect_ratio``.
        detail: for people; never empty.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        """Return ``reason: detail``."""
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture says of itself.

    Attributes:
        format: Pillow's name: one of ``FORMATS``, or ``MPO`` for a JPEG with several pictures.
        width: pixels as stored, before any orientation is applied.
        height: pixels as stored.
        mode: Pillow's pixel mode, e.g. ``RGB``, ``P``, ``I;16``.
    """

    format: str
    width: int
    height: int
    mode: str


def check_header(body: bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read format and size without decoding.

    Args:
        body: the encoded picture, whole.
        max_pixels: width times height above this is refused, as a decompression bomb would be.

    Raises:
        ImageFault: ``empty_body``, ``not_an_image``, ``truncated_image``, ``broken_image`` or
            ``too_many_pixels``.
    """
    return header_of(open_image(body), max_pixels=max_pixels)


def header_of(image: Image.Image, *, max_pixels: int) -> Header:
    """Return the header of an opened picture.

    Raises:
        ImageFault: ``too_many_pixels``.
    """
    width, height = image.size
    if width * height > max_pixels:
        raise ImageFault("too_many_pixels", f"{width} x {height} pixels, limit {max_pixels} in all")
    return Header(image.format or "", width, height, image.mode)


def open_image(body: bytes) -> Image.Image:
    """Open a picture lazily: its header is read, its pixels are not.

    Raises:
        ImageFault: ``empty_body``, ``not_an_image``, ``truncated_image``, ``broken_image`` or
            ``too_many_pixels``.
    """
    if not body:
        raise ImageFault("empty_body", "no bytes")
    kind = sniff(body)
    if kind is None:
        raise ImageFault("not_an_image", f"{len(body)} bytes of {_describe(body)}")
    if kind == "WEBP" and len(body) < _riff_length(body):
        raise ImageFault("truncated_image", f"{len(body)} of {_riff_length(body)} bytes of WEBP")
    try:
        return Image.open(io.BytesIO(body), formats=(kind,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageFault("too_many_pixels", str(error)) from error
    except DECODER_ERRORS as error:
        raise broken(kind, body, error) from error


def broken(kind: str, body: bytes, error: BaseException) -> ImageFault:
    """Return the fault of a body that looks like ``kind`` and cannot be decoded."""
    message = " ".join(str(error).split())[:200]
    cut_short = "truncated" in message.lower() or isinstance(error, EOFError)
    reason = "truncated_image" if cut_short else "broken_image"
    if isinstance(error, UnidentifiedImageError):
        message = "the header is damaged or cut short"
    return ImageFault(reason, f"{kind}, {len(body)} bytes: {message or type(error).__name__}")


def sniff(body: bytes) -> str | None:
    """Return the format the first bytes announce, or None.

    Example:
        >>> sniff(b"GIF89a...")
        'GIF'
    """
    for magic, kind in _MAGIC:
        if body.startswith(magic):
            return kind
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "WEBP"
    if body[4:8] == b"ftyp" and body[8:12] in (b"avif", b"avis", b"mif1", b"miaf"):
        return "AVIF"
    return None


def _riff_length(body: bytes) -> int:
    return int.from_bytes(body[4:8], "little") + 8


def _describe(body: bytes) -> str:
    start = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<?xml") and b"<svg" in start:
        return "SVG"
    for magic, name in _OTHERS:
        if start.startswith(magic):
            return name
    if body[4:8] == b"ftyp":
        return "video or HEIF"
    return "unknown type, starting " + body[:8].hex(" ")
