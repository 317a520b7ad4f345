from __future__ import annotations

import pytest
import torch

from curate.core.errors import ModelError
from curate.pretrain.objectives._swaps import swap_table, swapped

PIECES = ("[PAD]", "[CLS]", "[SEP]", "red", "blue", "green", "dog", "cat", "##s", "a")
VOCABULARY = {piece: number for number, piece in enumerate(PIECES)}
GROUPS = (("red", "blue", "green"), ("dog", "cat"))


def ids(*texts: str) -> torch.Tensor:
    rows = [[VOCABULARY[piece] for piece in f"[CLS] {text} [SEP]".split()] for text in texts]
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def said(ids_BL: torch.Tensor) -> list[str]:
    return [" ".join(PIECES[place] for place in row[1:] if place > 2) for row in ids_BL]


def draws(*texts: str, count: int = 600) -> list[str]:
    table, generator = swap_table(GROUPS, VOCABULARY), torch.Generator().manual_seed(0)
    return said(swapped(ids(*texts * count), table, generator=generator))


def test_every_word_and_every_other_word_is_drawn_alike() -> None:
    found = draws("a red dog")
    shares = {text: found.count(text) / len(found) for text in set(found)}
    assert shares.keys() == {"a blue dog", "a green dog", "a red cat"}
    assert shares["a red cat"] == pytest.approx(0.5, abs=0.08)
    assert shares["a blue dog"] == pytest.approx(0.25, abs=0.07)


def test_words_without_a_group_and_parts_of_longer_words_stay() -> None:
    assert set(draws("a a a", "dog ##s", "a", count=20)) == {"a a a", "dog ##s", "a"}
    assert set(draws("red dog ##s", count=200)) == {"blue dog ##s", "green dog ##s"}


def test_the_texts_given_are_left_as_they_are() -> None:
    given = ids("a red dog", "a")
    before = given.clone()
    near = swapped(given, swap_table(GROUPS, VOCABULARY), generator=torch.Generator())
    assert torch.equal(given, before)
    assert (near != given).sum(1).tolist() == [1, 0]


def test_a_word_that_is_no_piece_is_said() -> None:
    with pytest.raises(ModelError, match="'zebra' is no word of the vocabulary of 10"):
        swap_table((("dog", "zebra"),), VOCABULARY)
