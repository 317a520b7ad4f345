from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Siglip2ImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import (
    get_image_size_for_max_num_patches,
)

from curate.models.checkpoints import Checkpoint
from curate.models.siglip import NaflexPictures, grid
from tests.models.checkpoints import pictures


@pytest.mark.parametrize("most", [16, 256, 729])
def test_the_grid_is_that_of_the_processor(most: int) -> None:
    rng = np.random.default_rng(most)
    for height, width in [*rng.integers(1, 3000, (60, 2)).tolist(), [1, 4000], [4000, 1]]:
        wanted = get_image_size_for_max_num_patches(height, width, 16, most)
        rows, columns = grid(height, width, 16, most)
        assert (rows * 16, columns * 16) == wanted
        assert rows * columns <= most


def test_patches_equal_the_processors(tmp_path: Path) -> None:
    processor = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=30)
    processor.save_pretrained(tmp_path)
    ours = NaflexPictures(Checkpoint("m", tmp_path, ""))
    some = pictures(6)
    prepared = np.stack([ours.prepare(picture) for picture in some])
    assert prepared.shape == (6, 31, 192)
    values, mask, grids = ours.normalised(prepared, torch.zeros(1))
    for row, picture in enumerate(some):
        wanted = processor(picture, return_tensors="pt")
        torch.testing.assert_close(values[row], wanted["pixel_values"][0], atol=1e-5, rtol=0)
        assert mask[row].tolist() == wanted["pixel_attention_mask"][0].tolist()
        assert grids[row].tolist() == wanted["spatial_shapes"][0].tolist()
