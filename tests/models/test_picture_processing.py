from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BlipImageProcessorPil,
    BridgeTowerImageProcessorPil,
    ChineseCLIPImageProcessorPil,
    CLIPImageProcessorPil,
    EfficientNetImageProcessorPil,
    FlavaImageProcessorPil,
    SiglipImageProcessorPil,
)

from curate.core.errors import ModelError
from curate.models.checkpoints import Checkpoint
from curate.models.picture_processing import (
    CLIP_MEAN,
    CLIP_STD,
    PictureProcessing,
    centre_crop,
    divisible_size,
)
from tests.models.checkpoints import pictures

HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CLIP = {"image_mean": CLIP_MEAN, "image_std": CLIP_STD}


def _processing(folder: Path, **settings: Any) -> PictureProcessing:
    return PictureProcessing(Checkpoint("m", folder, "0" * 64), defaults=CLIP, **settings)


def _settings(folder: Path, name: str = "preprocessor_config.json", **said: Any) -> Path:
    (folder / name).write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize(
    "processor",
    [
        CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30}),
        CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 31, "width": 31}),
        CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size={"height": 33, "width": 33}),
        ChineseCLIPImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False),
        SiglipImageProcessorPil(size={"height": 32, "width": 32}),
        SiglipImageProcessorPil(size={"height": 24, "width": 48}, resample=2, do_normalize=False),
        BlipImageProcessorPil(size={"height": 32, "width": 32}),
        FlavaImageProcessorPil(
            size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}
        ),
        EfficientNetImageProcessorPil(
            size={"height": 46, "width": 46},
            crop_size={"height": 39, "width": 39},
            **{"do_center_crop": True, "rescale_offset": True, "rescale_factor": 1 / 127.5},
            **{"do_normalize": False, "include_top": False},
        ),
        EfficientNetImageProcessorPil(size={"height": 32, "width": 32}, include_top=True),
        BridgeTowerImageProcessorPil(size={"shortest_edge": 96}, crop_size={"shortest_edge": 96}),
    ],
    ids=lambda processor: type(processor).__name__,
)
def test_equal_to_the_processors_of_transformers(processor: Any, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    ours = _processing(tmp_path)
    some = pictures(8)
    prepared = np.stack([ours.prepare(picture) for picture in some])
    wanted = np.stack([processor(one, return_tensors="np")["pixel_values"][0] for one in some])
    assert prepared.dtype == np.uint8
    assert prepared.shape == (8, 3, ours.height, ours.width) == wanted.shape
    got = ours.normalised(prepared, torch.zeros(1))
    torch.testing.assert_close(got, torch.tensor(wanted), atol=1e-5, rtol=0)


def test_a_plain_number_is_a_square_or_a_shorter_side(tmp_path: Path) -> None:
    folder = _settings(tmp_path, size=30, crop_size=20, do_center_crop=True)
    tall = np.zeros((90, 30, 3), np.uint8)
    tall[35:55] = 255
    squashed = _processing(folder).prepare(tall)
    cropped = _processing(folder, number_is_square=False).prepare(tall)
    assert (cropped == 255).all(), "the middle of a picture that kept its shape"
    assert (squashed[:, 0] < 50).all() and (squashed[:, 10] > 200).all()


def test_settings_of_newer_checkpoints_are_found_in_processor_config(tmp_path: Path) -> None:
    said = {"size": {"height": 4, "width": 4}, **HALF}
    processing = _processing(
        _settings(tmp_path, "processor_config.json", image_processor=said), side=4
    )
    white = np.full((1, 3, 2, 2), 255, np.uint8)
    torch.testing.assert_close(processing.normalised(white, torch.zeros(1)), torch.ones(1, 3, 2, 2))


def test_what_no_file_says_is_the_default(tmp_path: Path) -> None:
    processing = PictureProcessing(
        Checkpoint("m", tmp_path, "0" * 64), defaults={**HALF, "size": 8, "resample": 2}, side=8
    )
    assert processing.prepare(np.zeros((5, 6, 3), np.uint8)).shape == (3, 8, 8)


@pytest.mark.parametrize(
    "said",
    [
        {"size": {"height": 16, "width": 16}},
        {"size": {"shortest_edge": 32}},
        {"size": {"shortest_edge": 32}, "do_center_crop": True, "crop_size": 16},
        {"do_resize": False},
    ],
)
def test_a_size_that_is_not_the_networks_is_refused(said: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"takes 32 x 32: mend its preprocessor_config\.json"):
        _processing(_settings(tmp_path, **said), side=32)


def test_a_crop_larger_than_the_picture_has_black_around() -> None:
    cropped = centre_crop(np.full((2, 3, 3), 9, np.uint8), 5, 5)
    assert cropped[..., 0].tolist() == [
        [0] * 5,
        [0] * 5,
        [0, 9, 9, 9, 0],
        [0, 9, 9, 9, 0],
        [0] * 5,
    ]


@pytest.mark.parametrize(
    ("height", "width", "wanted"),
    [
        (480, 640, (384, 512)),
        (640, 480, (512, 384)),
        (100, 1000, (64, 608)),
        (384, 384, (384,) * 2),
    ],
)
def test_sizes_of_vilt(height: int, width: int, wanted: tuple[int, int]) -> None:
    assert divisible_size(height, width, 384, 32) == wanted
