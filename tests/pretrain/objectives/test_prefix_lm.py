from __future__ import annotations

import pytest
import torch

from curate.models.med_tokenizer import tokenize
from curate.pretrain.objectives._forward import Forward, Pairs
from curate.pretrain.objectives.lm import Config as Lm
from curate.pretrain.objectives.prefix_lm import Config
from tests.models.med_models import TEXTS, med_tokenizer, pixels
from tests.pretrain.models import small_model


def forward(*, seed: int = 0) -> Forward:
    model = small_model("med")
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    pairs = Pairs(model.encode_images(pixels(5)), ids, mask, torch.arange(5))
    return Forward(model, pairs, torch.Generator().manual_seed(seed))


def test_every_prefix_leaves_something_to_write_and_all_lengths_are_drawn() -> None:
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    lengths = mask.sum(1)
    seen: list[set[int]] = [set() for _ in TEXTS]
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        drawn = Config().draw(ids, mask, None, generator=generator)
        assert (drawn["written"].sum(1) == lengths - drawn["prefix"]).all()
        for row, prefix in enumerate(drawn["prefix"].tolist()):
            seen[row].add(prefix)
    assert seen == [set(range(1, length)) for length in lengths.tolist()]


def test_equals_the_plain_reference() -> None:
    shared = forward()
    objective = Config()
    loss = objective.loss(shared)
    drawn, pairs, model = shared.draws(objective), shared.pairs, shared.model
    total, tokens = torch.zeros(()), 0
    for row in range(5):
        prefix, length = int(drawn["prefix"][row]), int(pairs.mask_BL[row].sum())
        ids = pairs.ids_BL[row : row + 1, :length].clone()
        ids[0, 0] = model.config.dec_token_id
        image = pairs.image_tokens_BMD[row : row + 1]
        for place in range(prefix, length):
            logits = model.prefix_logits(ids[:, :place], torch.tensor([prefix]), image)
            total -= logits[0, -1].log_softmax(-1)[pairs.ids_BL[row, place]]
            tokens += 1
    torch.testing.assert_close(loss, total / tokens, atol=1e-5, rtol=1e-5)
    assert objective.units(pairs.mask_BL, drawn) == tokens


def test_prefixes_of_one_token_make_it_lm() -> None:
    shared = forward()
    mask = shared.pairs.mask_BL.clone()
    mask[:, 0] = 0
    shared.drawn["prefix_lm"] = {"prefix": torch.ones(5, dtype=torch.int64), "written": mask}
    plain = Lm(label_smoothing=0).loss(forward())
    torch.testing.assert_close(Config().loss(shared), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_chance_is_the_generator_s_alone(seed: int) -> None:
    torch.testing.assert_close(Config().loss(forward(seed=seed)), Config().loss(forward(seed=seed)))
    assert not torch.equal(Config().loss(forward(seed=seed)), Config().loss(forward(seed=seed + 2)))
