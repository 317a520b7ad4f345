from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from curate.pretrain.objectives.sigmoid import sigmoid_loss

SCALE = torch.tensor(10.0, dtype=torch.float64)
BIAS = torch.tensor(-3.0, dtype=torch.float64)


def embeds(count: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 6, generator=generator, dtype=torch.float64), dim=-1)


def loss_of(images: Tensor, texts: Tensor, ids: Tensor) -> Tensor:
    return sigmoid_loss(images, texts, logit_scale=SCALE, logit_bias=BIAS, image_ids_B=ids)


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [7, 7, 2, 3, 7]])
def test_equals_the_plain_reference(ids: list[int]) -> None:
    images, texts = embeds(5, seed=0), embeds(5, seed=1)
    plain = 0.0
    for row in range(5):
        for column in range(5):
            sign = 1 if ids[row] == ids[column] else -1
            logit = 10 * float(images[row] @ texts[column]) - 3
            plain -= math.log(1 / (1 + math.exp(-sign * logit)))
    assert loss_of(images, texts, torch.tensor(ids)).item() == pytest.approx(plain / 5, abs=1e-12)


def test_orthogonal_pairs_have_a_closed_form() -> None:
    basis = torch.eye(6, dtype=torch.float64)
    wanted = math.log(1 + math.exp(-7)) + 5 * math.log(1 + math.exp(-3))
    assert loss_of(basis, basis, torch.arange(6)).item() == pytest.approx(wanted, abs=1e-12)


def test_images_and_texts_may_change_places_and_pairs_their_order() -> None:
    images, texts, ids = embeds(6, seed=2), embeds(6, seed=3), torch.tensor([0, 1, 1, 3, 4, 0])
    loss = loss_of(images, texts, ids)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(loss_of(texts, images, ids), loss)
    torch.testing.assert_close(loss_of(images[order], texts[order], ids[order]), loss)


def test_gradients() -> None:
    images, texts = embeds(4, seed=4).requires_grad_(), embeds(4, seed=5).requires_grad_()
    scale, bias = SCALE.clone().requires_grad_(), BIAS.clone().requires_grad_()
    ids = torch.tensor([0, 1, 1, 2])
    assert torch.autograd.gradcheck(
        lambda i, t, s, b: sigmoid_loss(i, t, logit_scale=s, logit_bias=b, image_ids_B=ids),
        (images, texts, scale, bias),
    )


def test_unpaired_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="takes pairs"):
        loss_of(embeds(4, seed=0), embeds(5, seed=0), torch.arange(4))
