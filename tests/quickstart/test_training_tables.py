"""What may train curate-tiny: nothing like a shipped picture, and titles that say something."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import build_tiny_training_tables as tables

from tests.quickstart.test_split import drawing, stamp


@pytest.fixture(scope="module")
def shipped() -> tables.Shipped:
    return tables.Shipped(
        [
            stamp("animals/one.png", "A ladybug.", drawing(1), "drawing"),
            stamp("food/two.png", "Some red grapes.", drawing(2), "photograph"),
        ]
    )


@pytest.mark.parametrize(
    "variant",
    [
        lambda rgb: rgb,
        lambda rgb: rgb.resize((70, 60)),
        lambda rgb: tables.cut(ImageOps.expand(rgb, (30, 5, 0, 50), "white")),
        ImageOps.mirror,
        lambda rgb: ImageEnhance.Color(rgb).enhance(0.6),
    ],
)
def test_the_same_picture_in_other_clothes_is_kept_out(
    shipped: tables.Shipped, variant: Callable[[Image.Image], Image.Image]
) -> None:
    assert shipped.has(variant(tables.cut(drawing(1))), "something else")
    assert shipped.has(variant(tables.cut(drawing(2))), "something else")


def test_a_word_in_common_with_a_shipped_drawing_is_enough(shipped: tables.Shipped) -> None:
    other = drawing(3)
    assert shipped.has(other, "two ladybugs")
    assert not shipped.has(other, "grapes")
    assert not shipped.has(other, "the dragonfly")


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"Title": "Red_Apple 01"}, "red apple"),
        ({"Title": "apple by ganson", "Author": "Ganson"}, "apple by"),
        ({"Title": "Bacon (B and W)"}, "bacon"),
        ({"Title": "SVG Road Signs"}, None),
        ({"Title": "mela rossa"}, None),
        ({"Title": "pomme à cidre"}, None),
        ({"Title": "12"}, None),
        ({}, None),
    ],
)
def test_titles_that_are_captions(info: dict[str, str], expected: str | None) -> None:
    known = Counter(["red", "apple", "by", "bacon", "road", "signs", "svg"] * 5)
    assert tables.title(info, known) == expected


def test_words_are_counted_once_a_text_over_all_text_columns(tmp_path: Path) -> None:
    columns = {"TEXT": ["red red", None], "captions": [["red dog"], []], "size": [1, 2]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert tables.known_words([tmp_path / "t.parquet"]) == {"red": 2, "dog": 1}


def test_a_thumbnail_has_mean_zero_and_length_one() -> None:
    vector = tables.thumbnail(drawing(5))
    assert vector.shape == (24 * 24 * 3,)
    assert vector.mean() == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert not tables.thumbnail(Image.new("RGB", (9, 9))).any()
