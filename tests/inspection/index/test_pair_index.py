from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from curate.core.columns import embedding
from curate.core.errors import StoreError
from curate.inspection.index import build, pair_index
from curate.inspection.index.pair_index import PairIndex
from tests.core.tables import Row, Text, commit_table
from tests.inspection.index.material import made


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> PairIndex:
    return PairIndex.open(made(tmp_path_factory.mktemp("run")))


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("dog", [0, 1, 2, 5]),  # by stem and without regard to case
        ("red dog", [0, 5]),
        ('"red dog"', [0]),
        ("dog -red", [1, 2]),
        ('dog -"red house"', [0, 1, 2]),
        ("cafe", [4]),  # and accents
        ("the", [5]),  # no word is too common
        ("script", [2]),
        ("dog zebra", []),
        ("***", []),
        ("", []),
        ('"', []),
        ("'; DROP TABLE pairs; --", []),
        ("dog OR 1=1", []),
    ],
)
def test_words(index: PairIndex, words: str, places: list[int]) -> None:
    found, relevance = index.with_words(words)
    assert sorted(found.tolist()) == places
    assert (np.diff(relevance) <= 0).all()


def test_words_that_must_not_occur_alone_are_no_question(index: PairIndex) -> None:
    with pytest.raises(StoreError, match="add a word to look for"):
        index.with_words("-dog")


def test_numbers_know_what_is_missing(index: PairIndex) -> None:
    found = index.numbers("x_itm")
    assert found.known.tolist() == [True, True, True, False, True, True]
    np.testing.assert_allclose(found.values, [0.9, 0.2, 0.4, 0, 0.6, 0.5])
    with pytest.raises(StoreError, match="holds words"):
        index.numbers("url")
    with pytest.raises(StoreError, match="no column 'widht': did you mean 'width'"):
        index.numbers("widht")


def test_columns_of_words_are_read_through(index: PairIndex) -> None:
    found = index.where_words("url", lambda urls: pc.match_substring(urls, "host1"))
    assert found.tolist() == [False, False, True, False, False, True]
    found = index.where_words("reason", lambda reasons: pc.equal(reasons, "too_short"))
    assert found.tolist() == [False, False, False, True, False, False]


def test_a_column_too_large_to_keep_is_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_index, "_WORDS_BYTES", 10)
    index = PairIndex.open(made(tmp_path))
    for _ in range(2):
        found = index.where_words("text", lambda texts: pc.match_substring(texts, "dog"))
        assert found.tolist() == [True, True, True, False, False, True]
        found = index.where_words("text", lambda words: pc.starts_with(words, "a"), lower=True)
        assert found.tolist() == [True, False, False, True, False, False]


def test_the_pairs_of_images(index: PairIndex) -> None:
    places, owner = index.of_images(np.array([2 << 32, 77, 0]))
    assert (places.tolist(), owner.tolist()) == ([3, 4, 0, 1], [0, 0, 2, 2])
    assert index.image_starts.tolist() == [0, 2, 3, 5]


def test_the_nearest_images(index: PairIndex) -> None:
    images, cosines = index.vectors.nearest(np.array([1, 0, 0, 0], np.float32), 2)
    assert images.tolist() == [0, 1]
    np.testing.assert_allclose(cosines, [1, 0.8], atol=2e-3)
    found = index.vectors.of_image(1)
    assert found is not None
    np.testing.assert_allclose(found, [0.8, 0.6, 0, 0], atol=1e-3)
    assert index.vectors.of_image(2 << 32 | 1) is None


def test_no_embeddings_and_how_to_get_them(tmp_path: Path) -> None:
    index = PairIndex.open(commit_table(tmp_path, [[Row([Text()])]]))
    with pytest.raises(StoreError, match="give its scorer 'embed: true'"):
        index.vectors.nearest(np.zeros(4, np.float32), 1)


def test_many_vectors_are_found_by_an_approximate_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_MANY", 500)
    vectors = np.random.default_rng(0).normal(size=(600, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    rows = [Row([Text(f"{n}")], extra={"x_embed": vector}) for n, vector in enumerate(vectors)]
    index = PairIndex.open(commit_table(tmp_path, [rows], extra=[embedding("x_embed", 16)]))
    exact = np.argsort(-(vectors.astype(np.float32) @ vectors[7].astype(np.float32)))[:10]
    images, cosines = index.vectors.nearest(vectors[7].astype(np.float32), 10)
    assert images[0] == 7
    assert len({*images.tolist()} & {*exact.tolist()}) >= 9
    np.testing.assert_allclose(cosines[0], 1, atol=2e-3)
