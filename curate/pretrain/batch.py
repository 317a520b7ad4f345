"""The order of an epoch: shuffled, texts of like length together.

Texts of like length waste no work on padding, and leave ITC and ITM no length to tell a foreign
text by.

Shapes: B pairs, L text tokens.
"""

# ruff: noqa: N815 - fields carry shape suffixes

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.pretrain.data import Pair, PairSource
from curate.pretrain.mixing import Sample, image_id, text_of
from curate.pretrain.sections import TextsConfig

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

#: Batches that are cut from one sorted stretch of the shuffled samples.
_STRETCH = 8


@dataclass(frozen=True)
class TextBatch:
    """The texts of one step, whose they are, and the pictures' bytes.

    Attributes:
        indices: numbers of the pictures in the source.
        bodies: their encoded bytes.
        ids_BL: token ids, [CLS] first.
        mask_BL: 1 where there is a token.
        image_ids_B: equal where two pictures have the same uid.
    """

    indices: list[int]
    bodies: list[bytes]
    ids_BL: Tensor
    mask_BL: Tensor
    image_ids_B: Tensor


def epoch_batches(
    source: PairSource,
    samples: Sequence[Sample],
    tokenizer: PreTrainedTokenizerFast,
    *,
    batch_size: int,
    max_tokens: int,
    seed: int,
    epoch: int,
    texts: TextsConfig | None = None,
    skip: int = 0,
) -> Iterator[TextBatch]:
    """Yield an epoch's batches; the same seed and epoch give the same ones.

    A last batch of a single pair is left out: ITC and ITM have nothing to compare it with.

    Args:
        source: where pictures and texts are read.
        samples: what an epoch passes over.
        tokenizer: the model's.
        batch_size: pairs of a batch.
        max_tokens: longest text, special tokens included.
        seed: the recipe's.
        epoch: number of the pass, from 0.
        texts: how texts are mixed; in turn when None.
        skip: batches that were seen before. They are not read again, as far as whole stretches go.
    """
    import torch

    mixing = texts or TextsConfig()
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(samples), generator=generator).tolist()
    for start in range(0, len(order), batch_size * _STRETCH):
        stretch = [samples[row] for row in order[start : start + batch_size * _STRETCH]]
        num_cuts = -(-len(stretch) // batch_size)
        cut_order = torch.randperm(num_cuts, generator=generator).tolist()
        if skip >= (num := num_batches(len(stretch), batch_size)):
            skip -= num
            continue
        pairs = source.read([sample.picture for sample in stretch])
        shown = [
            text_of(pair, sample, mixing, epoch=epoch, seed=seed)
            for pair, sample in zip(pairs, stretch, strict=True)
        ]
        encoded = tokenizer(shown, truncation=True, max_length=max_tokens)["input_ids"]
        by_length = sorted(range(len(stretch)), key=lambda row: len(encoded[row]))
        for number in cut_order:
            rows = by_length[number * batch_size : (number + 1) * batch_size]
            if len(rows) == 1:
                continue
            if skip:
                skip -= 1
                continue
            yield _batch(rows, stretch, pairs, encoded, pad=tokenizer.pad_token_id)


def num_batches(num_samples: int, batch_size: int) -> int:
    """Return the number of batches that ``epoch_batches`` yields."""
    whole, rest = divmod(num_samples, batch_size)
    return whole + (rest > 1)


def _batch(
    rows: list[int], stretch: list[Sample], pairs: list[Pair], encoded: list[list[int]], *, pad: int
) -> TextBatch:
    import torch

    longest = max(len(encoded[row]) for row in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for line, row in enumerate(rows):
        ids[line, : len(encoded[row])] = torch.tensor(encoded[row])
        mask[line, : len(encoded[row])] = 1
    image_ids = torch.tensor([image_id(pairs[row].uid) for row in rows], dtype=torch.int64)
    indices = [stretch[row].picture for row in rows]
    return TextBatch(indices, [pairs[row].image for row in rows], ids, mask, image_ids)
