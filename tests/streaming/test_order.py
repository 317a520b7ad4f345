from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.streaming.order import Epoch, Reader


def sequence(epoch: Epoch, start: int, stop: int) -> list[tuple[int, int]]:
    """Return (partition, sample of it) of the places, one by one."""
    found = []
    for partitions, wanted in epoch.walk(start, stop):
        names = [(p, n) for p in partitions for n in range(epoch.counts[p])]
        found += [names[index] for index in wanted]
    return found


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), max_size=9),
    world=st.integers(1, 4),
    workers=st.integers(1, 3),
    shuffle=st.booleans(),
    mix=st.integers(1, 4),
    even=st.booleans(),
)
def test_readers_share_the_samples_without_repeats(
    counts: list[int], world: int, workers: int, shuffle: bool, mix: int, even: bool
) -> None:
    epoch = Epoch(counts, 3, 1, shuffle, mix)
    by_rank: list[list[tuple[int, int]]] = []
    for rank in range(world):
        mine = []
        for worker in range(workers):
            reader = Reader(rank, world, worker, workers)
            mine += sequence(epoch, *epoch.stretch(reader, even=even))
        by_rank.append(mine)
    given_ = [sample for mine in by_rank for sample in mine]
    assert len(set(given_)) == len(given_)
    sizes = {len(mine) for mine in by_rank}
    if even:
        assert sizes == {sum(counts) // world}
    else:
        assert len(given_) == sum(counts)
        assert max(sizes) - min(sizes) <= 1


def test_a_place_is_where_the_rest_begins() -> None:
    epoch = Epoch([5, 0, 7, 3, 6], 0, 0, True, 2)
    whole = sequence(epoch, 0, 21)
    for at in range(22):
        assert sequence(epoch, at, 21) == whole[at:]


def test_the_order_is_drawn_from_seed_and_epoch() -> None:
    def order(seed: int, number: int) -> list[tuple[int, int]]:
        return sequence(Epoch([40, 40, 40], seed, number, True, 2), 0, 120)

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) != order(1, 1)
    assert sorted(order(0, 1)) == sorted(order(1, 0))


def test_without_shuffling_it_is_the_source_order() -> None:
    assert sequence(Epoch([2, 3], 5, 7, False, 4), 0, 5) == [
        *((0, 0), (0, 1), (1, 0), (1, 1), (1, 2)),
    ]


@pytest.mark.parametrize("mix", [1, 5])
def test_samples_of_a_block_are_mixed(mix: int) -> None:
    counts = [100] * 10
    found = sequence(Epoch(counts, 0, 0, True, mix), 0, 1000)
    first = {partition for partition, _ in found[:100]}
    assert len(first) == mix
    moved = np.mean([abs(n - place % 100) for place, (_, n) in enumerate(found)])
    assert moved > 25  # a random order moves a sample by a third of a hundred
