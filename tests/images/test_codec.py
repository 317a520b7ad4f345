from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.images import ImageFault, check_header, decode, encode
from curate.images.check import DECODER_ERRORS
from tests.fuzz.mutate import damaged
from tests.images.pictures import encoded, jpeg, scene


def test_every_allowed_format_decodes_to_the_same_scene() -> None:
    pixels = scene(1)
    for kind, options in {
        "PNG": {},
        "BMP": {},
        "TIFF": {},
        "WEBP": {"lossless": True},
    }.items():
        assert np.array_equal(decode(encoded(pixels, kind, **options)), pixels), kind
    for kind, options in {"JPEG": {"quality": 95}, "AVIF": {"quality": 95}}.items():
        error = np.abs(decode(encoded(pixels, kind, **options)).astype(int) - pixels)
        assert error.mean() < 5, kind


def test_alpha_is_blended_over_white() -> None:
    rgba = np.zeros((4, 6, 4), dtype=np.uint8)
    rgba[:, :3] = (200, 100, 0, 255)
    rgba[:, 3:] = (200, 100, 0, 51)
    pixels = decode(encoded(Image.fromarray(rgba), "PNG"))
    assert pixels[0, 0].tolist() == [200, 100, 0]
    assert pixels[0, 5].tolist() == [244, 224, 204]


def test_palette_with_a_transparent_entry_shows_white_there() -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((1, 0), 1)
    pixels = decode(encoded(image, "PNG", transparency=0))
    assert pixels[0, 1].tolist() == [200, 0, 0]
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_sixteen_bits_keep_the_upper_eight() -> None:
    deep = np.array([[0, 255, 256, 65535, 0x1234]], dtype=np.uint16)
    pixels = decode(encoded(Image.fromarray(deep), "PNG"))
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 255, 0x12]
    assert (pixels == pixels[:, :, :1]).all()


def test_grey_one_bit_and_cmyk_become_rgb() -> None:
    grey = Image.fromarray(scene(2)).convert("L")
    assert np.array_equal(decode(encoded(grey, "PNG"))[:, :, 1], np.asarray(grey))
    bits = Image.fromarray(scene(2)).convert("1")
    assert set(np.unique(decode(encoded(bits, "PNG")))) == {0, 255}
    red = Image.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK")
    assert np.abs(decode(encoded(red, "JPEG")).astype(int) - (250, 10, 10)).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    stored = np.zeros((20, 40, 3), dtype=np.uint8)
    stored[:10, :20] = 255  # bright top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = decode(encoded(stored, "JPEG", quality=95, exif=exif))
    corner = {
        **{1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0)},
        **{5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)},
    }[orientation]
    assert shown.shape == ((20, 40, 3) if orientation < 5 else (40, 20, 3))
    assert shown[corner].min() > 240
    assert shown[-1 - corner[0], -1 - corner[1]].max() < 15


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 255, 0))]
    body = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(body)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("body", "reason", "word"),
    [
        (b"", "empty_body", "no bytes"),
        (b"<!DOCTYPE html><html>404", "not_an_image", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image", "SVG"),
        (b'{"error": 1}', "not_an_image", "JSON"),
        (b"%PDF-1.7 ...", "not_an_image", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not_an_image", "unknown"),
        (b"\xff\xd8\xff\xe0", "broken_image", "JPEG"),
        (jpeg(3)[:-600], "truncated_image", "JPEG"),
        (encoded(scene(3), "PNG")[:-600], "truncated_image", "PNG"),
        (encoded(scene(3), "WEBP")[:-100], "truncated_image", "WEBP"),
        (encoded(scene(3), "GIF")[:-600], "truncated_image", "GIF"),
    ],
)
def test_faults_carry_their_reason(body: bytes, reason: str, word: str) -> None:
    with pytest.raises(ImageFault) as caught:
        decode(body)
    assert caught.value.reason == reason
    assert word in caught.value.detail


def test_floating_point_pixels_are_refused() -> None:
    body = encoded(Image.fromarray(np.ones((4, 4), dtype=np.float32)), "TIFF")
    with pytest.raises(ImageFault) as caught:
        decode(body)
    assert caught.value.reason == "unsupported_image"


def _png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


@pytest.mark.parametrize("side", [1_000, 10_000, 100_000])
def test_too_many_pixels_are_refused_before_decoding(side: int) -> None:
    with pytest.raises(ImageFault) as caught:
        check_header(_png_claiming(side, side), max_pixels=999_999)
    assert caught.value.reason == "too_many_pixels"


def test_header_is_read_without_decoding() -> None:
    header = check_header(jpeg(1, width=50, height=40)[:-500])
    assert (header.format, header.width, header.height, header.mode) == ("JPEG", 50, 40, "RGB")


def test_encode_is_read_back() -> None:
    pixels = scene(4)
    assert np.array_equal(decode(encode(pixels, encode_format="png", encode_quality=3)), pixels)
    for kind, name in (("jpg", "JPEG"), ("webp", "WEBP")):
        body = encode(pixels, encode_format=kind, encode_quality=95)
        assert Image.open(io.BytesIO(body)).format == name
        assert np.abs(decode(body).astype(int) - pixels).mean() < 6


def test_webp_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(ImageFault) as caught:
        encode(np.zeros((1, 16_384, 3), np.uint8), encode_format="webp", encode_quality=80)
    assert caught.value.reason == "too_large"


def _by_pillow(body: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(body), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_sound_jpegs_have_the_pixels_of_pillow_and_opencv(
    subsampling: str, progressive: bool
) -> None:
    for seed, (width, height) in enumerate([(97, 71), (8, 8), (1, 1), (640, 481), (3, 200)]):
        body = encoded(
            *(scene(seed, width=width, height=height), "JPEG"),
            **{"quality": 83, "subsampling": subsampling, "progressive": progressive},
        )
        pixels = decode(body)
        assert np.array_equal(pixels, _by_pillow(body))
        assert np.array_equal(pixels[:, :, ::-1], cv2.imdecode(np.frombuffer(body, np.uint8), 1))


def test_grey_and_rgb_jpegs_have_the_pixels_of_pillow() -> None:
    grey = encoded(Image.fromarray(scene(7)).convert("L"), "JPEG")
    plain = encoded(scene(7), "JPEG", keep_rgb=True)
    for body in (grey, plain):
        assert np.array_equal(decode(body), _by_pillow(body))


def test_damaged_jpegs_are_what_pillow_makes_of_them() -> None:
    good = [jpeg(seed, width=64, height=48) for seed in range(3)]
    good.append(encoded(scene(3, width=64, height=48), "JPEG", progressive=True))
    survived = 0
    for body in damaged(good, 1500, seed=7):
        try:
            expected = _by_pillow(body)
        except DECODER_ERRORS:
            with pytest.raises(ImageFault):
                decode(body)
            continue
        try:
            pixels = decode(body)
        except ImageFault as fault:
            assert fault.reason in ("not_an_image", "too_many_pixels"), body
            continue
        if pixels.shape == expected.shape:  # else upright by a damaged EXIF
            survived += 1
            assert np.array_equal(pixels, expected), body
    assert survived > 100


_KINDS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF")
_BODIES = {kind: encoded(scene(5, width=24, height=16), kind) for kind in _KINDS}


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(_KINDS))
def test_damaged_bytes_decode_or_fault_and_nothing_else(data: st.DataObject, kind: str) -> None:
    body = bytearray(_BODIES[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    try:
        pixels = decode(bytes(body[:cut]), max_pixels=1_000_000)
    except ImageFault as fault:
        assert fault.reason and fault.detail
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3 and pixels.shape[2] == 3
