"""Which rows of a batch a worker trains on.

A batch is cut into parts where memory is short, and each part is shared among all workers: so the
parts are the same whatever the number of workers, and with them the negatives of every pair.
"""

from __future__ import annotations

from dataclasses import dataclass

from curate.pretrain.world import World


@dataclass(frozen=True)
class Part:
    """A part of a batch: those of its pairs whose pictures decode.

    Attributes:
        rows: of all workers, in the order of their ranks.
        own: of this worker. Where it has none, the first of all stands in, without weight: so
            every worker takes part in all that is exchanged.
        counts: how many each worker has.
        loaded: where this worker's pictures lie among those it has loaded for the batch.
    """

    rows: list[int]
    own: list[int]
    counts: list[int]
    loaded: slice

    @property
    def stands_in(self) -> bool:
        """Whether this worker has no pair of the part."""
        return bool(self.loaded.start == self.loaded.stop)


class Shares:
    """Cuts batches for the workers of a world."""

    def __init__(self, world: World, accumulate: int) -> None:
        """Take in how a batch is cut.

        Args:
            world: the workers.
            accumulate: parts of a batch.
        """
        self.world, self.accumulate = world, accumulate

    def own_rows(self, count: int, rank: int | None = None) -> list[int]:
        """Return a worker's rows of a batch of so many pairs; this worker's when rank is None."""
        parts = _parts(count, self.accumulate)
        return [row for part in parts for row in self.world.share(part, rank)]

    def kept_by_all(self, kept: list[bool], count: int) -> list[bool]:
        """Return which pictures of the whole batch decode.

        Args:
            kept: which of this worker's do.
            count: pairs of the batch.
        """
        import torch

        if self.world.alone:
            return kept
        rows = [self.own_rows(count, rank) for rank in range(self.world.size)]
        found = self.world.gather(torch.tensor(kept, dtype=torch.uint8), [len(r) for r in rows])
        everyones = [row for some in rows for row in some]
        decodes = dict(zip(everyones, found.tolist(), strict=True))
        return [bool(decodes[row]) for row in range(count)]

    def parts(self, kept: list[bool]) -> list[Part]:
        """Return the parts of a batch.

        Args:
            kept: which of its pictures decode; the others are in no part.
        """
        parts: list[Part] = []
        done = 0
        for part in _parts(len(kept), self.accumulate):
            shares = [
                [row for row in self.world.share(part, rank) if kept[row]]
                for rank in range(self.world.size)
            ]
            own = shares[self.world.rank]
            rows = [row for share in shares for row in share]
            if rows:
                loaded = slice(done, done + len(own))
                counts = [len(share) for share in shares]
                parts.append(Part(rows, own or rows[:1], counts, loaded))
            done += len(own)
        return parts


def _parts(count: int, accumulate: int) -> list[range]:
    """Cut ``count`` pairs into parts of like size, none of them a single pair if that can be."""
    size = max(2, -(-count // accumulate))
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [range(start, end) for start, end in zip(starts, [*starts[1:], count], strict=True)]
