"""What captioners that write through transformers' ``generate`` do with a batch of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from curate.models.base import Pixels
from curate.models.keyed_generation import KeyedGeneration
from curate.models.picture_processing import Pictures


class PromptedCaptioner:
    """A loaded captioner: a family sets its pictures, its generation and what they run on.

    Attributes:
        signature: the checkpoint's name and short hash.
    """

    signature: str
    _pictures: Pictures
    _generation: KeyedGeneration
    #: A weight with the device and type of the vision tower.
    _like: Tensor

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to the model's form, uint8 of one shape. Safe in threads."""
        return self._pictures.prepare(image_HW3)

    @torch.inference_mode()
    def caption(
        self, images_B3HW: Pixels, uids: Sequence[str], draws: Sequence[int]
    ) -> list[list[str]]:
        """Write a caption for every image and draw, without the prompt."""
        if not len(uids):
            return []
        pixels = self._pictures.normalised(images_B3HW, self._like)
        return self._generation(uids, draws, {"pixel_values": pixels})
