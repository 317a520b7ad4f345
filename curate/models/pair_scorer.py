"""How every scorer goes through its pairs: images once, distinct texts once, then pair by pair.

A family says what it sees of images, what it reads in texts, and how it judges a pair of the two;
what it can do for an image or a text alone is done once, however many pairs they are in.

Shapes: B images, T texts, P pairs, E width of embeddings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from curate.models.base import Pixels, Scored
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_model
from curate.models.picture_processing import Pictures
from curate.models.text_tokens import Pairs, TextBatch, TextTokens

#: What a family makes of a batch of images, and of a batch of distinct texts.
Seen = TypeVar("Seen")
Read = TypeVar("Read")


class PairScorer(ABC, Generic[Seen, Read]):
    """A loaded checkpoint that scores texts against images.

    Attributes:
        gives: names of its numbers: ``itc``, ``itm`` or both.
        signature: the checkpoint's name and short hash.
    """

    gives: ClassVar[tuple[str, ...]]
    signature: str
    _device: torch.device
    _tokens: TextTokens

    @abstractmethod
    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to the model's size. Safe in threads."""

    @abstractmethod
    def _see(self, images: Pixels) -> Seen:
        """Encode B prepared pictures, B at least 1."""

    @abstractmethod
    def _read(self, batch: TextBatch) -> Read:
        """Encode distinct texts, as far as that goes without an image."""

    @abstractmethod
    def _judge(self, seen: Seen, read: Read, batch: TextBatch, pairs: Pairs) -> dict[str, Tensor]:
        """Return the numbers of some pairs, float32 [P]."""

    def _image_embeds(self, seen: Seen) -> Tensor | None:
        """Return the images' embeddings [B, E], unit norm; None where the family has none."""
        return None

    def _text_embeds(self, read: Read) -> Tensor | None:
        """Return the texts' embeddings [U, E], unit norm, in the images' space; None: none."""
        return None

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return texts' vectors; see :class:`curate.models.base.EmbedsTexts`."""
        embeds: NDArray[np.float32] | None = None
        for batch in self._tokens(texts).batches(range(len(texts)), self._device):
            some = self._text_embeds(self._read(batch))
            if some is None:
                return None
            if embeds is None:
                embeds = np.zeros((len(texts), some.shape[1]), np.float32)
            for pairs in batch.pairs:
                embeds[pairs.places] = some[pairs.text_rows].float().cpu().numpy()
        return embeds

    @torch.inference_mode()
    def score(self, images_B3HW: Pixels, texts: Sequence[str], images_of: Sequence[int]) -> Scored:
        """Score texts, each against one image; see :class:`curate.models.base.Scorer`."""
        tokenized = self._tokens(texts)
        numbers = {name: np.zeros(len(texts), np.float32) for name in self.gives}
        if not len(images_B3HW):
            return Scored(numbers, tokenized.truncated)
        seen = self._see(images_B3HW)
        for batch in tokenized.batches(images_of, self._device):
            read = self._read(batch)
            for pairs in batch.pairs:
                for name, values_P in self._judge(seen, read, batch, pairs).items():
                    numbers[name][pairs.places] = values_P.float().cpu().numpy()
        embeds = self._image_embeds(seen)
        return Scored(
            numbers, tokenized.truncated, None if embeds is None else embeds.cpu().numpy()
        )


class LoadedScorer(PairScorer[Seen, Read]):
    """A scorer of a transformers checkpoint; a family loads its network, pictures and tokenizer.

    Attributes:
        signature: the checkpoint's name and short hash.
    """

    _pictures: Pictures

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: torch.dtype,
        texts_per_batch: int = 64,
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: a checked checkpoint.
            device: where it shall run.
            dtype: type of its weights, but for those that a family keeps in float32.
            texts_per_batch: most texts in one call of the network, and most pairs in one of the
                part that sees both.

        Raises:
            ModelError: it is no scorer, or damaged, or incomplete.
        """
        self.signature = checkpoint.signature
        self._device = device
        self._like = torch.empty(0, device=device, dtype=dtype)
        self._load(checkpoint, texts_per_batch)

    @abstractmethod
    def _load(self, checkpoint: Checkpoint, texts_per_batch: int) -> None:
        """Set the network, ``_pictures`` and ``_tokens``; ``_like`` has device and type."""

    def _network(self, kind: Any, checkpoint: Checkpoint) -> Any:
        """Return a class of transformers with the checkpoint's weights."""
        return load_model(kind, checkpoint, device=self._device, dtype=self._like.dtype)

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to the model's size, uint8. Safe in threads."""
        return self._pictures.prepare(image_HW3)


def unit(features: Tensor) -> Tensor:
    """Return float32 vectors of length 1 along the last axis."""
    return F.normalize(features.float(), dim=-1)


def cosines(left_PE: Tensor, right_PE: Tensor) -> Tensor:
    """Return the cosines of unit vectors, float32 [P] in [-1, 1]."""
    return (left_PE * right_PE).sum(-1).clamp(-1, 1)


def matched(logits_P2: Tensor) -> Tensor:
    """Return the probability of the second of two classes, float32 [P]."""
    return logits_P2.float().softmax(-1)[:, 1]
