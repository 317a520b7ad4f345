"""The order of an epoch: shuffled, one text a picture, texts of like length together.

Texts of like length waste no work on padding, and leave ITC and ITM no length to tell a foreign
text by.

Shapes: B pairs, L text tokens.
"""

# ruff: noqa: N815 - fields carry shape suffixes

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.pretrain.data import Pair, PairSource

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

#: Batches that are cut from one sorted stretch of the shuffled pictures.
_STRETCH = 8


@dataclass(frozen=True)
class TextBatch:
    """The texts of one step, and whose they are.

    Attributes:
        indices: numbers of the pictures in the source.
        ids_BL: token ids, [CLS] first.
        mask_BL: 1 where there is a token.
        image_ids_B: equal where two pictures have the same uid.
    """

    indices: list[int]
    ids_BL: Tensor
    mask_BL: Tensor
    image_ids_B: Tensor


def epoch_batches(
    source: PairSource,
    usable: Sequence[int],
    tokenizer: PreTrainedTokenizerFast,
    *,
    batch_size: int,
    max_tokens: int,
    seed: int,
    epoch: int,
) -> Iterator[TextBatch]:
    """Yield an epoch's batches; the same seed and epoch give the same ones.

    Of a picture with several texts each epoch takes another, in turn. A last batch of a single
    pair is left out: ITC and ITM have nothing to compare it with.
    """
    import torch

    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = [usable[row] for row in torch.randperm(len(usable), generator=generator).tolist()]
    for start in range(0, len(order), batch_size * _STRETCH):
        stretch = order[start : start + batch_size * _STRETCH]
        pairs = source.read(stretch)
        texts = [_text_of(pair, epoch) for pair in pairs]
        encoded = tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]
        by_length = sorted(range(len(stretch)), key=lambda row: len(encoded[row]))
        cuts = [by_length[cut : cut + batch_size] for cut in range(0, len(by_length), batch_size)]
        for number in torch.randperm(len(cuts), generator=generator).tolist():
            rows = cuts[number]
            if len(rows) > 1:
                yield _batch(rows, stretch, pairs, encoded, pad=tokenizer.pad_token_id)


def num_batches(num_pictures: int, batch_size: int) -> int:
    """Return the number of batches that ``epoch_batches`` yields."""
    whole, rest = divmod(num_pictures, batch_size)
    return whole + (rest > 1)


def _batch(
    rows: list[int], stretch: list[int], pairs: list[Pair], encoded: list[list[int]], *, pad: int
) -> TextBatch:
    import torch

    longest = max(len(encoded[row]) for row in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for line, row in enumerate(rows):
        ids[line, : len(encoded[row])] = torch.tensor(encoded[row])
        mask[line, : len(encoded[row])] = 1
    image_ids = torch.tensor([_image_id(pairs[row].uid) for row in rows], dtype=torch.int64)
    return TextBatch([stretch[row] for row in rows], ids, mask, image_ids)


def _text_of(pair: Pair, epoch: int) -> str:
    return pair.texts[(_image_id(pair.uid) + epoch) % len(pair.texts)]


def _image_id(uid: str) -> int:
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "little", signed=True)
