from __future__ import annotations

import pytest

from curate.evaluate.captioning import caption_scores, words

REFERENCES = [
    ["A brown dog runs over the green grass.", "a dog running on grass"],
    ["Two children play football in the street.", "kids playing in a street"],
    ["A man in a red boat on the lake.", "the red boat carries a man"],
]


def test_words_are_lower_case_and_without_punctuation() -> None:
    assert words("Two dogs' bowls; it's 3-D, déjà vu_!") == [
        *("two", "dogs", "bowls", "it's", "3", "d", "déjà", "vu"),
    ]


def test_the_references_themselves_score_highest() -> None:
    own = [texts[0] for texts in REFERENCES]
    cider, bleu4 = caption_scores(own, REFERENCES)
    assert bleu4 == pytest.approx(1.0, abs=1e-6)
    for captions in (own[1:] + own[:1], ["a picture"] * 3, ["a dog", "a street", "a boat"]):
        worse_cider, worse_bleu4 = caption_scores(captions, REFERENCES)
        assert worse_cider < cider
        assert worse_bleu4 < bleu4


def test_case_and_punctuation_change_nothing() -> None:
    plain = caption_scores(["a dog on grass", "kids in a street", "red boat"], REFERENCES)
    loud = caption_scores(["A DOG, on grass!", "Kids in a street.", "Red boat"], REFERENCES)
    assert loud == plain
