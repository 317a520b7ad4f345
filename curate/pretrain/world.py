"""All workers of a training, and which of them this is; in terms of torch.distributed alone.

Every collective is called by all workers in the same order, or all of them wait.

Shapes: B rows of this worker, C rows of all workers, W workers, R rows asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Gradients travel in buckets of so many bytes: few messages, little memory.
_BUCKET_BYTES = 64 * 2**20


class World:
    """A number of workers that train one model.

    Attributes:
        rank: which worker this is, from 0; the first alone writes files and tells of progress.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """Describe a world: by default that of a single worker, which needs no process group."""
        self.rank, self.size = rank, size

    @classmethod
    def joined(cls) -> World:
        """Return the world of torch's default process group, which has been joined before."""
        import torch.distributed as dist

        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes files."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other worker."""
        return self.size == 1

    def share(self, rows: range, rank: int | None = None) -> range:
        """Return a worker's part of some rows: neighbours, none twice, none left out.

        Args:
            rows: of a whole batch.
            rank: whose part; this worker's when None.
        """
        rank = self.rank if rank is None else rank
        start, stop = (len(rows) * place // self.size for place in (rank, rank + 1))
        return rows[start:stop]

    def gather(self, x: Tensor, counts: Sequence[int]) -> Tensor:
        """Return the rows [C, ...] of all workers, in the order of their ranks.

        What flows back to a row is summed over all workers, so that the sum of the workers'
        losses has the gradients that one worker's loss of all rows has.

        Args:
            x: this worker's rows [B, ...].
            counts: rows of each worker [W].
        """
        if self.alone:
            return x
        from curate.pretrain.collectives import GatherRows

        gathered: Tensor = GatherRows.apply(x, tuple(counts), self.rank)  # type: ignore[no-untyped-call]
        return gathered

    def fetch(self, x: Tensor, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Return any rows of all workers' [R, ...]; only these travel, and gradients back.

        Args:
            x: this worker's rows [B, ...].
            rows: numbers [R] among the C rows of all workers, in any order.
            counts: rows of each worker [W].
        """
        if self.alone:
            return x[rows]
        from curate.pretrain.collectives import FetchRows

        fetched: Tensor = FetchRows.apply(x, rows, tuple(counts))  # type: ignore[no-untyped-call]
        return fetched

    def sum(self, x: Tensor) -> Tensor:
        """Sum over the workers, in place; returns the same tensor."""
        if not self.alone:
            import torch.distributed as dist

            dist.all_reduce(x)
        return x

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over the workers."""
        if self.alone:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        for bucket in _buckets(gradients):
            self._sum_bucket(bucket)

    def _sum_bucket(self, bucket: list[Tensor]) -> None:
        import torch

        flat = self.sum(torch.cat([gradient.reshape(-1) for gradient in bucket]))
        sums = torch.split(flat, [gradient.numel() for gradient in bucket])
        for gradient, summed in zip(bucket, sums, strict=True):
            gradient.copy_(summed.view_as(gradient))

    def as_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of the first worker."""
        if self.alone:
            return
        import torch
        import torch.distributed as dist

        with torch.no_grad():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def first_says(self, value: int) -> int:
        """Return what the first worker says, on every worker."""
        import torch

        said = torch.tensor(value)
        self.as_first([said])
        return int(said)

    def each_says(self, value: float) -> list[float]:
        """Return what every worker says, by rank."""
        import torch

        said = self.gather(torch.tensor([value], dtype=torch.float64), [1] * self.size)
        return [float(one) for one in said]


def _buckets(tensors: Sequence[Tensor]) -> Iterable[list[Tensor]]:
    """Yield neighbours of one type that together are of a bucket's size or just above."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size >= _BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel() * tensor.element_size()
    if bucket:
        yield bucket
