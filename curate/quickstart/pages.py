"""What the loopback web answers: whole pictures, and every way in which a picture is not one."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from PIL import Image, ImageDraw, ImageEnhance

JPEG, PNG, WEBP, HTML = "image/jpeg", "image/png", "image/webp", "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the server.

    Attributes:
        body: the bytes sent.
        content_type: what the header claims, true or not.
        status: HTTP status.
        headers: further headers.
        ending: ``whole``; ``cut``: twice the bytes are announced, then the connection closes;
            ``reset``: the connection is reset before a single byte.
    """

    body: bytes
    content_type: str = JPEG
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    ending: Literal["whole", "cut", "reset"] = "whole"


def encoded(image: Image.Image, format: str = "JPEG", **options: int | bool) -> bytes:  # noqa: A002
    """Return a picture's bytes in one of Pillow's formats."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decoded(body: bytes) -> Image.Image:
    """Return a picture's pixels as RGB."""
    with Image.open(io.BytesIO(body)) as image:
        return image.convert("RGB")


def in_some_format(body: bytes, random: Random) -> Page:
    """Return a whole picture: the JPEG as it is, or now and then PNG or WebP."""
    choice = random.random()
    if choice < 0.10:
        return Page(encoded(decoded(body), "PNG"), PNG)
    if choice < 0.20:
        return Page(encoded(decoded(body), "WEBP", quality=90), WEBP)
    return Page(body)


def error_page(status: int) -> Page:
    """Return a server's apology, in HTML as servers do."""
    body = f"<!doctype html><title>{status}</title><p>Sorry, this picture is not here.</p>"
    return Page(body.encode(), HTML, status)


def redirect(location: str, status: int = 302) -> Page:
    """Return an answer that sends the client elsewhere."""
    return Page(b"", HTML, status, (("Location", location),))


def html_page(random: Random) -> Page:
    """Return a web page under a picture's name; every second time the header lies as well."""
    body = b"<!doctype html><html><title>Gallery</title><body><h1>Please log in</h1></body></html>"
    return Page(body, random.choice([HTML, JPEG]))


def svg_page(random: Random) -> Page:
    """Return a vector drawing."""
    radius = random.randrange(20, 90)
    body = f'<svg xmlns="http://www.w3.org/2000/svg"><circle cx="99" cy="99" r="{radius}"/></svg>'
    return Page(body.encode(), "image/svg+xml")


def text_page(random: Random) -> Page:
    """Return plain words."""
    body = f"hotlinking is not allowed, request {random.getrandbits(32):08x} was logged\n"
    return Page(body.encode(), random.choice(["text/plain", JPEG]))


def truncated(body: bytes, random: Random) -> Page:
    """Return the first half of a picture, announced as if it were all."""
    return Page(body[: int(len(body) * random.uniform(0.35, 0.65))])


def icon(body: bytes, random: Random) -> Page:
    """Return a picture of at most 48 pixels a side."""
    image = decoded(body)
    side = random.choice([16, 24, 32, 48])
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return Page(encoded(image, "PNG"), PNG)


def tracking_pixel(random: Random) -> Page:
    """Return one pixel."""
    image = Image.new("P", (1, 1), random.randrange(256))
    return Page(encoded(image, "GIF"), "image/gif")


def banner(random: Random) -> Page:
    """Return an advertisement's shape: six to ten times as wide as it is high."""
    height = random.randrange(90, 121)
    image = Image.new("RGB", (height * random.randrange(6, 11), height), _colour(random))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = random.randrange(image.width), random.randrange(image.height)
        draw.rectangle((left, top, left + 70, top + 30), fill=_colour(random))
    return Page(encoded(image, quality=85))


def near_duplicate(body: bytes, random: Random) -> Page:
    """Return a picture as it comes back from elsewhere: smaller, cropped, brighter, re-encoded."""
    image = random.choice(ALTERATIONS)(decoded(body))
    return Page(encoded(image, quality=random.randrange(60, 80)))


def _colour(random: Random) -> tuple[int, int, int]:
    return random.randrange(256), random.randrange(256), random.randrange(256)


def _same(image: Image.Image) -> Image.Image:
    return image


def _smaller(image: Image.Image) -> Image.Image:
    size = (round(image.width * 0.92), round(image.height * 0.92))
    return image.resize(size, Image.Resampling.BICUBIC)


def _larger(image: Image.Image) -> Image.Image:
    size = (round(image.width * 1.25), round(image.height * 1.25))
    return image.resize(size, Image.Resampling.BICUBIC)


def _cropped(image: Image.Image) -> Image.Image:
    across, down = round(image.width * 0.01), round(image.height * 0.01)
    return image.crop((across, down, image.width - across, image.height - down))


def _brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.06)


def _darker(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(0.92)


ALTERATIONS: tuple[Callable[[Image.Image], Image.Image], ...] = (
    _same,
    _smaller,
    _larger,
    _cropped,
    _brighter,
    _darker,
)
