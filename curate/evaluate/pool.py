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
from curate.core.pairs import Pair, PairSource

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel
    from curate.models.tower_tokens import TowerTokens

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pictures:
    """Pictures, encoded, with the texts that come with them.

    Attributes:
        image_tokens: [I, M, D], for the parts of the model that look at the picture; None where no
            evaluator asks for them.
        image_embeds: [I, P], of unit norm.
        texts: the T texts, those of a picture in a row.
        owners: [T], the picture each text belongs to.
        unreadable: pictures left out, since they cannot be decoded.
    """

    image_tokens: Tensor | None
    image_embeds: Floats
    texts: list[str]
    owners: NDArray[np.int64]
    unreadable: int

    @property
    def num_images(self) -> int:
        """Pictures in the pool."""
        return len(self.image_embeds)

    @property
    def tokens(self) -> Tensor:
        """The image tokens, where they were kept."""
        assert self.image_tokens is not None
        return self.image_tokens

    def texts_of(self) -> list[list[str]]:
        """Return the texts of every picture."""
        found: list[list[str]] = [[] for _ in range(self.num_images)]
        for owner, text in zip(self.owners.tolist(), self.texts, strict=True):
            found[owner].append(text)
        return found


@dataclass(frozen=True)
class Pool(Pictures):
    """Pictures and texts, encoded.

    Attributes:
        text_embeds: [T, P], of unit norm.
    """

    text_embeds: Floats


def encode_pool(
    model: PairModel,
    tokenizer: PreTrainedTokenizerFast,
    items: PairSource,
    *,
    batch_size: int = 32,
    keep_tokens: bool = True,
    tokens: TowerTokens | None = None,
) -> Pool:
    """Encode every picture and every text once.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: the model's.
        items: pictures with texts.
        batch_size: pictures at once; texts are taken four times as many.
        keep_tokens: whether an evaluator looks at image tokens; they take room.
        tokens: what the model's image tower made of pictures before; None: nothing was kept.

    Raises:
        SourceError: not two pictures can be decoded.
    """
    seen = encode_pictures(
        model, items, batch_size=batch_size, keep_tokens=keep_tokens, tokens=tokens
    )
    text_embeds = embed_texts(model, tokenizer, seen.texts, batch_size=batch_size * 4)
    return Pool(**vars(seen), text_embeds=text_embeds)


def encode_pictures(
    model: PairModel,
    items: PairSource,
    *,
    batch_size: int = 32,
    keep_tokens: bool = False,
    tokens: TowerTokens | None = None,
) -> Pictures:
    """Encode every picture once; see :func:`encode_pool`.

    Raises:
        SourceError: not two pictures can be decoded.
    """
    import torch

    kept_tokens: list[Tensor] = []
    embeds: list[Floats] = []
    texts: list[str] = []
    owners: list[int] = []
    num_images = 0
    with torch.inference_mode():
        for start in range(0, len(items), batch_size):
            group = items.read(range(start, min(start + batch_size, len(items))))
            read = _readable(group, model.config.image_size)
            for number, (item, _) in enumerate(read, start=num_images):
                owners += [number] * len(item.texts)
                texts += item.texts
            num_images += len(read)
            if read:
                squares = torch.stack([square for _, square in read])
                bodies = [item.image for item, _ in read]
                image_tokens = _encoded(model, bodies, squares, tokens)
                embeds.append(model.project_images(image_tokens).float().cpu().numpy())
                kept_tokens += [image_tokens] if keep_tokens else []
        unreadable = len(items) - num_images
        if num_images < 2:
            raise SourceError(
                f"{len(items)} pictures, {unreadable} of them unreadable: nothing to compare"
            )
        kept = torch.cat(kept_tokens) if keep_tokens else None
    return Pictures(
        *(kept, np.concatenate(embeds), texts),
        owners=np.asarray(owners, dtype=np.int64),
        unreadable=unreadable,
    )


def embed_texts(
    model: PairModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, batch_size: int
) -> Floats:
    """Return the embeddings [T, P] of texts, of unit norm."""
    import torch

    with torch.inference_mode():
        rows = [
            model.encode_texts(ids, mask).float().cpu()
            for ids, mask in text_batches(model, tokenizer, texts, batch_size=batch_size)
        ]
        return torch.cat(rows).numpy()


def _encoded(
    model: PairModel, bodies: Sequence[bytes], squares: Tensor, tokens: TowerTokens | None
) -> Tensor:
    """Return image tokens [I, M, D], by what is kept of the tower where something is."""
    from curate.models.tower_tokens import picture_name

    if tokens is None:
        return model.encode_images(squares.to(model.device))
    known = tokens.of([picture_name(body) for body in bodies], squares)
    adapted: Tensor = model.image_adapter(known.to(model.device))
    return adapted


def text_batches(
    model: PairModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ids [B, L] and masks [B, L] of texts in order, on the model's device."""
    from curate.models.med_tokenizer import tokenize

    for start in range(0, len(texts), batch_size):
        part = texts[start : start + batch_size]
        ids, mask = tokenize(tokenizer, part, model.config.max_text_tokens)
        yield ids.to(model.device), mask.to(model.device)


def _readable(items: Sequence[Pair], size: int) -> list[tuple[Pair, Tensor]]:
    """Return those of the pictures that can be decoded, as squares [3, size, size]."""
    import torch

    from curate.images import ImageFault, decode
    from curate.models.med_pixels import square_pixels

    found = []
    for item in items:
        try:
            rgb = decode(item.image)
        except ImageFault:
            continue
        found.append((item, square_pixels(torch.from_numpy(rgb.copy()), size)))
    return found
