from __future__ import annotations

import pytest

from curate.models.base import Writing
from curate.models.sampling import Sampling


@pytest.mark.parametrize(
    ("writing", "said"),
    [
        (Writing(), "nucleus p=0.9 tokens=0-30 k=1 round=0"),
        (
            Writing(
                sampling=Sampling(
                    top_p=0.95, top_k=50, temperature=1.5, repetition_penalty=1.1, min_tokens=5
                ),
                prompt="a picture of",
                max_tokens=20,
                round_number=2,
            ),
            "nucleus p=0.95 top_k=50 temperature=1.5 penalty=1.1 prompt='a picture of' "
            "tokens=5-20 k=1 round=2",
        ),
        (
            Writing(decoding="greedy", sampling=Sampling(top_p=0)),
            "greedy tokens=0-30 k=1 round=0",
        ),
        (Writing(decoding="beam", num_beams=5), "beam beams=5 tokens=0-30 k=1 round=0"),
    ],
)
def test_a_caption_is_signed_with_all_that_decided_it(writing: Writing, said: str) -> None:
    assert writing.describe(1) == said
