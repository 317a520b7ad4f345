"""What workers exchange, and who takes which rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from curate.pretrain.shares import Shares
from curate.pretrain.world import World
from tests.pretrain.workers import together

_COUNTS = [3, 0, 4]
_WANTED = [[6, 0, 0, 2], [], [1, 5, 3, 6, 6]]


def rows() -> Tensor:
    made: Tensor = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))
    return made


def weigh(x: Tensor, rank: int) -> Tensor:
    """Return a loss of some rows that is another one on every worker."""
    return (x.cos() * torch.arange(1, x.numel() + 1).view_as(x) * (rank + 1)).sum()


def exchange(world: World, folder: Path) -> None:
    """Gather and fetch as one worker of three; leave values and gradients behind."""
    own = rows().split(_COUNTS)[world.rank].clone().requires_grad_()
    gathered = world.gather(own, _COUNTS)
    fetched = world.fetch(own, torch.tensor(_WANTED[world.rank], dtype=torch.int64), _COUNTS)
    (weigh(gathered, world.rank) + weigh(fetched, world.rank)).backward()  # type: ignore[no-untyped-call]
    parameters = [torch.nn.Parameter(torch.zeros(n)) for n in (2, 5, 3)]
    for parameter in parameters[:2]:
        parameter.grad = torch.full_like(parameter, world.rank + 1.0)
    world.sum_gradients(parameters)
    said = (world.first_says(world.rank + 7), world.each_says(world.rank / 2))
    first = torch.tensor([world.rank])
    world.as_first([first])
    found = (gathered, fetched, own.grad, [p.grad for p in parameters], said, first)
    torch.save(found, folder / f"{world.rank}.pt")


def test_what_three_workers_exchange(tmp_path: Path) -> None:
    together(3, exchange, tmp_path)
    whole = rows().requires_grad_()
    total = torch.zeros(())
    for rank, wanted in enumerate(_WANTED):
        total = total + weigh(whole, rank) + weigh(whole[wanted], rank)
    total.backward()  # type: ignore[no-untyped-call]
    assert whole.grad is not None
    gradients = whole.grad.split(_COUNTS)
    for rank, wanted in enumerate(_WANTED):
        gathered, fetched, gradient, parameters, said, first = torch.load(tmp_path / f"{rank}.pt")
        assert torch.equal(gathered, whole)
        assert torch.equal(fetched, whole[wanted])
        torch.testing.assert_close(gradient, gradients[rank])
        assert [p.tolist() if p is not None else None for p in parameters] == [
            *([6.0] * 2, [6.0] * 5, None)
        ]
        assert said == (7, [0.0, 0.5, 1.0])
        assert first.tolist() == [0]


def test_a_worker_alone_exchanges_nothing() -> None:
    world, x = World(), rows()
    assert world.gather(x, [7]) is x
    assert torch.equal(world.fetch(x, torch.tensor([3, 1]), [7]), x[[3, 1]])
    assert world.first_says(3) == 3
    assert world.each_says(1.5) == [1.5]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_no_row_twice_and_none_left_out(size: int, accumulate: int) -> None:
    for count in (2, 5, 8, 29):
        shares = [Shares(World(rank, size), accumulate) for rank in range(size)]
        taken = [row for share in shares for row in share.own_rows(count)]
        assert sorted(taken) == list(range(count))
        sizes = {len(share.own_rows(count)) for share in shares}
        assert max(sizes) - min(sizes) <= accumulate


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_are_the_same_however_many_share_them(size: int) -> None:
    kept = [row % 4 != 1 for row in range(11)]
    alone = Shares(World(), 3).parts(kept)
    worlds = [Shares(World(rank, size), 3) for rank in range(size)]
    for number, part in enumerate(alone):
        theirs = [shares.parts(kept)[number] for shares in worlds]
        assert all(other.rows == part.rows for other in theirs)
        own = [row for other in theirs if not other.stands_in for row in other.own]
        assert own == part.rows
        assert [len(o.own) * (not o.stands_in) for o in theirs] == theirs[0].counts
    for shares in worlds:
        loaded = [row for row in shares.own_rows(11) if kept[row]]
        for part in shares.parts(kept):
            assert part.stands_in or loaded[part.loaded] == part.own


def test_a_worker_with_nothing_stands_in() -> None:
    part = Shares(World(0, 3), 1).parts([True, True])[0]
    assert part.counts == [0, 1, 1]
    assert part.stands_in
    assert part.own == [0]
