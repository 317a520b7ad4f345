"""The order in which a stream gives the samples of an epoch, and each reader's stretch of it.

An epoch is one sequence, known from the partitions' sample counts alone: partitions in an order
drawn from (seed, epoch), gathered into blocks of a few, and the samples of a block shuffled
together. Readers (ranks times workers) take neighbouring stretches of it, so no sample is given
twice and none is left out, and a place in a stretch is one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads.

    Attributes:
        rank: training process, from 0.
        world: number of them.
        worker: its data worker, from 0.
        workers: number of these in a process.
    """

    rank: int = 0
    world: int = 1
    worker: int = 0
    workers: int = 1


@dataclass(frozen=True)
class Epoch:
    """The order of one epoch.

    Attributes:
        counts: samples of each partition.
        seed: of the order.
        number: of the epoch.
        shuffle: False for source order.
        mix: partitions of a block: with more, samples are better mixed and take more memory.
    """

    counts: Sequence[int]
    seed: int
    number: int
    shuffle: bool
    mix: int

    def stretch(self, reader: Reader, *, even: bool) -> tuple[int, int]:
        """Return the places [start, stop) of the sequence that are a reader's.

        Args:
            reader: who reads.
            even: every rank gets the same number of samples, so that none waits for the others
                at the epoch's end; up to ``world - 1`` samples at the end are left out, which
                shuffling makes other ones in every epoch.
        """
        total = sum(self.counts)
        if even:
            total -= total % reader.world
        begin = reader.rank * total // reader.world
        size = (reader.rank + 1) * total // reader.world - begin
        first = begin + reader.worker * size // reader.workers
        return first, begin + (reader.worker + 1) * size // reader.workers

    def walk(self, start: int, stop: int) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
        """Yield the blocks that the places [start, stop) fall into.

        Yields:
            The block's partitions, as indices into ``counts``, and which samples to give, in this
            order: numbers among the samples of these partitions, one partition after the other.
        """
        order = np.arange(len(self.counts))
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.number]).permutation(order)
        begin = 0
        for block, first in enumerate(range(0, len(order), self.mix)):
            partitions = [int(index) for index in order[first : first + self.mix]]
            size = sum(self.counts[index] for index in partitions)
            low, high = max(start - begin, 0), min(stop - begin, size)
            if low < high:
                samples = np.arange(size)
                if self.shuffle:
                    draw = np.random.default_rng([self.seed, self.number, block])
                    samples = draw.permutation(samples)
                yield partitions, samples[low:high]
            begin += size
