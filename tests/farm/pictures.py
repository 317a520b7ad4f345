"""Odd pictures, right and wrong, each small; what should be seen of each is known."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageSequence, PngImagePlugin

RED, GREEN, BLUE, GREY, WHITE = (
    (200, 30, 30),
    (30, 180, 40),
    (40, 60, 200),
    (128, 128, 128),
    (255, 255, 255),
)
WIDTH, HEIGHT = 64, 48


def flat(
    mode: str = "RGB", colour: object = RED, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Image.Image:
    """Return a picture of one colour."""
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


def scene(seed: int = 3) -> Image.Image:
    """Return a picture with a look of its own (a flat one has no perceptual hash)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the picture's bytes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


JPEG = saved(flat(), "JPEG", quality=95)
PNG = saved(flat(), "PNG")


def exif_turned() -> bytes:
    """Return a picture stored lying on its side: 64 x 48 pixels, to be seen as 48 x 64."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(flat(), "JPEG", quality=95, exif=exif)


def animated(kind: str) -> bytes:
    """Return an animation: first red, then green."""
    frames = [flat(), flat(colour=GREEN)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)


def pages() -> bytes:
    """Return a TIFF of two pages: first red, then green."""
    frames = ImageSequence.all_frames([flat(), flat(colour=GREEN)])
    return saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])


def palette_with_hole() -> bytes:
    """Return a palette PNG whose only colour is transparent: white is to be seen."""
    return saved(flat().convert("P", palette=Image.Palette.ADAPTIVE), "PNG", transparency=0)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    crc = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size it has no pixels for."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG[:8] + header + PNG[33:]


def png_text_bomb() -> bytes:
    """Return a PNG whose compressed comment unpacks to 80 MB."""
    packed = zlib.compress(bytes(80_000_000), 9)
    return PNG[:33] + chunk(b"zTXt", b"Comment\0\0" + packed) + PNG[33:]


def png_bad_checksum() -> bytes:
    """Return a PNG whose pixels' checksum is wrong."""
    at = PNG.index(b"IDAT")
    return PNG[: at + 8] + bytes([PNG[at + 8] ^ 0xFF]) + PNG[at + 9 :]


def png_many_comments() -> bytes:
    """Return a PNG with a thousand comments."""
    info = PngImagePlugin.PngInfo()
    for number in range(1000):
        info.add_text(f"k{number}", "v")
    return saved(flat(), "PNG", pnginfo=info)
