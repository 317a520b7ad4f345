from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from curate.evaluate.caption_scores import CaptionScores, caption_scores
from curate.evaluate.caption_words import words

REFERENCES = [
    ["A brown dog runs over the green grass.", "a dog running on grass"],
    ["Two children play football in the street.", "kids playing in a street"],
    ["A man in a red boat on the lake.", "the red boat carries a man"],
]
CAPTIONS = ["a brown dog runs over the lake", "two kids in the street", "a man in a red boat"]


def scored(captions: list[str], references: list[list[str]] = REFERENCES) -> CaptionScores:
    return caption_scores(
        [words(one) for one in captions], [[words(one) for one in some] for some in references]
    )


def whole(scores: CaptionScores) -> dict[str, float]:
    found = scores.of_sets(np.ones((1, len(scores.cider))))
    return {name: float(one[0]) for name, one in found.items()}


def official(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    wrote = {n: [" ".join(words(one))] for n, one in enumerate(captions)}
    wanted = {n: [" ".join(words(one)) for one in some] for n, some in enumerate(references)}
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(wanted, wrote)
        cider, _ = Cider().compute_score(wanted, wrote)
    return {"cider": float(cider), "bleu4": float(bleu[3])}


def test_words_are_lower_case_and_without_punctuation() -> None:
    assert words("Two dogs' bowls; it's 3-D, déjà vu_!") == [
        *("two", "dogs", "bowls", "it's", "3", "d", "déjà", "vu"),
    ]


@pytest.mark.parametrize("captions", [CAPTIONS, ["a"] * 3, ["", "two", "a man in a red boat on"]])
def test_the_figures_are_those_of_pycocoevalcap(captions: list[str]) -> None:
    assert whole(scored(captions)) == pytest.approx(official(captions, REFERENCES), abs=1e-12)


def test_a_drawn_set_has_the_bleu_of_its_repeated_captions() -> None:
    """CIDEr has not: its word weights are those of the whole set."""
    weights = np.array([[2, 0, 1], [0, 1, 2], [3, 0, 0]])
    scores = scored(CAPTIONS)
    found = scores.of_sets(weights.astype(float))
    for row, bleu4, cider in zip(weights, found["bleu4"], found["cider"], strict=True):
        places = np.repeat(np.arange(3), row)
        drawn = official([CAPTIONS[i] for i in places], [REFERENCES[i] for i in places])
        assert bleu4 == pytest.approx(drawn["bleu4"], abs=1e-12)
        assert cider == pytest.approx(scores.cider[places].mean())


def test_the_references_themselves_score_highest() -> None:
    own = [texts[0] for texts in REFERENCES]
    best = whole(scored(own))
    assert best["bleu4"] == pytest.approx(1.0, abs=1e-6)
    for captions in (own[1:] + own[:1], ["a picture"] * 3, ["a dog", "a street", "a boat"]):
        worse = whole(scored(captions))
        assert worse["cider"] < best["cider"]
        assert worse["bleu4"] < best["bleu4"]


def test_case_and_punctuation_change_nothing() -> None:
    plain = whole(scored(["a dog on grass", "kids in a street", "red boat"]))
    loud = whole(scored(["A DOG, on grass!", "Kids in a street.", "Red boat"]))
    assert loud == plain
