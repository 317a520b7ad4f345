from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from curate.pretrain.objectives.itc import itc_loss, taught_loss


def embeds(count: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 6, generator=generator, dtype=torch.float64), dim=-1)


SCALE = torch.tensor(14.0, dtype=torch.float64)


def plain_itc(images: Tensor, texts: Tensor, scale: float, ids: list[int]) -> float:
    """Compute the loss pair by pair, as a textbook would."""
    total = 0.0
    count = len(ids)
    for sides in ((images, texts), (texts, images)):
        for row in range(count):
            scores = [scale * float(sides[0][row] @ sides[1][column]) for column in range(count)]
            normalizer = math.log(sum(math.exp(score) for score in scores))
            right = [column for column in range(count) if ids[column] == ids[row]]
            total -= sum(scores[column] - normalizer for column in right) / len(right)
    return total / (2 * count)


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [7, 7, 2, 3, 7]])
def test_equals_the_plain_reference(ids: list[int]) -> None:
    images, texts = embeds(5, seed=0), embeds(5, seed=1)
    loss = itc_loss(images, texts, logit_scale=SCALE, image_ids_B=torch.tensor(ids))
    assert loss.item() == pytest.approx(plain_itc(images, texts, 14.0, ids), abs=1e-12)


def test_equal_embeddings_tell_nothing() -> None:
    same = embeds(1, seed=0).expand(8, -1)
    loss = itc_loss(same, same, logit_scale=SCALE, image_ids_B=torch.arange(8))
    assert loss.item() == pytest.approx(math.log(8), abs=1e-12)


def test_orthogonal_pairs_have_a_closed_form() -> None:
    basis = torch.eye(6, dtype=torch.float64)
    loss = itc_loss(basis, basis, logit_scale=SCALE, image_ids_B=torch.arange(6))
    assert loss.item() == pytest.approx(math.log(1 + 5 * math.exp(-14)), abs=1e-12)


def test_images_and_texts_may_change_places_and_pairs_their_order() -> None:
    images, texts, ids = embeds(6, seed=2), embeds(6, seed=3), torch.tensor([0, 1, 1, 3, 4, 0])
    loss = itc_loss(images, texts, logit_scale=SCALE, image_ids_B=ids)
    swapped = itc_loss(texts, images, logit_scale=SCALE, image_ids_B=ids)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    moved = itc_loss(images[order], texts[order], logit_scale=SCALE, image_ids_B=ids[order])
    torch.testing.assert_close(swapped, loss)
    torch.testing.assert_close(moved, loss)


def test_gradients() -> None:
    images, texts = embeds(4, seed=4).requires_grad_(), embeds(4, seed=5).requires_grad_()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([0, 1, 1, 2])
    assert torch.autograd.gradcheck(
        lambda i, t, s: itc_loss(i, t, logit_scale=s, image_ids_B=ids), (images, texts, scale)
    )


def test_half_precision_around_it_rounds_nothing() -> None:
    images, texts = embeds(5, seed=0).float(), embeds(5, seed=1).float()
    ids, scale = torch.arange(5), SCALE.float()
    full = itc_loss(images, texts, logit_scale=scale, image_ids_B=ids)
    with torch.autocast("cpu", torch.bfloat16):
        half = itc_loss(images, texts, logit_scale=scale, image_ids_B=ids)
    assert torch.equal(full, half)


def test_unpaired_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="takes pairs"):
        itc_loss(
            embeds(4, seed=0), embeds(5, seed=0), logit_scale=SCALE, image_ids_B=torch.arange(4)
        )


def taught(alpha: float, *, seed: int = 0) -> tuple[Tensor, ...]:
    own, teacher = embeds(4, seed=seed), embeds(4, seed=seed + 1)
    candidates = torch.cat([embeds(4, seed=seed + 2), embeds(3, seed=seed + 3)])
    same = torch.cat([torch.eye(4), torch.zeros(4, 3)], 1).bool()
    same[2, 5] = True
    loss = taught_loss(own, candidates, teacher, logit_scale=SCALE, same_BC=same, alpha=alpha)
    return loss, own, candidates, teacher, same


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_a_taught_loss_equals_the_plain_reference(alpha: float) -> None:
    loss, own, candidates, teacher, same = taught(alpha)
    plain = 0.0
    for row in range(4):
        logits = [14 * float(own[row] @ entry) for entry in candidates]
        opinion = [math.exp(14 * float(teacher[row] @ entry)) for entry in candidates]
        normalizer = math.log(sum(math.exp(x) for x in logits))
        for column in range(7):
            hard = float(same[row, column]) / float(same[row].sum())
            target = alpha * opinion[column] / sum(opinion) + (1 - alpha) * hard
            plain -= target * (logits[column] - normalizer)
    assert loss.item() == pytest.approx(plain / 4, abs=1e-10)


def test_a_teacher_without_weight_and_queue_leaves_plain_itc() -> None:
    images, texts, ids = embeds(5, seed=0), embeds(5, seed=1), torch.tensor([0, 1, 1, 3, 4])
    same = ids[:, None] == ids[None, :]
    sides = [
        taught_loss(a, b, a, logit_scale=SCALE, same_BC=same, alpha=0.0)
        for a, b in ((images, texts), (texts, images))
    ]
    plain = itc_loss(images, texts, logit_scale=SCALE, image_ids_B=ids)
    torch.testing.assert_close((sides[0] + sides[1]) / 2, plain)


def test_gradients_of_a_taught_loss_reach_the_taught_alone() -> None:
    _, own, candidates, teacher, same = taught(0.4)
    for tensor in (own, candidates, teacher):
        tensor.requires_grad_()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)

    def loss(o: Tensor, c: Tensor) -> Tensor:
        return taught_loss(o, c, teacher, logit_scale=scale.detach(), same_BC=same, alpha=0.0)

    assert torch.autograd.gradcheck(loss, (own, candidates))
    taught_loss(own, candidates, teacher, logit_scale=scale, same_BC=same, alpha=0.4).backward()
    assert teacher.grad is None
    assert own.grad is not None
