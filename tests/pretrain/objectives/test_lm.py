from __future__ import annotations

import math

import pytest
import torch

from curate.models.med_tokenizer import tokenize
from curate.pretrain.objectives._forward import Forward, Pairs
from curate.pretrain.objectives.lm import Config, lm_loss
from tests.models.med_models import TEXTS, med_model, med_tokenizer, pixels

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])


def case(*, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, 9, dtype=torch.float64, generator=generator)
    return logits, torch.randint(0, 9, (3, 4), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_equals_the_plain_reference(smoothing: float) -> None:
    logits, ids = case()
    plain, tokens = 0.0, 0
    for row in range(3):
        for place in range(4):
            if not MASK[row, place]:
                continue
            scores = logits[row, place].tolist()
            normalizer = math.log(sum(math.exp(score) for score in scores))
            logs = [score - normalizer for score in scores]
            right = logs[int(ids[row, place])]
            plain -= (1 - smoothing) * right + smoothing * sum(logs) / 9
            tokens += 1
    loss = lm_loss(logits, ids, MASK, label_smoothing=smoothing)
    assert loss.item() == pytest.approx(plain / tokens, abs=1e-12)


def test_a_decoder_that_knows_nothing_costs_log_of_the_vocabulary() -> None:
    _, ids = case()
    loss = lm_loss(torch.zeros(3, 4, 9), ids, MASK, label_smoothing=0.1)
    assert loss.item() == pytest.approx(math.log(9), abs=1e-6)


def test_padding_does_not_count() -> None:
    logits, ids = case()
    changed = logits.clone()
    changed[MASK == 0] += 100
    loss = lm_loss(logits, ids, MASK, label_smoothing=0.1)
    torch.testing.assert_close(lm_loss(changed, ids, MASK, label_smoothing=0.1), loss)
    changed[0, 0, 0] += 1
    assert lm_loss(changed, ids, MASK, label_smoothing=0.1) != loss


def test_words_may_change_their_numbers() -> None:
    logits, ids = case()
    order = torch.tensor([3, 8, 0, 1, 7, 2, 6, 5, 4])
    loss = lm_loss(logits, ids, MASK, label_smoothing=0.1)
    moved = lm_loss(logits[..., order], order.argsort()[ids], MASK, label_smoothing=0.1)
    torch.testing.assert_close(moved, loss)


def test_gradients() -> None:
    logits, ids = case()
    assert torch.autograd.gradcheck(
        lambda x: lm_loss(x, ids, MASK, label_smoothing=0.1), (logits.requires_grad_(),)
    )


def test_the_objective_teaches_each_next_token_and_the_end() -> None:
    model = med_model()
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    pairs = Pairs(model.encode_images(pixels(5)), ids, mask, torch.arange(5))
    loss = Config(label_smoothing=0).loss(Forward(model, pairs, torch.Generator()))
    total, tokens = torch.zeros(()), 0
    for row in range(5):
        length = int(mask[row].sum())
        image = pairs.image_tokens_BMD[row : row + 1]
        for place in range(1, length):
            seen = ids[row : row + 1, :place].clone()
            seen[0, 0] = model.config.dec_token_id
            logs = model.decode_logits(seen, image)[0, -1].log_softmax(-1)
            total -= logs[ids[row, place]]
            tokens += 1
    torch.testing.assert_close(loss, total / tokens, atol=1e-5, rtol=1e-5)
