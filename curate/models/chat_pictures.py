"""Pictures as chat models take them: through the checkpoint's image processor, as bytes.

The processor does what it does with normalisation left out, so that bytes leave the decoding
threads; they are normalised on the device. All pictures must come out alike, for a batch has one
shape and its prompts one length. Processors that bring every picture to one size do that anyhow.
Where the result depends on the picture's own size (Qwen-VL's patches, LLaVA-NeXT's tiles), the
picture is first put on a square canvas: its shape is kept, its longer side becomes the canvas's,
and the rest is the processor's mean colour, as LLaVA pads (https://arxiv.org/abs/2310.03744).

Shapes: H height, W width, B images, N patches of a picture, D values of a patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Pixels
from curate.models.picture_processing import Normalisation

#: Switches, by family, of cutting a picture into tiles that are encoded one by one.
TILE_SWITCHES = ("do_image_splitting", "crop_to_patches", "do_pan_and_scan")
#: Side of the canvas where none is asked for: 256 tokens of a picture for Qwen2-VL.
CANVAS = 448
#: Height and width of plain pictures that show whether a processor's result depends on the size.
_SIZES = ((48, 64), (300, 100), (700, 900), (1200, 1300))


class ChatPictures:
    """Prepares pictures with a checkpoint's image processor.

    Attributes:
        depends: whether the processor's result depends on a picture's size, so that the canvas is
            used.
    """

    def __init__(self, image_processor: Any, *, tiles: bool, canvas: int | None, name: str) -> None:
        """Set the processor up.

        Args:
            image_processor: of transformers, Pillow's.
            tiles: whether pictures are cut into tiles, where the family does that.
            canvas: side of the canvas, pixels; None for 448 where one is needed.
            name: the checkpoint's, for errors.

        Raises:
            ModelError: tiles or a canvas are asked for where they have no effect.
        """
        switches = [one for one in TILE_SWITCHES if hasattr(image_processor, one)]
        if tiles and not switches:
            raise ModelError(f"tiles: true, but {name} does not cut pictures into tiles")
        for switch in switches:
            setattr(image_processor, switch, tiles)
        said = image_processor.to_dict()
        self._processor = image_processor
        self._canvas = canvas or CANVAS
        self._normalisation = Normalisation(said)
        mean = said.get("image_mean") or [0.5] * 3
        red, green, blue = (round(255 * float(one)) for one in mean)
        self._colour = (red, green, blue)
        shapes = {self._shapes(np.zeros((*size, 3), np.uint8)) for size in _SIZES}
        self.depends = len(shapes) > 1
        if canvas is not None and not self.depends:
            raise ModelError(
                f"canvas {canvas} without effect: {name} brings pictures of any size to its own"
            )
        self.plain = self.fit(np.full((64, 64, 3), 128, np.uint8))

    def fit(self, image_HW3: Pixels) -> Pixels:
        """Put a picture on the canvas, where the processor needs that."""
        if not self.depends:
            return image_HW3
        return on_canvas(image_HW3, side=self._canvas, colour=self._colour)

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Return the processor's ``pixel_values`` of a picture, uint8. Safe in threads."""
        raw = np.asarray(self._raw(self.fit(image_HW3))["pixel_values"])
        return raw.round().astype(np.uint8)

    def normalised(self, images: Pixels, like: Tensor) -> Tensor:
        """Move a batch's bytes to the device of ``like`` and normalise there.

        Args:
            images: [B, ...], stacked from :meth:`prepare`.
            like: gives device and type.

        Returns:
            What ``generate`` takes as ``pixel_values``, B groups of rows: [B, 3, H, W], [B, tiles,
            3, H, W] or, of Qwen-VL, [B * N, D].
        """
        rows = torch.as_tensor(images).flatten(0, 1)
        if rows.ndim > 2:
            return self._normalisation(rows, like)
        by_channel = rows.reshape(len(rows), 3, -1, 1)  # a patch's values, red first
        return self._normalisation(by_channel, like).flatten(1)

    def _raw(self, image_HW3: Pixels) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._processor(
            images=[Image.fromarray(image_HW3)],
            return_tensors="np",
            do_rescale=False,
            do_normalize=False,
        )
        return found

    def _shapes(self, image_HW3: Pixels) -> str:
        """Describe all but the pixels themselves: sizes of theirs, values of the rest."""
        found = self._raw(image_HW3)
        rest = {name: np.asarray(value).tolist() for name, value in sorted(found.items())}
        rest["pixel_values"] = np.asarray(found["pixel_values"]).shape
        return repr(rest)


def on_canvas(image_HW3: Pixels, *, side: int, colour: tuple[int, int, int]) -> Pixels:
    """Put a picture in the middle of a square, its longer side as long as the square's.

    Returns:
        Pixels uint8 [side, side, 3]; what the picture leaves free has the colour.
    """
    height, width = image_HW3.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    whole = Image.new("RGB", (side, side), colour)
    picture = Image.fromarray(image_HW3).resize(size, Image.Resampling.BICUBIC)
    whole.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(whole)
