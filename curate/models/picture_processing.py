"""A checkpoint's picture processing, without its processor: resize on the host, normalise later.

Source: the Pillow image processors of transformers (``transformers/image_processing_backends.py``)
and the settings they keep in preprocessor_config.json. Neither they nor torchvision is needed, and
the results are equal (tests/models/test_picture_processing.py): bytes come out of the decoding
threads, a quarter of what floats would take, and are normalised where the model is.

Shapes: B images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Pixels
from curate.models.checkpoints import Checkpoint

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BICUBIC = 3


def processor_settings(checkpoint: Checkpoint, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a checkpoint's image processor.

    Args:
        checkpoint: a checked checkpoint.
        defaults: what holds for settings that the files do not name; for all of them where there
            is neither preprocessor_config.json nor, of newer checkpoints, processor_config.json.

    Raises:
        ModelError: a file is damaged.
    """
    said = checkpoint.read_json("preprocessor_config.json")
    if said is None:
        said = (checkpoint.read_json("processor_config.json") or {}).get("image_processor") or {}
    return {**defaults, **{key: value for key, value in said.items() if value is not None}}


class Normalisation:
    """From bytes to what a network takes: rescaled, shifted, divided; on the device."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Read ``do_rescale``, ``do_normalize``, their values and EfficientNet's two extras."""
        scale = float(settings.get("rescale_factor", 1 / 255))
        self._scale = scale if settings.get("do_rescale", True) else 1.0
        self._offset = -1.0 if settings.get("rescale_offset") else 0.0
        mean, std = torch.zeros(3), torch.ones(3)
        said_std = torch.as_tensor(settings.get("image_std", 1.0), dtype=torch.float32)
        if settings.get("do_normalize", True):
            mean = mean + torch.as_tensor(settings.get("image_mean", 0.0), dtype=torch.float32)
            std = std * said_std
        if settings.get("include_top"):  # EfficientNet's classifiers divide a second time
            std = std * said_std
        self._mean_C11, self._std_C11 = mean[:, None, None], std[:, None, None]

    def __call__(self, images_B3HW: Pixels | Tensor, like: Tensor) -> Tensor:
        """Move bytes to the device of ``like`` and normalise there, [B, 3, H, W] of its type."""
        pixels = torch.as_tensor(images_B3HW).to(like.device, non_blocking=True)
        mean, std = self._mean_C11.to(like.device), self._std_C11.to(like.device)
        values = pixels.float() * self._scale + self._offset
        return ((values - mean) / std).to(like.dtype)


class Pictures(Protocol):
    """Brings pictures to the form that a network wants, and batches of them to its device."""

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Return an RGB picture in the network's form, uint8, of one shape. Safe in threads."""
        ...

    def normalised(self, images: Pixels, like: Tensor, /) -> Any:
        """Return what the network takes of a batch of them, on the device of ``like``."""
        ...


class PictureProcessing:
    """Pictures of one fixed size: squashed to it, or resized by the shorter side and cropped.

    Attributes:
        height: of what comes out, pixels.
        width: of what comes out, pixels.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        defaults: Mapping[str, Any],
        side: int | None = None,
        number_is_square: bool = True,
    ) -> None:
        """Read a checkpoint's settings.

        Args:
            checkpoint: a checked checkpoint.
            defaults: see :func:`processor_settings`.
            side: side of the pictures that the network takes, pixels; None where it takes any.
            number_is_square: whether a ``size`` that is a plain number is a square's side; else it
                is the shorter side (the processors differ in this).

        Raises:
            ModelError: settings without a fixed size, or with another one than the network's.
        """
        said = processor_settings(checkpoint, defaults)
        resized, cropped = _sizes(said, number_is_square)
        final = cropped or (resized if isinstance(resized, tuple) else None)
        if final is None or (side is not None and final != (side, side)):
            crop = f" cropped to {said.get('crop_size')}" if said.get("do_center_crop") else ""
            takes = f"{side} x {side}" if side else "one fixed size"
            raise ModelError(
                f"{checkpoint.folder}: its processor asks for pictures of size {said.get('size')}"
                f"{crop} where its vision tower takes {takes}: mend its preprocessor_config.json"
            )
        self.height, self.width = final
        self._resized, self._cropped = resized, cropped
        self._resample = Image.Resampling(int(said.get("resample", BICUBIC)))
        self._divisor = int(said.get("size_divisor", 1))
        self.normalised = Normalisation(said)

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to the network's size, uint8 [3, H, W]. Safe in threads."""
        if self._resized is not None:
            height, width = self._target(*image_HW3.shape[:2])
            squashed = Image.fromarray(image_HW3).resize((width, height), self._resample)
            image_HW3 = np.asarray(squashed)
        if self._cropped is not None:
            image_HW3 = centre_crop(image_HW3, *self._cropped)
        return np.ascontiguousarray(image_HW3.transpose(2, 0, 1))

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self._resized, tuple):
            return self._resized
        assert self._resized is not None
        if self._divisor > 1:
            return divisible_size(height, width, self._resized, self._divisor)
        short, long = sorted((height, width))
        longer = int(self._resized * long / short)
        return (longer, self._resized) if width <= height else (self._resized, longer)


def centre_crop(image_HW3: Pixels, height: int, width: int) -> Pixels:
    """Cut the middle out of a picture; where the picture is smaller, black is put around it."""
    have_h, have_w = image_HW3.shape[:2]
    pad_h, pad_w = max(0, height - have_h), max(0, width - have_w)
    if pad_h or pad_w:
        above, left = (pad_h + 1) // 2, (pad_w + 1) // 2
        around = ((above, pad_h - above), (left, pad_w - left), (0, 0))
        image_HW3 = np.pad(image_HW3, around)
        have_h, have_w = image_HW3.shape[:2]
    top, left = (have_h - height) // 2, (have_w - width) // 2
    return image_HW3[top : top + height, left : left + width]


def divisible_size(height: int, width: int, shorter: int, divisor: int) -> tuple[int, int]:
    """Return a size with the given shorter side and a bounded longer one, both divisible.

    Source: ViLT's processing (https://arxiv.org/abs/2102.03334, section 4.1): the longer side is at
    most 1333/800 of the shorter, then both are rounded down to multiples.
    """
    most = int(1333 / 800 * shorter)
    scale = shorter / min(height, width)
    sizes = [shorter, scale * width] if height < width else [scale * height, shorter]
    if max(sizes) > most:
        scale = most / max(sizes)
        sizes = [scale * size for size in sizes]
    rounded = [int(size + 0.5) // divisor * divisor for size in sizes]
    return max(divisor, rounded[0]), max(divisor, rounded[1])


def _sizes(
    said: Mapping[str, Any], number_is_square: bool
) -> tuple[tuple[int, int] | int | None, tuple[int, int] | None]:
    """Return the size resized to (a number is the shorter side), and the size cropped to."""
    resized = _size(said.get("size"), number_is_square) if said.get("do_resize", True) else None
    if not said.get("do_center_crop"):
        return resized, None
    cropped = _size(said.get("crop_size", said.get("size")), square=True)
    return resized, (cropped, cropped) if isinstance(cropped, int) else cropped


def _size(said: Any, square: bool) -> tuple[int, int] | int | None:
    if isinstance(said, Mapping):
        if "height" in said and "width" in said:
            return int(said["height"]), int(said["width"])
        return int(said["shortest_edge"]) if "shortest_edge" in said else None
    if said is None:
        return None
    if isinstance(said, (list, tuple)):
        return int(said[0]), int(said[-1])
    return (int(said), int(said)) if square else int(said)
