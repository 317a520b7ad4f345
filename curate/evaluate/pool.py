"""A model's view of a set of pictures and texts, computed once for every evaluator.

Shapes: I images, T texts, L text tokens, M image tokens, D width, P projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import SourceError
from curate.core.pairs import PairSource
from curate.images import ImageFault, decode

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pool:
    """Pictures and texts, encoded.

    Attributes:
        image_tokens: [I, M, D], for the parts of the model that look at the picture.
        image_embeds: [I, P], of unit norm.
        text_embeds: [T, P], of unit norm.
        texts: the T texts, those of a picture in a row.
        owners: [T], the picture each text belongs to.
        unreadable: pictures left out, since they cannot be decoded.
    """

    image_tokens: Tensor
    image_embeds: Floats
    text_embeds: Floats
    texts: list[str]
    owners: NDArray[np.int64]
    unreadable: int

    @property
    def num_images(self) -> int:
        """Pictures in the pool."""
        return len(self.image_embeds)

    def texts_of(self, image: int) -> list[str]:
        """Return the texts of a picture."""
        return [self.texts[index] for index in np.flatnonzero(self.owners == image)]


def encode_pool(
    model: PairModel, tokenizer: PreTrainedTokenizerFast, items: PairSource, *, batch_size: int = 32
) -> Pool:
    """Encode every picture and every text once.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: the model's.
        items: pictures with texts.
        batch_size: pictures at once; texts are taken in the same number.

    Raises:
        SourceError: not two pictures can be decoded.
    """
    import torch

    tokens: list[Tensor] = []
    texts: list[str] = []
    owners: list[int] = []
    unreadable = 0
    with torch.inference_mode():
        for start in range(0, len(items), batch_size):
            group = items.read(range(start, min(start + batch_size, len(items))))
            squares: list[Tensor] = []
            for item in group:
                square = _square(item.image, model.config.image_size)
                if square is None:
                    unreadable += 1
                    continue
                owners += [sum(map(len, tokens)) + len(squares)] * len(item.texts)
                texts += item.texts
                squares.append(square)
            if squares:
                tokens.append(model.encode_images(torch.stack(squares).to(model.device)))
        if sum(map(len, tokens)) < 2:
            raise SourceError(
                f"{len(items)} pictures, {unreadable} of them unreadable: nothing to compare"
            )
        image_tokens = torch.cat(tokens)
        image_embeds = model.project_images(image_tokens).float().cpu().numpy()
    text_embeds = embed_texts(model, tokenizer, texts, batch_size=batch_size * 4)
    return Pool(
        *(image_tokens, image_embeds, text_embeds, texts),
        owners=np.asarray(owners, dtype=np.int64),
        unreadable=unreadable,
    )


def embed_texts(
    model: PairModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, batch_size: int
) -> Floats:
    """Return the embeddings of texts [T, P], of unit norm."""
    import torch

    with torch.inference_mode():
        rows = [
            model.encode_texts(ids, mask).float().cpu()
            for ids, mask in text_batches(model, tokenizer, texts, batch_size=batch_size)
        ]
    embeds: Floats = torch.cat(rows).numpy()
    return embeds


def text_batches(
    model: PairModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ids [B, L] and masks [B, L] of texts in order, on the model's device."""
    from curate.models.med_tokenizer import tokenize

    for start in range(0, len(texts), batch_size):
        part = texts[start : start + batch_size]
        ids, mask = tokenize(tokenizer, part, model.config.max_text_tokens)
        yield ids.to(model.device), mask.to(model.device)


def _square(body: bytes, size: int) -> Tensor | None:
    import torch

    from curate.models.med_pixels import square_pixels

    try:
        rgb = decode(body)
    except ImageFault:
        return None
    return square_pixels(torch.from_numpy(rgb.copy()), size)
