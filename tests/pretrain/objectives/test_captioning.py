from __future__ import annotations

import pytest
import torch

from curate.models.med_tokenizer import tokenize
from curate.pretrain.objectives._forward import Forward, Pairs
from curate.pretrain.objectives.captioning import Config
from curate.pretrain.objectives.lm import Config as Lm
from tests.models.med_models import TEXTS, med_tokenizer, pixels
from tests.pretrain.models import small_model


def forward(name: str) -> Forward:
    model = small_model(name)
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    pairs = Pairs(model.encode_images(pixels(5)), ids, mask, torch.arange(5))
    return Forward(model, pairs, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["coca", "med", "blip"])
def test_it_is_lm_without_smoothing(name: str) -> None:
    loss = Config().loss(forward(name))
    plain = Lm(label_smoothing=0).loss(forward(name))
    torch.testing.assert_close(loss, plain, atol=1e-5, rtol=1e-5)


def test_coca_reads_each_text_once_for_both() -> None:
    shared = forward("coca")
    passes = []
    shared.model.text.words.register_forward_hook(lambda *_: passes.append(1))  # type: ignore[attr-defined]
    Config().loss(shared)
    assert shared.text_embeds.shape == (5, 12)
    assert len(passes) == 1
