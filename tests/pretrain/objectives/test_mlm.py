from __future__ import annotations

import math

import pytest
import torch

from curate.models.med_tokenizer import tokenize
from curate.pretrain.objectives.mlm import Config, mask_tokens, mlm_loss
from tests.models.med_models import TEXTS, med_tokenizer

WORDS = (7, 157)


def case(*, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits, opinion = torch.randn(2, 6, 9, dtype=torch.float64, generator=generator)
    return logits, opinion, torch.randint(0, 9, (6,), generator=generator)


def test_equals_the_plain_reference() -> None:
    logits, opinion, ids = case()
    plain = 0.0
    for row in range(6):
        normalizer = math.log(sum(math.exp(x) for x in logits[row].tolist()))
        logs = [x - normalizer for x in logits[row].tolist()]
        mass = sum(math.exp(x) for x in opinion[row].tolist())
        soft = [math.exp(x) / mass for x in opinion[row].tolist()]
        plain -= 0.7 * logs[int(ids[row])] + 0.3 * sum(
            p * q for p, q in zip(soft, logs, strict=True)
        )
    loss = mlm_loss(logits, ids, opinion, alpha=0.3)
    assert loss.item() == pytest.approx(plain / 6, abs=1e-12)


def test_a_model_that_knows_nothing_costs_log_of_the_vocabulary() -> None:
    _, opinion, ids = case()
    flat = torch.zeros(6, 9, dtype=torch.float64)
    assert mlm_loss(flat, ids).item() == pytest.approx(math.log(9))
    assert mlm_loss(flat, ids, opinion, alpha=0.4).item() == pytest.approx(math.log(9))


def test_words_may_change_their_numbers() -> None:
    logits, opinion, ids = case()
    order = torch.tensor([3, 8, 0, 1, 7, 2, 6, 5, 4])
    moved = mlm_loss(logits[:, order], order.argsort()[ids], opinion[:, order], alpha=0.4)
    torch.testing.assert_close(moved, mlm_loss(logits, ids, opinion, alpha=0.4))


def test_gradients() -> None:
    logits, opinion, ids = case()
    assert torch.autograd.gradcheck(
        lambda x: mlm_loss(x, ids, opinion, alpha=0.4), (logits.requires_grad_(),)
    )


def test_tokens_are_chosen_masked_replaced_and_left_by_bert_s_shares() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(*WORDS, (500, 42), generator=generator)
    ids[:, 0], ids[:, -1] = 2, 3
    mask = torch.ones_like(ids)
    masked, chosen = mask_tokens(ids, mask, 0.15, mask_id=4, word_ids=WORDS, generator=generator)
    assert (chosen.sum(1) == 6).all()
    assert not chosen[:, 0].any()
    assert not chosen[:, -1].any()
    assert torch.equal(masked[~chosen], ids[~chosen])
    as_mask = (masked[chosen] == 4).float().mean()
    left = (masked[chosen] == ids[chosen]).float().mean()
    assert as_mask == pytest.approx(0.8, abs=0.03)
    assert left == pytest.approx(0.1, abs=0.03)
    places = chosen[:, 1:-1].float().mean(0)
    assert (places - 0.15).abs().max() < 0.07  # everywhere alike


def test_padding_and_special_tokens_are_never_chosen_and_short_texts_lose_one_word() -> None:
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        _, chosen = mask_tokens(ids, mask, 0.15, mask_id=4, word_ids=WORDS, generator=generator)
        assert not (chosen & (mask == 0)).any()
        assert not (chosen & ((ids == 2) | (ids == 3))).any()
        assert (chosen.sum(1) >= 1).all()


def test_what_is_drawn_counts_its_units() -> None:
    from tests.pretrain.models import small_model

    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    config = small_model("med").config
    drawn = Config().draw(ids, mask, config, generator=torch.Generator().manual_seed(0))
    assert Config().units(mask, drawn) == int(drawn["chosen"].sum())
