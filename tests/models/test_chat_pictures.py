from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from curate.core.errors import ModelError
from curate.models.chat_pictures import CANVAS, ChatPictures, on_canvas
from tests.models.checkpoints import pictures

QWEN = {"patch_size": 8, "merge_size": 2, "size": {"shortest_edge": 256, "longest_edge": 4096}}
SQUARE = {"height": 32, "width": 32}


def _pictures(processor: Any, *, tiles: bool = False, canvas: int | None = None) -> ChatPictures:
    return ChatPictures(processor, tiles=tiles, canvas=canvas, name="m")


def _equal_to_the_processor(ours: ChatPictures, processor: Any) -> None:
    some = pictures(5)
    batch = np.stack([ours.prepare(one) for one in some])
    assert batch.dtype == np.uint8
    fitted = [Image.fromarray(ours.fit(one)) for one in some]
    wanted = [processor(images=[one], return_tensors="pt")["pixel_values"] for one in fitted]
    got = ours.normalised(batch, torch.zeros(1))
    torch.testing.assert_close(got, torch.cat(wanted), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "processor",
    [
        hf.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE),
        hf.SiglipImageProcessorPil(size=SQUARE),
        hf.Gemma3ImageProcessorPil(size=SQUARE),
    ],
    ids=lambda processor: type(processor).__name__,
)
def test_pictures_of_one_size_need_no_canvas(processor: Any) -> None:
    ours = _pictures(processor)
    assert not ours.depends
    (picture,) = pictures(1)
    assert ours.fit(picture) is picture
    _equal_to_the_processor(ours, processor)
    with pytest.raises(ModelError, match="canvas 64 without effect: m brings pictures"):
        _pictures(processor, canvas=64)


@pytest.mark.parametrize(
    "processor",
    [
        hf.Qwen2VLImageProcessorPil(**QWEN),
        hf.LlavaNextImageProcessorPil(
            size={"shortest_edge": 32}, crop_size=SQUARE, image_grid_pinpoints=[[32, 64], [64, 32]]
        ),
        hf.LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=[[32, 32], [32, 64]]),
    ],
    ids=lambda processor: type(processor).__name__,
)
def test_where_the_size_decides_all_pictures_get_one_canvas(processor: Any) -> None:
    ours = _pictures(processor, canvas=48)
    assert ours.depends
    assert {ours.fit(one).shape for one in pictures(5)} == {(48, 48, 3)}
    _equal_to_the_processor(ours, processor)
    assert _pictures(processor).fit(pictures(1)[0]).shape == (CANVAS, CANVAS, 3)


def test_tiles_are_cut_where_they_are_asked_for() -> None:
    def processor() -> Any:
        return hf.Idefics3ImageProcessorPil(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
        )

    (picture,) = pictures(1)
    assert _pictures(processor()).prepare(picture).shape == (1, 1, 3, 32, 32)
    assert _pictures(processor(), tiles=True).prepare(picture).shape == (1, 5, 3, 32, 32)
    with pytest.raises(ModelError, match="tiles: true, but m does not cut pictures"):
        _pictures(hf.SiglipImageProcessorPil(), tiles=True)


def test_a_picture_keeps_its_shape_in_the_middle_of_the_canvas() -> None:
    wide = np.full((10, 40, 3), 200, np.uint8)
    whole = on_canvas(wide, side=20, colour=(1, 2, 3))
    inside = (whole == 200).all(-1)
    assert inside.any(1).nonzero()[0].tolist() == [7, 8, 9, 10, 11]
    assert inside.any(0).all()
    assert whole[0, 0].tolist() == [1, 2, 3]


def test_a_sliver_is_still_a_pixel_wide() -> None:
    sliver = np.full((1000, 1, 3), 200, np.uint8)
    assert ((on_canvas(sliver, side=20, colour=(0, 0, 0)) == 200).all(-1).sum(0) > 0).sum() == 1
