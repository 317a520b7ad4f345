from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.evaluate.matching import roc_auc, shuffled_pairs

scores = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0]), min_size=1, max_size=20)


@given(scores, scores)
def test_auc_equals_counting_every_pair(positive: list[float], negative: list[float]) -> None:
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    expected = wins / (len(positive) * len(negative))
    found = roc_auc(np.array(positive), np.array(negative))
    assert found == pytest.approx(expected, abs=1e-12)
    assert roc_auc(np.array(negative), np.array(positive)) == pytest.approx(1 - expected, abs=1e-12)
    assert roc_auc(np.exp(positive), np.exp(negative)) == pytest.approx(expected, abs=1e-12)


def test_auc_of_the_extremes() -> None:
    low, high = np.array([0.1, 0.2]), np.array([0.7, 0.9, 0.8])
    assert roc_auc(high, low) == 1.0
    assert roc_auc(low, high) == 0.0
    assert roc_auc(low, low) == 0.5


def test_auc_needs_both_sides_and_numbers() -> None:
    with pytest.raises(ValueError, match="0 positive and 1 negative"):
        roc_auc(np.array([]), np.array([1.0]))
    with pytest.raises(ValueError, match="not a number"):
        roc_auc(np.array([np.nan]), np.array([1.0]))


def test_shuffled_texts_never_meet_their_own_image() -> None:
    owners = np.repeat(np.arange(30), 4)
    for seed in range(20):
        chosen, foreign = shuffled_pairs(owners, seed=seed)
        assert (owners[chosen] == np.arange(30)).all()
        assert (foreign != np.arange(30)).all()
        assert sorted(foreign) == list(range(30))
    again = shuffled_pairs(owners, seed=3)
    assert all(
        np.array_equal(a, b) for a, b in zip(again, shuffled_pairs(owners, seed=3), strict=True)
    )
    other = shuffled_pairs(owners, seed=4)
    assert not np.array_equal(again[0], other[0])
    assert not np.array_equal(again[1], other[1])
