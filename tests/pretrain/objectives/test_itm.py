from __future__ import annotations

import math

import pytest
import torch

from curate.models.med_tokenizer import tokenize
from curate.pretrain.objectives._forward import Forward, Pairs
from curate.pretrain.objectives.itm import FLOOR, Config, hard_negatives, itm_loss
from tests.models.med_models import TEXTS, med_model, med_tokenizer, pixels


def test_loss_equals_the_plain_reference() -> None:
    logits = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matched = torch.tensor([True, False, True, False, False, True, False])
    plain = 0.0
    for (unmatched_logit, matched_logit), is_match in zip(logits.tolist(), matched, strict=True):
        probability = 1 / (1 + math.exp(unmatched_logit - matched_logit))
        plain -= math.log(probability if is_match else 1 - probability) / 7
    assert itm_loss(logits, matched).item() == pytest.approx(plain, abs=1e-12)


def test_undecided_logits_cost_log_two() -> None:
    matched = torch.tensor([True, False, False])
    assert itm_loss(torch.zeros(3, 2), matched).item() == pytest.approx(math.log(2))


def test_the_two_answers_are_symmetric() -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    matched = torch.tensor([True, False, True, True, False, False])
    torch.testing.assert_close(itm_loss(logits.flip(1), ~matched), itm_loss(logits, matched))


def test_gradients() -> None:
    logits = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    matched = torch.tensor([True, False, False, True])
    assert torch.autograd.gradcheck(lambda x: itm_loss(x, matched), (logits,))


def drawn_of(
    logits_BB: torch.Tensor, ids_B: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw for a worker that is alone."""
    whole = slice(0, len(ids_B))
    return hard_negatives(logits_BB, logits_BB.T, ids_B, own=whole, generator=generator)


def test_negatives_are_drawn_by_similarity() -> None:
    logits = torch.tensor([[9.0, 1.0, 0.0], [2.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    ids = torch.arange(3)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(2, 3, 3)
    draws = 20_000
    for _ in range(draws):
        for side, drawn in enumerate(drawn_of(logits, ids, generator)):
            counts[side, torch.arange(3), drawn] += 1
    for side, likely in enumerate((logits.softmax(1), logits.T.softmax(1))):
        wanted = (likely + FLOOR).fill_diagonal_(0)
        wanted = wanted / wanted.sum(1, keepdim=True)
        assert (counts[side] / draws - wanted).abs().max() < 0.012  # three deviations


def test_neither_the_pair_itself_nor_another_text_of_its_image_is_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.tensor([5, 5, 6, 7, 5, 6])
    for _ in range(300):
        logits = 30 * torch.randn(6, 6, generator=generator)
        for drawn in drawn_of(logits, ids, generator):
            assert (ids[drawn] != ids).all()


def test_a_batch_of_one_picture_has_nothing_to_draw() -> None:
    drawn = drawn_of(torch.zeros(3, 3), torch.zeros(3), torch.Generator())
    assert [side.tolist() for side in drawn] == [[-1] * 3] * 2


def forward_of(image_ids: list[int]) -> Forward:
    model = med_model()
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    pairs = Pairs(model.encode_images(pixels(5)), ids, mask, torch.tensor(image_ids))
    return Forward(model, pairs, torch.Generator().manual_seed(0))


def test_the_objective_judges_every_pair_and_two_mismatches_of_each() -> None:
    forward = forward_of([0, 1, 2, 3, 4])
    loss = Config().loss(forward)
    model, pairs = forward.model, forward.pairs
    logits_BB = model.logit_scale * forward.image_embeds @ forward.text_embeds.T
    text_of, image_of = drawn_of(logits_BB, pairs.image_ids_B, torch.Generator().manual_seed(0))
    own = torch.arange(5)
    total = torch.zeros(())
    for texts, images, label in ((own, own, 1), (text_of, own, 0), (own, image_of, 0)):
        for text, image in zip(texts.tolist(), images.tolist(), strict=True):
            tokens = pairs.image_tokens_BMD[image : image + 1]
            logits = model.fuse(
                pairs.ids_BL[text : text + 1], pairs.mask_BL[text : text + 1], tokens
            )
            total -= logits.log_softmax(-1)[0, label] / 15
    torch.testing.assert_close(loss, total, atol=1e-5, rtol=1e-5)


def test_a_text_with_a_word_swapped_is_one_more_mismatch() -> None:
    groups = (("red", "green", "blue"), ("dog", "birds", "cat"))
    plain, forward = forward_of([3] * 5), forward_of([3] * 5)  # nothing foreign in the batch
    model, pairs = plain.model, plain.pairs
    objective = Config(swaps=groups)
    vocabulary = med_tokenizer().get_vocab()
    drawn = objective.draw(
        *(pairs.ids_BL, pairs.mask_BL, model.config),
        generator=torch.Generator().manual_seed(2),
        vocabulary=vocabulary,
    )
    forward.drawn = {"itm": drawn}
    near_BL = drawn["near_ids"]
    missed = (near_BL != pairs.ids_BL).any(1)
    assert missed.tolist() == [True, True, False, False, True]
    own = model.fuse(pairs.ids_BL, pairs.mask_BL, pairs.image_tokens_BMD)
    wrong = model.fuse(near_BL[missed], pairs.mask_BL[missed], pairs.image_tokens_BMD[missed])
    expected = itm_loss(torch.cat([own, wrong]), torch.arange(8) < 5)
    torch.testing.assert_close(objective.loss(forward), expected)


def test_swaps_need_a_vocabulary() -> None:
    forward = forward_of([0, 1, 2, 3, 4])
    with pytest.raises(ValueError, match="a vocabulary is needed"):
        Config(swaps=(("red", "blue"),)).loss(forward)


def test_the_objective_judges_pairs_alone_where_nothing_is_foreign() -> None:
    forward = forward_of([3] * 5)
    pairs = forward.pairs
    logits = forward.model.fuse(pairs.ids_BL, pairs.mask_BL, pairs.image_tokens_BMD)
    expected = itm_loss(logits, torch.ones(5, dtype=torch.bool))
    torch.testing.assert_close(Config().loss(forward), expected)
