from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from curate.images import RESIZE_MODES, ImageFault, decode, prepare, resize, resized_shape
from tests.images.pictures import encoded, jpeg, scene

_SHAPES = [(96, 72), (72, 96), (64, 64), (200, 31), (33, 150), (40, 20), (1, 90), (65, 64)]

_UPSTREAM = """
import io, json, os, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["WANDB_MODE"] = "disabled"
from img2dataset.resizer import Resizer
folder = Path(sys.argv[1])
for case in json.loads((folder / "cases.json").read_text()):
    resizer = Resizer(**case["options"])
    body = (folder / case["body"]).read_bytes()
    image, width, height, original_width, original_height, error = resizer(io.BytesIO(body))
    assert error is None, error
    (folder / case["out"]).write_bytes(image)
"""


def test_bytes_equal_those_of_img2dataset(tmp_path: Path) -> None:
    cases = []
    for index, (width, height) in enumerate(_SHAPES):
        (tmp_path / f"{index}.jpg").write_bytes(jpeg(index, width=width, height=height))
        for mode in RESIZE_MODES:
            for only_if_bigger in (False, True):
                for kind, quality in (("jpg", 95), ("png", 3), ("webp", 101)):
                    cases.append(
                        {
                            "body": f"{index}.jpg",
                            "out": f"out-{len(cases)}",
                            "options": {
                                "image_size": 64,
                                "resize_mode": mode,
                                "resize_only_if_bigger": only_if_bigger,
                                "encode_format": kind,
                                "encode_quality": quality,
                            },
                        }
                    )
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-c", _UPSTREAM, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for case in cases:
        options = case["options"]
        ours = prepare(
            (tmp_path / case["body"]).read_bytes(),
            size=options["image_size"],
            mode=options["resize_mode"],
            only_if_bigger=options["resize_only_if_bigger"],
            encode_format=options["encode_format"],
            encode_quality=options["encode_quality"],
        )
        theirs = (tmp_path / case["out"]).read_bytes()
        assert np.array_equal(decode(ours.image), decode(theirs)), options
        assert ours.image == theirs, options


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("no", (80, 40)),
        ("keep_ratio", (40, 20)),
        ("keep_ratio_largest", (20, 10)),
        ("center_crop", (20, 20)),
        ("border", (20, 20)),
    ],
)
def test_shapes_of_the_modes(mode: str, shape: tuple[int, int]) -> None:
    resized = resize(scene(1, width=80, height=40), size=20, mode=mode)
    assert resized.shape == (shape[1], shape[0], 3)


def test_border_is_white_and_centred() -> None:
    square = resize(np.zeros((10, 40, 3), np.uint8), size=20, mode="border")
    assert (square[:7] == 255).all()
    assert (square[7:12] == 0).all()
    assert (square[12:] == 255).all()


def test_only_if_bigger_leaves_small_pictures() -> None:
    pixels = scene(1, width=30, height=20)
    assert resize(pixels, size=64, mode="border", only_if_bigger=True) is pixels
    assert resized_shape(30, 20, size=64, mode="border", only_if_bigger=False) == (64, 43)


def test_skip_reencode_keeps_an_untouched_body() -> None:
    body = jpeg(1, quality=40)
    keep = {"mode": "keep_ratio", "only_if_bigger": True, "skip_reencode": True}
    assert prepare(body, size=512, **keep).image == body
    assert prepare(body, size=512, **{**keep, "skip_reencode": False}).image != body
    assert prepare(body, size=32, **keep).image != body
    as_png = prepare(body, size=512, encode_format="png", encode_quality=3, **keep)
    assert as_png.image[:4] == b"\x89PNG"
    assert prepare(encoded(scene(1), "PNG"), size=512, **keep).image[:2] == b"\xff\xd8"


def test_prepared_numbers_describe_body_and_image() -> None:
    body = jpeg(2, width=100, height=50)
    got = prepare(body, size=20, mode="keep_ratio")
    assert (got.original_width, got.original_height, got.width, got.height) == (100, 50, 40, 20)
    assert decode(got.image).shape == (20, 40, 3)
    again = prepare(body, size=30, mode="border")
    assert (again.sha256, again.phash) == (got.sha256, got.phash)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"min_image_size": 51}, "too_small"),
        ({"max_image_area": 4999}, "too_large"),
        ({"max_aspect_ratio": 1.9}, "aspect_ratio"),
        ({"max_pixels": 4999}, "too_many_pixels"),
    ],
)
def test_limits(options: dict[str, float], reason: str) -> None:
    body = jpeg(2, width=100, height=50)
    with pytest.raises(ImageFault) as caught:
        prepare(body, size=20, mode="no", **options)
    assert caught.value.reason == reason
