from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from curate.pretrain.objectives.moco import moco_loss

SCALE = torch.tensor(9.0, dtype=torch.float64)


def embeds(count: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 6, generator=generator, dtype=torch.float64), dim=-1)


def test_equals_the_plain_reference() -> None:
    own, partners, queue = embeds(4, seed=0), embeds(4, seed=1), embeds(7, seed=2)
    same = torch.zeros(4, 7, dtype=torch.bool)
    same[1, 3] = same[1, 5] = True
    plain = 0.0
    for row in range(4):
        right = math.exp(9 * float(own[row] @ partners[row]))
        wrong = [math.exp(9 * float(own[row] @ entry)) for entry in queue]
        total = right + sum(
            w for w, skip in zip(wrong, same[row].tolist(), strict=True) if not skip
        )
        plain -= math.log(right / total) / 4
    loss = moco_loss(own, partners, queue, logit_scale=SCALE, same_BQ=same)
    assert loss.item() == pytest.approx(plain, abs=1e-12)


def test_equal_embeddings_tell_nothing_and_an_empty_queue_asks_nothing() -> None:
    same = embeds(1, seed=0)
    none = torch.zeros(3, 8, dtype=torch.bool)
    three, eight = same.expand(3, -1), same.expand(8, -1)
    loss = moco_loss(three, three, eight, logit_scale=SCALE, same_BQ=none)
    assert loss.item() == pytest.approx(math.log(9), abs=1e-12)
    empty = moco_loss(three, embeds(3, seed=1), eight[:0], logit_scale=SCALE, same_BQ=none[:, :0])
    assert empty.item() == 0


def test_pairs_and_entries_may_change_their_order() -> None:
    own, partners, queue = embeds(4, seed=0), embeds(4, seed=1), embeds(7, seed=2)
    same = torch.rand(4, 7, generator=torch.Generator().manual_seed(0)) < 0.2
    loss = moco_loss(own, partners, queue, logit_scale=SCALE, same_BQ=same)
    rows, entries = torch.tensor([2, 0, 3, 1]), torch.randperm(7)
    moved = moco_loss(
        *(own[rows], partners[rows], queue[entries]),
        logit_scale=SCALE,
        same_BQ=same[rows][:, entries],
    )
    torch.testing.assert_close(moved, loss)


def test_gradients() -> None:
    own, partners, queue = embeds(3, seed=0).requires_grad_(), embeds(3, seed=1), embeds(5, seed=2)
    scale = SCALE.clone().requires_grad_()
    same = torch.zeros(3, 5, dtype=torch.bool)
    same[0, 1] = True
    assert torch.autograd.gradcheck(
        lambda o, s: moco_loss(o, partners, queue, logit_scale=s, same_BQ=same), (own, scale)
    )
