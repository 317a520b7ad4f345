from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest

from curate.evaluate.evaluators.matching import near_missed
from curate.evaluate.near_misses import GROUPS, near_miss

CAPTIONS = (
    "Two black dogs are running in the snow.",
    "A man on a bicycle.",
    "WOMAN by the pool",
    "the red ball",
)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_one_word_is_another_of_its_group(caption: str) -> None:
    for seed in range(30):
        missed = near_miss(caption, Random(seed))
        assert missed is not None
        was, now = re.split(r"\W+", caption), re.split(r"\W+", missed)
        assert re.split(r"\w+", caption) == re.split(r"\w+", missed)
        changed = [(a, b) for a, b in zip(was, now, strict=True) if a != b]
        assert len(changed) == 1
        before, after = changed[0]
        assert any({before.lower(), after.lower()} <= set(group) for group in GROUPS)
        assert before[:1].isupper() == after[:1].isupper()


def test_without_such_a_word_there_is_none() -> None:
    assert near_miss("Nobody knows.", Random(0)) is None
    assert near_miss("", Random(0)) is None
    # part of a word is no word
    assert near_miss("manhole covers", Random(0)) is None


def test_every_word_is_in_one_group() -> None:
    words = [word for group in GROUPS for word in group]
    assert len(words) == len(set(words))


def test_near_misses_keep_their_numbers_and_hang_on_the_seed() -> None:
    texts = ["A dog.", "Nobody.", "Two cats."]
    numbers, missed = near_missed(texts, seed=3)
    assert np.array_equal(numbers, [0, 2])
    assert len(missed) == 2
    assert missed[0] != texts[0]
    assert near_missed(texts, seed=3)[1] == missed
    assert any(near_missed(texts, seed=seed)[1] != missed for seed in range(10))
    none, empty = near_missed(["Nobody."], seed=0)
    assert len(none) == 0
    assert empty == []
