"""The order of an epoch: shuffled, texts of like length together.

Texts of like length waste no work on padding, and leave ITC and ITM no length to tell a foreign
text by.

Shapes: B pairs, L text tokens.
"""

# ruff: noqa: N815 - fields carry shape suffixes

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.pretrain.data import Pair, PairSource
from curate.pretrain.mixing import Sample, image_id, text_of
from curate.pretrain.sections import TextsConfig

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

OwnRows = Callable[[int], Sequence[int]]
"""Given a batch's size, which of its rows are this worker's."""

#: Batches that are cut from one sorted stretch of the shuffled samples.
_STRETCH = 8


@dataclass(frozen=True)
class TextBatch:
    """The texts of one step, whose they are, and the bytes of this worker's pictures.

    Attributes:
        indices: numbers of the pictures in the source.
        ids_BL: token ids, [CLS] first.
        mask_BL: 1 where there is a token.
        image_ids_B: equal where two pictures have the same uid.
        rows: which of the B pictures this worker loads; all of them where it is alone.
        bodies: the encoded bytes of those.
    """

    indices: list[int]
    ids_BL: Tensor
    mask_BL: Tensor
    image_ids_B: Tensor
    rows: list[int]
    bodies: list[bytes]

    @property
    def own_indices(self) -> list[int]:
        """Numbers, in the source, of the pictures this worker loads."""
        return [self.indices[row] for row in self.rows]


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
    own_rows: OwnRows | None = None,
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
        own_rows: given a batch's size, which of its pictures are read; all of them when None.
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
        read = source.read if own_rows is None else source.read_texts
        pairs = read([sample.picture for sample in stretch])
        shown = [
            text_of(pair, sample, mixing, epoch=epoch, seed=seed)
            for pair, sample in zip(pairs, stretch, strict=True)
        ]
        encoded = tokenizer(shown, truncation=True, max_length=max_tokens)["input_ids"]
        by_length = sorted(range(len(stretch)), key=lambda row: len(encoded[row]))
        cuts = [by_length[cut * batch_size : (cut + 1) * batch_size] for cut in cut_order]
        cuts = [rows for rows in cuts if len(rows) > 1][skip:]
        skip = 0
        yield from _batches(source, cuts, stretch, pairs, encoded, tokenizer.pad_token_id, own_rows)


def num_batches(num_samples: int, batch_size: int) -> int:
    """Return the number of batches that ``epoch_batches`` yields."""
    whole, rest = divmod(num_samples, batch_size)
    return whole + (rest > 1)


def _batches(
    source: PairSource,
    cuts: list[list[int]],
    stretch: list[Sample],
    pairs: list[Pair],
    encoded: list[list[int]],
    pad: int,
    own_rows: OwnRows | None,
) -> Iterator[TextBatch]:
    """Yield the batches of a stretch; pictures that were not read yet are read at once."""
    import torch

    own = [list(own_rows(len(rows)) if own_rows else range(len(rows))) for rows in cuts]
    wanted = [rows[place] for rows, places in zip(cuts, own, strict=True) for place in places]
    read = [pairs[row] for row in wanted]
    if own_rows is not None:
        read = source.read([stretch[row].picture for row in wanted])
    bodies = (pair.image for pair in read)
    for rows, places in zip(cuts, own, strict=True):
        ids, mask = _padded([encoded[row] for row in rows], pad)
        image_ids = torch.tensor([image_id(pairs[row].uid) for row in rows], dtype=torch.int64)
        indices = [stretch[row].picture for row in rows]
        images = list(itertools.islice(bodies, len(places)))
        yield TextBatch(indices, ids, mask, image_ids, places, images)


def _padded(encoded: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Return token ids [B, L] and where there are some."""
    import torch

    longest = max(len(one) for one in encoded)
    ids = torch.full((len(encoded), longest), pad, dtype=torch.int64)
    mask = torch.zeros((len(encoded), longest), dtype=torch.int64)
    for line, one in enumerate(encoded):
        ids[line, : len(one)] = torch.tensor(one)
        mask[line, : len(one)] = 1
    return ids, mask
