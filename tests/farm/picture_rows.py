"""Bodies: what is a picture, what is none, what is hidden in one, and hashes of them."""

from __future__ import annotations

import hashlib
import zipfile
from io import BytesIO

import numpy as np
from PIL import Image

from curate.images import decode, perceptual_hash
from tests.farm import pictures as made
from tests.farm.behaviour import DECODED, Behaviour, reply
from tests.farm.pictures import GREEN, GREY, HEIGHT, JPEG, PNG, RED, WHITE, WIDTH, flat, saved

_SIZE = (WIDTH, HEIGHT)
_ZIP = BytesIO()
with zipfile.ZipFile(_ZIP, "w") as _file:
    _file.writestr("evil.txt", "hidden")


def _is(
    name: str,
    does: str,
    body: bytes,
    colour: tuple[int, int, int] = RED,
    size: tuple[int, int] = _SIZE,
) -> Behaviour:
    return Behaviour(name, does, DECODED, reply(body), shows=(*size, colour))


def _not(name: str, does: str, ends: str, body: bytes) -> Behaviour:
    return Behaviour(name, does, ends, reply(body))


_SIXTEEN = Image.fromarray(np.full((HEIGHT, WIDTH), 128 * 257, dtype=np.uint16))

PICTURES = (
    _is("png", "PNG", PNG),
    _is("webp", "WebP", saved(flat(), "WEBP", quality=95)),
    _is("gif", "GIF", saved(flat(), "GIF")),
    _is("bmp", "BMP", saved(flat(), "BMP")),
    _is("tiff", "TIFF", saved(flat(), "TIFF")),
    _is("avif", "AVIF", saved(flat(), "AVIF", quality=95)),
    _is("progressive", "progressive JPEG", saved(flat(), "JPEG", progressive=True, quality=95)),
    _is("grey", "grey JPEG", saved(flat("L", 128), "JPEG", quality=95), GREY),
    _is("cmyk", "CMYK JPEG", saved(flat().convert("CMYK"), "JPEG", quality=95)),
    _is("sixteen-bit", "grey PNG of 16 bits", saved(_SIXTEEN, "PNG"), GREY),
    _is("one-bit", "black and white PNG of 1 bit", saved(flat("1", 1), "PNG"), WHITE),
    _is(
        "palette", "palette PNG", saved(flat().convert("P", palette=Image.Palette.ADAPTIVE), "PNG")
    ),
    _is("palette-hole", "palette PNG, all of it transparent", made.palette_with_hole(), WHITE),
    _is("alpha", "half-transparent PNG", saved(flat("RGBA", (0, 0, 0, 127)), "PNG"), GREY),
    _is("alpha-grey", "grey PNG with alpha 0", saved(flat("LA", (0, 0)), "PNG"), WHITE),
    _is("animated-gif", "animated GIF: its first frame", made.animated("GIF")),
    _is("animated-webp", "animated WebP: its first frame", made.animated("WEBP")),
    _is("animated-png", "animated PNG: its first frame", made.animated("PNG")),
    _is("pages", "TIFF of two pages: the first", made.pages()),
    _is("turned", "JPEG on its side by EXIF: upright", made.exif_turned(), RED, (HEIGHT, WIDTH)),
    _is(
        "exif-broken",
        "JPEG with broken EXIF",
        saved(flat(), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff"),
    ),
    _is("one-pixel", "one pixel", saved(flat(size=(1, 1)), "PNG"), RED, (1, 1)),
    _is("comments", "PNG with a thousand comments", made.png_many_comments()),
    _is("hides-zip", "JPEG with a ZIP behind it", JPEG + _ZIP.getvalue()),
    _is(
        "hides-script",
        "GIF with a script behind it",
        saved(flat(colour=GREEN), "GIF") + b"<script>alert(1)</script>",
        GREEN,
    ),
)

NO_PICTURES = (
    _not(
        "html",
        "a web page named .jpg",
        "not_an_image",
        b"<!DOCTYPE html><html><img src=a.jpg></html>",
    ),
    _not("svg", "an SVG named .jpg", "not_an_image", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
    _not("text", "plain words", "not_an_image", b"no picture here"),
    _not("json", "JSON", "not_an_image", b'{"error": "gone"}'),
    _not("pdf", "a PDF", "not_an_image", b"%PDF-1.7 ..."),
    _not("eps", "EPS, which would start a program", "not_an_image", b"%!PS-Adobe-3.0 EPSF-3.0\n"),
    _not("ico", "an icon", "not_an_image", saved(flat(size=(16, 16)), "ICO")),
    _not("mp4", "a video", "not_an_image", b"\0\0\0\x20ftypisom" + bytes(100)),
    _not("zeros", "a thousand zeros", "not_an_image", bytes(1000)),
    _not("empty", "no bytes", "empty_body", b""),
    _not("leading", "a PNG behind other bytes", "not_an_image", b"xx" + PNG),
    _not("cut-jpeg", "a JPEG cut in half", "truncated_image", JPEG[: len(JPEG) // 2]),
    _not("cut-png", "a PNG cut in half", "truncated_image", saved(made.scene(), "PNG")[:2000]),
    _not("cut-webp", "a WebP cut short", "truncated_image", saved(made.scene(), "WEBP")[:-40]),
    _not("cut-head", "the first 10 bytes of a JPEG", "truncated_image", JPEG[:10]),
    _not("broken-png", "a PNG with a wrong checksum", "broken_image", made.png_bad_checksum()),
    _not(
        "float-tiff",
        "a TIFF of floating-point numbers",
        "unsupported_image",
        saved(flat("F", 1.5), "TIFF"),
    ),
    _not(
        "pixel-bomb",
        "a PNG of 60,000 x 60,000 pixels in 150 bytes",
        "too_many_pixels",
        made.png_claiming(60_000, 60_000),
    ),
    _not(
        "above-cap",
        "a PNG that claims 10,000 x 10,000 pixels",
        "too_many_pixels",
        made.png_claiming(10_000, 10_000),
    ),
    _not("text-bomb", "a PNG with an 80 MB comment in 78 KB", "broken_image", made.png_text_bomb()),
    _not("no-pixels", "a PNG of 0 x 0 pixels", "broken_image", made.png_claiming(0, 0)),
)

_LISTED = saved(made.scene(11), "JPEG", quality=95)
_LOOKED = saved(made.scene(12), "JPEG", quality=95)
_LOOK = perceptual_hash(decode(_LOOKED))
assert _LOOK is not None

#: Lines of the hash list the farm is run with.
HASH_LIST = (f"sha256:{hashlib.sha256(_LISTED).hexdigest()}", f"phash:{_LOOK:016x}")

HASHES = (
    Behaviour(
        "sum-right",
        "the list's SHA-256",
        DECODED,
        reply(JPEG),
        column=hashlib.sha256(JPEG).hexdigest(),
    ),
    Behaviour(
        "sum-wrong",
        "other bytes than the list's SHA-256",
        "hash_mismatch",
        reply(JPEG),
        column="0" * 64,
    ),
    _not("listed-bytes", "bytes on the hash list", "listed_hash", _LISTED),
    _not(
        "listed-look",
        "the look of a listed picture, re-encoded at half quality",
        "listed_hash",
        saved(made.scene(12), "JPEG", quality=50),
    ),
)
