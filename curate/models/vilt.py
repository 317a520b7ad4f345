"""ViLT checkpoints of transformers as scorer: ITM alone.

Source: Kim et al. 2021, "ViLT" (https://arxiv.org/abs/2102.03334), section 3: one transformer over
words and patches together. Patches are embedded once per image; the transformer reads image and
text from its first layer on, so it runs once a pair and nothing of it can be shared. The network is
``transformers.models.vilt``.

Its head was fine-tuned to rank texts of one image, not to tell a match from a mismatch: the sigmoid
of its logit orders pairs, and 0.5 means nothing in particular. Calibrate before a threshold.

Shapes: B images, P pairs, H height, W width, N patches, L tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Pixels
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_tokenizer
from curate.models.pair_scorer import LoadedScorer
from curate.models.picture_processing import Normalisation, divisible_size, processor_settings
from curate.models.text_tokens import Pairs, TextBatch, TextTokens


class ViltPictures:
    """ViLT's picture processing: shapes are kept, within a canvas that holds them all.

    Pictures of different shapes travel on canvases of one shape, in the upper left corner; a fourth
    channel is 255 where there is picture.
    """

    def __init__(self, checkpoint: Checkpoint, *, patch_size: int) -> None:
        """Read a checkpoint's settings.

        Raises:
            ModelError: settings without a shorter side, or with one that is no whole patches.
        """
        defaults = {"size": {"shortest_edge": 384}, "size_divisor": 32, "resample": 3}
        halves = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
        said = processor_settings(checkpoint, {**defaults, **halves})
        size = said["size"]
        shorter = size.get("shortest_edge") if isinstance(size, dict) else size
        self._divisor = int(said["size_divisor"])
        if not shorter or self._divisor % patch_size:
            raise ModelError(
                f"{checkpoint.folder}: its processor asks for size {size} in steps of "
                f"{self._divisor} where patches of {patch_size} x {patch_size} are cut: mend its "
                "preprocessor_config.json"
            )
        self._shorter = int(shorter)
        self._resample = Image.Resampling(int(said["resample"]))
        self._normalised = Normalisation(said)
        # Neither side exceeds the longer one of the most elongated picture.
        self.canvas = max(self._size(10**6, 1))

    def _size(self, height: int, width: int) -> tuple[int, int]:
        return divisible_size(height, width, self._shorter, self._divisor)

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Put a resized RGB picture on its canvas, uint8 [4, S, S]. Safe in threads."""
        height, width = self._size(image_HW3.shape[0], image_HW3.shape[1])
        resized = Image.fromarray(image_HW3).resize((width, height), self._resample)
        canvas = np.zeros((4, self.canvas, self.canvas), np.uint8)
        canvas[:3, :height, :width] = np.asarray(resized).transpose(2, 0, 1)
        canvas[3, :height, :width] = 255
        return canvas

    def normalised(self, images_B4SS: Pixels, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels [B, 3, H, W] and mask [B, H, W], cut to the largest picture there is."""
        there = images_B4SS[:, 3] > 0
        height = int(there.any((0, 2)).sum())
        width = int(there.any((0, 1)).sum())
        pixels = self._normalised(np.ascontiguousarray(images_B4SS[:, :3, :height, :width]), like)
        mask_BHW = torch.from_numpy(there[:, :height, :width]).to(like.device)
        return pixels * mask_BHW[:, None], mask_BHW


@dataclass(frozen=True, slots=True)
class _Patches:
    """Embedded patches [B, N, D], with [CLS] ahead of them, and which are there [B, N]."""

    embeds: Tensor
    mask: Tensor


class ViltScorer(LoadedScorer[_Patches, None]):
    """Scores texts with a ``ViltForImageAndTextRetrieval`` checkpoint: ITM alone."""

    gives = ("itm",)

    def _load(self, checkpoint: Checkpoint, texts_per_batch: int) -> None:
        from transformers import ViltForImageAndTextRetrieval

        self._model = self._network(ViltForImageAndTextRetrieval, checkpoint)
        config = self._model.config
        self._grid = int(config.image_size) // int(config.patch_size)
        self._pictures = ViltPictures(checkpoint, patch_size=int(config.patch_size))
        self._tokens = TextTokens(
            load_tokenizer(checkpoint),
            most_tokens=int(config.max_position_embeddings),
            texts_per_batch=texts_per_batch,
        )

    def _see(self, images: Pixels) -> _Patches:
        """Embed patches with their places; every picture's own places are resized to its shape."""
        embeddings = self._model.vilt.embeddings
        pixels, mask_BHW = self._pictures.normalised(images, self._like)
        patches_BDHW = embeddings.patch_embeddings(pixels)
        side = pixels.shape[2] // patches_BDHW.shape[2]
        mask_BHW = mask_BHW[:, ::side, ::side]
        places_BDHW = torch.zeros_like(patches_BDHW)
        learned_1DHW = embeddings.position_embeddings[:, 1:].transpose(1, 2)
        learned_1DHW = learned_1DHW.unflatten(2, (self._grid, self._grid))
        for row, mask_HW in enumerate(mask_BHW):
            height, width = int(mask_HW[:, 0].sum()), int(mask_HW[0].sum())
            places_BDHW[row : row + 1, :, :height, :width] = F.interpolate(
                learned_1DHW, (height, width), mode="bilinear", align_corners=True
            )
        body_BND = (patches_BDHW + places_BDHW).flatten(2).transpose(1, 2)
        first_11D = embeddings.cls_token + embeddings.position_embeddings[:, :1]
        embeds_BND = torch.cat([first_11D.expand(len(images), -1, -1), body_BND], dim=1)
        mask_BN = F.pad(mask_BHW.flatten(1).long(), (1, 0), value=1)
        return _Patches(embeds_BND, mask_BN)

    def _read(self, batch: TextBatch) -> None:
        """Nothing: the words' embedding is a look-up, and all else is done beside the image."""
        return

    def _judge(
        self, seen: _Patches, read: None, batch: TextBatch, pairs: Pairs
    ) -> dict[str, Tensor]:
        images_P, texts_P = pairs.image_rows, pairs.text_rows
        logits_P1 = self._model(
            input_ids=batch.ids[texts_P],
            attention_mask=batch.mask[texts_P],
            image_embeds=seen.embeds[images_P],
            pixel_mask=seen.mask[images_P],
        ).logits
        return {"itm": logits_P1[:, 0].float().sigmoid()}
