from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from curate.core.errors import ModelError
from curate.models.text_tokens import TextTokens, Tokenized
from tests.models.tiny_scorers import (
    bert_tokenizer,
    clip_tokenizer,
    roberta_tokenizer,
    xlm_roberta_tokenizer,
)

CPU = torch.device("cpu")
TEXTS = ["a dog", "a red house under the old tree", "a dog", "birds", "a dog"]
IMAGES = [0, 1, 1, 2, 0]


def _batches(tokenized: Tokenized) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Return each batch's lengths, and its pairs as (place, image)."""
    out = []
    for batch in tokenized.batches(IMAGES, CPU):
        found = []
        for pairs in batch.pairs:
            found += list(zip(pairs.places, pairs.image_rows.tolist(), strict=True))
            for place, row in zip(pairs.places, pairs.text_rows.tolist(), strict=True):
                ids = batch.ids[row][batch.mask[row].bool()].tolist()
                assert ids == tokenized.ids[tokenized.distinct_of[place]]
        out.append((batch.mask.sum(1).tolist(), found))
    return out


@pytest.mark.parametrize("size", [1, 2, 64])
def test_every_pair_comes_once_and_every_distinct_text_too(size: int) -> None:
    tokens = TextTokens(bert_tokenizer(), most_tokens=20, texts_per_batch=size)
    batches = _batches(tokens(TEXTS))
    assert sum(len(lengths) for lengths, _ in batches) == 3
    assert all(len(lengths) <= size for lengths, _ in batches)
    assert sorted(pair for _, pairs in batches for pair in pairs) == list(enumerate(IMAGES))
    lengths = [length for some, _ in batches for length in some]
    assert lengths == sorted(lengths), "shortest first, so that little is padded"


def test_pairs_come_in_portions() -> None:
    tokens = TextTokens(bert_tokenizer(), most_tokens=20, texts_per_batch=2)
    (batch,) = tokens(["a dog"] * 5).batches([0] * 5, CPU)
    assert len(batch.ids) == 1
    assert [len(pairs.places) for pairs in batch.pairs] == [2, 2, 1]


def test_a_text_of_just_the_length_is_whole_and_a_longer_one_is_cut_before_its_end() -> None:
    tokenizer = bert_tokenizer()
    tokenized = TextTokens(tokenizer, most_tokens=6)(["dog " * 4, "dog " * 5, "dog"])
    assert tokenized.truncated.tolist() == [False, True, False]
    assert [len(ids) for ids in tokenized.ids] == [6, 6, 3]
    assert tokenized.ids[0] == tokenized.ids[1]
    assert tokenized.ids[1][-1] == tokenizer.sep_token_id


@pytest.mark.parametrize(
    "make", [bert_tokenizer, clip_tokenizer, roberta_tokenizer, xlm_roberta_tokenizer]
)
@pytest.mark.parametrize(
    "text",
    [
        *("two birds in the snow " * 300, "dog" * 2000, "dog " + "a" * 5000, "a dog" + " " * 5000),
        *(" " * 5000 + "a dog", "a" * 191 + " dog" * 500, "dog\n" * 1000),
    ],
    ids=["essay", "one word", "long word", "spaces behind", "spaces ahead", "edge", "lines"],
)
def test_an_essay_is_cut_as_its_tokenizer_cuts_it(make: Callable[[], Any], text: str) -> None:
    tokenizer = make()
    tokenized = TextTokens(tokenizer, most_tokens=6)([text])
    wanted = tokenizer(text, truncation=True, max_length=6)["input_ids"]
    assert tokenized.ids == [wanted]
    whole = tokenizer(text, verbose=False)["input_ids"]
    assert tokenized.truncated.tolist() == [len(whole) > 6]


def test_a_tokenizer_that_cuts_the_beginning_reads_the_end() -> None:
    tokenizer = bert_tokenizer()
    tokenizer.truncation_side = "left"
    text = "two birds in the snow " * 300 + "red dog"
    wanted = tokenizer("snow red dog")["input_ids"]
    assert TextTokens(tokenizer, most_tokens=5)([text]).ids == [wanted]


def test_a_megabyte_of_words_is_not_read_to_its_end() -> None:
    class Counting(TextTokens):
        read = 0

        def _ids(self, texts: list[str], *, truncation: bool) -> list[list[int]]:
            self.read += sum(map(len, texts))
            return super()._ids(texts, truncation=truncation)

    tokens = Counting(bert_tokenizer(), most_tokens=6)
    assert tokens(["two birds in the snow " * 50_000]).truncated.tolist() == [True]
    assert tokens.read < 1000


def test_flags_follow_repeated_texts() -> None:
    texts = ["dog " * 9, "dog", "dog " * 9]
    assert TextTokens(bert_tokenizer(), most_tokens=6)(texts).truncated.tolist() == [
        *(True, False, True)
    ]


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_on_the_tokenizers_side(side: str) -> None:
    tokenizer = bert_tokenizer()
    tokenizer.padding_side = side
    ids, mask = TextTokens(tokenizer, most_tokens=9).pad([[7], [7, 8, 9]])
    assert mask.tolist() == [[0, 0, 1] if side == "left" else [1, 0, 0], [1, 1, 1]]
    assert ids[0, mask[0] == 0].tolist() == [tokenizer.pad_token_id] * 2


def test_padding_to_the_most_where_a_model_reads_it() -> None:
    ids, _ = TextTokens(bert_tokenizer(), most_tokens=9, pad_to_most=True).pad([[7], [7, 8]])
    assert ids.shape == (2, 9)


def test_lower_case_for_models_trained_so() -> None:
    tokenizer = clip_tokenizer()
    tokenizer._tokenizer.normalizer = None
    upper, lower = (TextTokens(tokenizer, most_tokens=9, lower_case=low) for low in (False, True))
    assert upper(["Dog"]).ids != upper(["dog"]).ids
    assert lower(["Dog"]).ids == lower(["dog"]).ids == upper(["dog"]).ids


def test_no_texts_at_all() -> None:
    tokenized = TextTokens(bert_tokenizer(), most_tokens=9)([])
    assert list(tokenized.batches([], CPU)) == []
    assert (tokenized.truncated.dtype, len(tokenized.truncated)) == (np.bool_, 0)


def test_a_tokenizer_that_cannot_pad_is_refused() -> None:
    tokenizer = bert_tokenizer()
    tokenizer.pad_token = None
    with pytest.raises(ModelError, match="names no pad token"):
        TextTokens(tokenizer, most_tokens=9)
