"""Dual encoders as scorers: what CLIP and its kin share.

Source: Radford et al. 2021, "CLIP" (https://arxiv.org/abs/2103.00020), section 2.3: two towers, one
for images and one for texts, and the cosine of what they say. Nothing of a text meets the image
before the cosine, so every image and every distinct text is encoded once.

Shapes: B images, U distinct texts of a batch, L tokens, E width of embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from curate.models.base import Pixels
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_tokenizer
from curate.models.pair_scorer import LoadedScorer, cosines, unit
from curate.models.picture_processing import PictureProcessing
from curate.models.text_tokens import Pairs, TextBatch, TextTokens


class DualScorer(LoadedScorer[Tensor, Tensor]):
    """A loaded checkpoint with ``get_image_features`` and ``get_text_features``.

    Attributes:
        network: name of the class in transformers.
        picture_defaults: what the family's image processor does where its settings are silent.
        number_is_square: see :class:`PictureProcessing`.
        most_tokens: longest text it was trained with, in tokens; None for all of its positions.
        pads_unmasked: whether it was trained with texts padded to that length on the right, and
            reads the padding.
        lower_case: whether it was trained with lower-cased texts.
    """

    gives = ("itc",)
    network: ClassVar[str]
    picture_defaults: ClassVar[Mapping[str, Any]] = {}
    number_is_square: ClassVar[bool] = True
    most_tokens: ClassVar[int | None] = None
    pads_unmasked: ClassVar[bool] = False
    lower_case: ClassVar[bool] = False

    def _load(self, checkpoint: Checkpoint, texts_per_batch: int) -> None:
        import transformers

        network = getattr(transformers, self.network)
        self._model = self._network(network, checkpoint)
        self._load_pictures(checkpoint)
        tokenizer = load_tokenizer(checkpoint)
        if self.pads_unmasked:
            tokenizer.padding_side = "right"
        positions = self._text_positions()
        self._tokens = TextTokens(
            tokenizer,
            most_tokens=min(positions, self.most_tokens or positions),
            pad_to_most=self.pads_unmasked,
            lower_case=self.lower_case,
            texts_per_batch=texts_per_batch,
        )

    def _load_pictures(self, checkpoint: Checkpoint) -> None:
        self._pictures = PictureProcessing(
            checkpoint,
            defaults=self.picture_defaults,
            side=self._image_side(),
            number_is_square=self.number_is_square,
        )

    def _image_side(self) -> int | None:
        """Return the side of the pictures that the vision tower takes; None where it takes any."""
        return int(self._model.config.vision_config.image_size)

    def _text_positions(self) -> int:
        """Return the most tokens the text tower has positions for."""
        return int(self._model.config.text_config.max_position_embeddings)

    def _image_features(self, images_B3HW: Pixels) -> Tensor:
        """Return the vision tower's projected features [B, E], of any norm."""
        pixels = self._pictures.normalised(images_B3HW, self._like)
        features_BE: Tensor = self._model.get_image_features(pixel_values=pixels).pooler_output
        return features_BE

    def _text_features(self, ids_UL: Tensor, mask_UL: Tensor) -> Tensor:
        """Return the text tower's projected features [U, E], of any norm."""
        said = {} if self.pads_unmasked else {"attention_mask": mask_UL}
        features_UE: Tensor = self._model.get_text_features(input_ids=ids_UL, **said).pooler_output
        return features_UE

    def _see(self, images: Pixels) -> Tensor:
        return unit(self._image_features(images))

    def _read(self, batch: TextBatch) -> Tensor:
        return unit(self._text_features(batch.ids, batch.mask))

    def _judge(
        self, seen: Tensor, read: Tensor, batch: TextBatch, pairs: Pairs
    ) -> dict[str, Tensor]:
        return {"itc": cosines(seen[pairs.image_rows], read[pairs.text_rows])}

    def _image_embeds(self, seen: Tensor) -> Tensor:
        return seen

    def _text_embeds(self, read: Tensor) -> Tensor:
        return read
