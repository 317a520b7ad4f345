"""Rows that travel between workers, and their gradients back.

Shapes: B rows of this worker, C rows of all workers, W workers, R rows asked for.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


class GatherRows(Function):
    """All workers' rows on each; backward sums what every worker makes of a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: tuple[int, ...], rank: int) -> Tensor:
        """Return rows [C, ...] in the order of the workers.

        Args:
            ctx: autograd's.
            x: this worker's rows [B, ...].
            counts: rows of each worker [W].
            rank: this worker.
        """
        ctx.counts, ctx.rank = counts, rank
        padded = x.new_zeros(max(counts), *x.shape[1:])
        padded[: len(x)] = x
        found = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(found, padded)
        return torch.cat([one[:count] for one, count in zip(found, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of this worker's rows [B, ...]."""
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return torch.split(total, list(ctx.counts))[ctx.rank], None, None


class FetchRows(Function):
    """Some workers' rows on one; only rows that are asked for travel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, counts: tuple[int, ...]) -> Tensor:
        """Return rows [R, ...].

        Args:
            ctx: autograd's.
            x: this worker's rows [B, ...].
            rows: numbers [R] among the C rows of all workers.
            counts: rows of each worker [W].
        """
        starts = torch.tensor([0, *accumulate(counts)], device=rows.device)
        order = rows.argsort(stable=True)
        owner = torch.bucketize(rows[order], starts, right=True) - 1
        asked = torch.bincount(owner, minlength=len(counts))
        wanted = torch.empty_like(asked)  # of this worker, by each of the others
        dist.all_to_all_single(wanted, asked)
        ctx.asked, ctx.wanted, ctx.shape = asked.tolist(), wanted.tolist(), x.shape
        theirs = _exchange(rows[order] - starts[owner], ctx.asked, ctx.wanted)
        ctx.save_for_backward(order, theirs)
        return _exchange(x[theirs], ctx.wanted, ctx.asked)[order.argsort()]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of this worker's rows [B, ...], from wherever they went."""
        order, theirs = ctx.saved_tensors
        back = _exchange(gradients[0][order], ctx.asked, ctx.wanted)
        return back.new_zeros(ctx.shape).index_add_(0, theirs, back), None, None


def _exchange(rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
    """Send so many rows to each worker in turn, and return those that come, by sender."""
    out = rows.new_empty(sum(received), *rows.shape[1:])
    dist.all_to_all_single(out, rows.contiguous(), received, sent)
    return out
