"""SigLIP and SigLIP 2 checkpoints of transformers as scorer.

Source: Zhai et al. 2023, "SigLIP" (https://arxiv.org/abs/2303.15343) and Tschannen et al. 2025,
"SigLIP 2" (https://arxiv.org/abs/2502.14786); the networks are ``transformers.models.siglip``, for
pictures of a fixed size of either, and ``transformers.models.siglip2``, for NaFlex. All were
trained on lower-cased texts padded to 64 tokens, without a mask: a text's embedding is read at the
last place, mostly a padding token. Their probability is sigmoid(exp(scale) x cosine + bias): it
rises with the cosine, so a threshold on either says the same.

Shapes: B images, N patches, P side of a patch, H height, W width, E width of embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from curate.models.base import Pixels
from curate.models.checkpoints import Checkpoint
from curate.models.dual_scorer import DualScorer
from curate.models.picture_processing import Normalisation, processor_settings

_HALVES: Mapping[str, Any] = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}


class SiglipScorer(DualScorer):
    """Scores texts with a ``SiglipModel`` checkpoint: ITC."""

    network = "SiglipModel"
    picture_defaults: ClassVar[Mapping[str, Any]] = {
        **{"size": {"height": 224, "width": 224}, **_HALVES}
    }
    pads_unmasked = True
    lower_case = True


class NaflexScorer(SiglipScorer):
    """Scores texts with a ``Siglip2Model`` checkpoint: ITC; pictures keep their shape."""

    network = "Siglip2Model"

    def _load_pictures(self, checkpoint: Checkpoint) -> None:
        self._patches = NaflexPictures(checkpoint)

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Cut a picture into patches, uint8 [1 + N, 3 P P]: see :class:`NaflexPictures`."""
        return self._patches.prepare(image_HW3)

    def _image_features(self, images_B3HW: Pixels) -> Tensor:
        values_BNP, mask_BN, grids_B2 = self._patches.normalised(images_B3HW, self._like)
        features_BE: Tensor = self._model.get_image_features(
            pixel_values=values_BNP, pixel_attention_mask=mask_BN, spatial_shapes=grids_B2
        ).pooler_output
        return features_BE


class NaflexPictures:
    """NaFlex's picture processing: at most N patches, as near the picture's own shape as they go.

    Pictures of different shapes travel as patches of one shape: row 0 holds the height and width of
    the grid in patches, two bytes each; the patches follow, and behind them zeros.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Read a checkpoint's settings.

        Raises:
            ModelError: a settings file is damaged.
        """
        defaults = {"patch_size": 16, "max_num_patches": 256, "resample": 2, **_HALVES}
        said = processor_settings(checkpoint, defaults)
        self.patch_size = int(said["patch_size"])
        self.most = int(said["max_num_patches"])
        self._resample = Image.Resampling(int(said["resample"]))
        self._normalised = Normalisation(said)

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to patches, uint8 [1 + N, 3 P P]. Safe in threads."""
        side = self.patch_size
        height, width = grid(image_HW3.shape[0], image_HW3.shape[1], side, self.most)
        resized = Image.fromarray(image_HW3).resize((width * side, height * side), self._resample)
        patches = np.asarray(resized).reshape(height, side, width, side, 3)
        out = np.zeros((1 + self.most, 3 * side * side), np.uint8)
        out[0, :4] = np.array([height, width], ">u2").view(np.uint8)
        out[1 : 1 + height * width] = patches.swapaxes(1, 2).reshape(height * width, -1)
        return out

    def normalised(self, patches: Pixels, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return values [B, N, 3 P P], mask [B, N] and grids [B, 2] on the device of ``like``."""
        grids = np.ascontiguousarray(patches[:, 0, :4]).view(">u2").astype(np.int64)
        grids_B2 = torch.from_numpy(grids)
        mask_BN = torch.arange(self.most)[None] < grids_B2.prod(-1, keepdim=True)
        count, area = len(patches), self.patch_size**2
        bytes_B3NP = patches[:, 1:].reshape(count, self.most, area, 3).transpose(0, 3, 1, 2)
        values = self._normalised(np.ascontiguousarray(bytes_B3NP), like)
        values_BNP = values.permute(0, 2, 3, 1).reshape(count, self.most, 3 * area)
        mask_BN = mask_BN.to(like.device)
        return values_BNP * mask_BN[..., None], mask_BN.long(), grids_B2.to(like.device)


def grid(height: int, width: int, side: int, most: int) -> tuple[int, int]:
    """Return the grid, rows and columns of patches, that a picture of some size is brought to.

    Source: transformers' ``get_image_size_for_max_num_patches``, whose bisection decides what
    happens at the edges: the largest scale, to 1e-5, at which both sides, rounded up to whole
    patches, give at most ``most``.
    """

    def at(scale: float) -> tuple[int, int]:
        rows, columns = (math.ceil(size * scale / side) for size in (height, width))
        return max(1, rows), max(1, columns)

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        rows, columns = at(middle)
        low, high = (middle, high) if rows * columns <= most else (low, middle)
    return at(low)
