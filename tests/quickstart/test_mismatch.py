from pathlib import Path
from random import Random

import pytest

from curate.quickstart.mismatch import content_words, may_fit, mismatched_texts
from curate.quickstart.pictures import Picture, shipped_pictures


def picture(source: str, text: str) -> Picture:
    return Picture(Path(source).name, text, source, "photograph", Path(source))


def test_content_words_leave_out_filler_and_plurals() -> None:
    assert content_words("A pair of Red FLOWERS, and 2 on the cup.") == {"red", "flower", "cup"}
    assert content_words("A gas.") == {"gas"}


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        (("space/moon.png", "The red moon."), ("town/flag.png", "Red flags."), True),
        (("plants/eggplant.png", "An eggplant."), ("food/vegetables/x.png", "A yam."), True),
        (("animals/birds/owl.png", "An owl."), ("animals/birds/lark.png", "A lark."), True),
        (("animals/birds/owl.png", "An owl."), ("animals/fish/ray.png", "A ray."), False),
        (("town/houses/inn.png", "An inn."), ("town/flags/f.png", "A flag."), True),
        (("space/moon.png", "The moon."), ("food/pizza.png", "A pizza."), False),
    ],
)
def test_may_fit_by_words_and_theme_both_ways(
    one: tuple[str, str], other: tuple[str, str], fits: bool
) -> None:
    assert may_fit(picture(*one), picture(*other)) is fits
    assert may_fit(picture(*other), picture(*one)) is fits


def test_every_picture_gets_a_text_that_cannot_fit_and_no_text_twice() -> None:
    pictures = shipped_pictures()
    donors = mismatched_texts(pictures[:80], pictures, Random(3))
    assert len({donor.file for donor in donors}) == 80
    for shown, donor in zip(pictures[:80], donors, strict=True):
        assert not may_fit(donor, shown)
        assert not content_words(donor.text) & content_words(shown.text)


def test_running_out_of_donors_says_so() -> None:
    owl = picture("animals/birds/owl.png", "An owl.")
    lark = picture("animals/birds/lark.png", "A lark.")
    with pytest.raises(ValueError, match=r"does not fit owl\.png: give more donors"):
        mismatched_texts([owl], [owl, lark], Random(0))
