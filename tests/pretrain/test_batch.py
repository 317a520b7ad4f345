from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from curate.core.pairs import ListSource, Pair
from curate.pretrain.batch import TextBatch, epoch_batches, num_batches
from curate.pretrain.mixing import Sample
from curate.pretrain.shares import Shares
from curate.pretrain.world import World
from tests.models.med_models import med_tokenizer


def source(count: int) -> ListSource:
    texts = [["a dog" + " dog" * (n % 11), "a cat" + " cat" * (n % 7)] for n in range(count)]
    return ListSource([Pair(f"uid{n}", b"", texts[n]) for n in range(count)])


def epoch(
    count: int, *, number: int = 0, seed: int = 0, size: int = 8, skip: int = 0
) -> list[TextBatch]:
    return list(
        epoch_batches(
            *(source(count), [Sample(n, None) for n in range(count)], med_tokenizer()),
            batch_size=size,
            max_tokens=10,
            seed=seed,
            epoch=number,
            skip=skip,
        )
    )


def test_every_picture_once_in_an_order_of_the_seed() -> None:
    first = [index for batch in epoch(100) for index in batch.indices]
    assert sorted(first) == list(range(100))
    assert first == [index for batch in epoch(100) for index in batch.indices]
    assert first != [index for batch in epoch(100, seed=1) for index in batch.indices]
    assert first != [index for batch in epoch(100, number=1) for index in batch.indices]


def test_each_epoch_takes_another_text() -> None:
    tokenizer = med_tokenizer()
    texts: dict[int, Counter[str]] = {}
    for number in range(4):
        for batch in epoch(20, number=number):
            for index, ids in zip(batch.indices, batch.ids_BL, strict=True):
                word = tokenizer.decode(ids, skip_special_tokens=True).split()[1]
                texts.setdefault(index, Counter())[word] += 1
    assert set(map(tuple, (sorted(count.items()) for count in texts.values()))) == {
        (("cat", 2), ("dog", 2))
    }


def test_rows_are_padded_and_masked_and_cut() -> None:
    pad = med_tokenizer().pad_token_id
    for batch in epoch(50):
        assert batch.ids_BL.shape == batch.mask_BL.shape
        assert batch.ids_BL.shape[1] <= 10
        assert torch.equal(batch.ids_BL == pad, batch.mask_BL == 0)
        assert batch.mask_BL.sum(1).max() == batch.ids_BL.shape[1]


def test_texts_of_like_length_are_together() -> None:
    padding = sum(int((batch.mask_BL == 0).sum()) for batch in epoch(256))
    tokens = sum(int(batch.mask_BL.sum()) for batch in epoch(256))
    assert padding / tokens < 0.08


def test_a_lone_last_pair_is_left_out() -> None:
    for count in (16, 17, 18, 65, 66):
        batches = epoch(count)
        assert len(batches) == num_batches(count, 8)
        assert min(len(batch.indices) for batch in batches) > 1
        assert sum(len(batch.indices) for batch in batches) == count - (count % 8 == 1)


def test_pictures_of_one_uid_have_one_id() -> None:
    pairs = [Pair("same", b"", ["a dog"]), Pair("same", b"", ["a cat"]), Pair("other", b"", ["a"])]
    (batch,) = epoch_batches(
        *(ListSource(pairs), [Sample(n, None) for n in range(3)], med_tokenizer()),
        batch_size=3,
        max_tokens=9,
        seed=0,
        epoch=0,
    )
    by_index = dict(zip(batch.indices, batch.image_ids_B.tolist(), strict=True))
    assert by_index[0] == by_index[1] != by_index[2]


def test_an_epoch_is_taken_up_at_any_batch() -> None:
    whole = [batch.indices for batch in epoch(133)]  # three stretches, a single pair at the end
    assert len(whole) == num_batches(133, 8)
    for skip in range(len(whole) + 1):
        assert [batch.indices for batch in epoch(133, skip=skip)] == whole[skip:]


class Watched(ListSource):
    """Notes whose pictures are read."""

    read_numbers: list[int]

    def read(self, indices: Sequence[int]) -> list[Pair]:
        self.read_numbers += indices
        return super().read(indices)

    def read_texts(self, indices: Sequence[int]) -> list[Pair]:
        return super().read(indices)


def test_each_worker_reads_its_own_pictures_alone() -> None:
    whole = epoch(29, size=8)
    found: list[list[int]] = []
    for rank in range(3):
        pairs = [
            Pair(one.uid, str(n).encode(), one.texts) for n, one in enumerate(source(29).pairs)
        ]
        watched = Watched(pairs)
        watched.read_numbers = []
        batches = epoch_batches(
            *(watched, [Sample(n, None) for n in range(29)], med_tokenizer()),
            batch_size=8,
            max_tokens=10,
            seed=0,
            epoch=0,
            own_rows=Shares(World(rank, 3), 2).own_rows,
        )
        for batch, one in zip(batches, whole, strict=True):
            assert batch.indices == one.indices
            assert torch.equal(batch.ids_BL, one.ids_BL)
            assert [int(body) for body in batch.bodies] == batch.own_indices
        found.append(watched.read_numbers)
    assert sorted(number for numbers in found for number in numbers) == list(range(29))
    assert max(map(len, found)) - min(map(len, found)) <= 8  # a pair a part of each of four batches
