from __future__ import annotations

import pytest

from curate.stages.degeneration import degeneration, repeated_share

GOOD = [
    "a black and white photo of a black and white cat",
    "a man and a woman and a child and a dog",
    "a red bus next to a red bus",
    "bora bora",
    "new york new york",
    "the big big dog",
    "a very very very big dog",
    "a dog",
    "dog",
    "a banana and a papaya on a table",
    "two men in a boat and two women in a boat",
    "a person riding a wave on top of a surfboard in the ocean",
    "a close up of a bowl of food on a table with a bowl of soup",
    "a tall building with a clock on the side of the building",
    "a sign that says stop and a sign that says go",
    "the number 1000000 on a sheet of paper",
    "choo choo train",
    "a man, a woman, a boy and a girl sit in a row on a bench in a park in the city",
    "une photo en noir et blanc d'un chat noir et blanc",
    "一只黑白猫的黑白照片",
    "ein schwarz-weißes Foto einer schwarz-weißen Katze",
]
LOOPS = [
    "dai dai dai",
    "a a a a",
    "the the the the the",
    "a bird bird bird bird sitting",
    "a cat and a cat and a cat and a cat",
    "a dog with a dog with a dog with a",
    "a man riding a wave, a man riding a wave",
    "A Dog. a dog. A DOG",
    "a photo of a cat on a bed on a bed on a bed on a bed on a bed on a bed on a bed on a bed",
    "dog cat dog dog cat cat dog dog cat",
    "hahahahaha",
    "aaaaaaaaaaaaaa",
    "狗狗狗狗狗狗",
    "很好很好很好很好",
    "la la-la la! la",
]


@pytest.mark.parametrize("text", GOOD)
def test_captions_that_repeat_words_for_a_reason_pass(text: str) -> None:
    assert degeneration(text) is None


@pytest.mark.parametrize("text", LOOPS)
def test_loops_are_found(text: str) -> None:
    assert degeneration(text) == "repetitive_caption"


@pytest.mark.parametrize("text", ["", "  ", "...", "!!!", "_ _", "\n", "🐶🐶", "--"])
def test_a_text_without_a_word_is_empty(text: str) -> None:
    assert degeneration(text) == "empty_caption"


@pytest.mark.parametrize(
    ("words", "share"),
    [
        ("", 0.0),
        ("a", 0.0),
        ("a a", 0.0),  # two copies of a word may be a name
        ("a a a", 2 / 3),
        ("x a a a", 2 / 4),
        ("a b a b", 0.0),
        ("a b a b a b", 4 / 6),
        ("a b c a b c", 3 / 6),
        ("a b c d e f a b x", 0.0),
        ("x y a b c a b c a b", 5 / 10),
    ],
)
def test_the_share_is_what_is_said_again(words: str, share: float) -> None:
    assert repeated_share(words.split(), longest=40) == pytest.approx(share)


def test_a_long_text_that_ends_in_a_loop_is_found_once_the_loop_dominates() -> None:
    start = "a wide street in an old town with many small houses and some trees along it "
    assert degeneration(start + "the sky is blue " * 3) is None
    assert degeneration(start + "the sky is blue " * 12) == "repetitive_caption"
