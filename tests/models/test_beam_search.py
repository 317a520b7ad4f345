"""Beam search against every caption there is, and against greedy decoding."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from curate.models.beam_search import beam_search
from curate.models.med_tokenizer import prompt_ids
from tests.models.med_models import med_model, med_tokenizer, pixels

PAD, SEP, DEC, WORDS = 0, 1, 2, (3, 4, 5)


class Chain:
    """Writes by a table: so few words that every caption of some length can be judged."""

    def __init__(self, num_images: int, num_tokens: int, *, seed: int) -> None:
        self.config = SimpleNamespace(pad_token_id=PAD, sep_token_id=SEP, special_ids=(PAD, DEC))
        generator = torch.Generator().manual_seed(seed)
        self.table = 2 * torch.randn(num_images, num_tokens, 6, 6, generator=generator)

    def decode_logits(self, ids_BL: Tensor, image_tokens_IMD: Tensor, rows_B: Tensor) -> Tensor:
        del image_tokens_IMD
        places = torch.arange(ids_BL.shape[1])
        return self.table[rows_B[:, None], places, ids_BL]

    def likeliest(self, image: int, num_tokens: int) -> list[int]:
        """Return the caption of the highest mean log probability, of all that end."""
        banned = torch.tensor([PAD, DEC])
        log_probs = self.table[image].index_fill(-1, banned, -torch.inf).log_softmax(-1)
        captions = [
            [*text, SEP]
            for length in range(num_tokens)
            for text in itertools.product(WORDS, repeat=length)
        ]

        def mean(caption: list[int]) -> float:
            steps = zip([DEC, *caption], caption, strict=False)
            found = [float(log_probs[n, a, b]) for n, (a, b) in enumerate(steps)]
            return sum(found) / len(found)

        return max(captions, key=mean)


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_finds_the_likeliest_of_all_captions(seed: int) -> None:
    chain: Any = Chain(5, 4, seed=seed)
    images = torch.zeros(5, 1, 1)
    found = beam_search(chain, images, torch.tensor([DEC]), 4, num_beams=27)
    for image, row in enumerate(found.tolist()):
        best = chain.likeliest(image, 4)
        assert row[: len(best)] == best
        assert set(row[len(best) :]) <= {PAD}


def test_wider_is_no_worse_on_the_whole() -> None:
    chain: Any = Chain(200, 6, seed=0)
    images, start = torch.zeros(200, 1, 1), torch.tensor([DEC])
    rows = torch.arange(200)

    def mean(captions: Tensor) -> float:
        ids = torch.cat([start.expand(200, 1), captions], 1)
        logits = chain.decode_logits(ids[:, :-1], images, rows)
        logits[..., [PAD, DEC]] = -torch.inf
        taken = logits.log_softmax(-1).gather(-1, captions[..., None])[..., 0]
        real = captions != PAD
        return float((taken.masked_fill(~real, 0).sum(1) / real.sum(1)).mean())

    means = [mean(beam_search(chain, images, start, 6, num_beams=k)) for k in (1, 3, 9)]
    assert means[0] < means[1] <= means[2]  # there are but three words


def test_a_caption_does_not_hang_on_its_batch() -> None:
    model = med_model(spread=0.4)
    start = prompt_ids(med_tokenizer(), "a red")
    with torch.no_grad():
        images = model.encode_images(pixels(4))
    together = beam_search(model, images, start, 6, num_beams=3)
    for row in range(4):
        alone = beam_search(model, images[row : row + 1], start, 6, num_beams=3)[0].tolist()
        assert together[row, : len(alone)].tolist() == alone
        assert set(together[row, len(alone) :].tolist()) <= {model.config.pad_token_id}
    assert not set(together.flatten().tolist()) & (
        set(model.config.special_ids) - {model.config.pad_token_id}
    )


def test_what_does_not_end_is_the_likeliest_beam() -> None:
    chain: Any = Chain(3, 2, seed=1)
    chain.table[..., SEP] = -torch.inf
    found = beam_search(chain, torch.zeros(3, 1, 1), torch.tensor([DEC]), 2, num_beams=9)
    assert found.shape == (3, 2)
    assert set(found.flatten().tolist()) <= set(WORDS)
