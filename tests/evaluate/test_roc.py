from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.evaluate.roc import roc_auc, roc_auc_of_sets

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


def test_a_drawn_set_has_the_auc_of_its_repeated_scores() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 9, 12) / 8, rng.integers(0, 7, 20) / 8
    of_positive, of_negative = np.arange(12), rng.integers(0, 12, 20)
    weights = rng.multinomial(12, np.full(12, 1 / 12), 40).astype(float)
    found = roc_auc_of_sets(positive, of_positive, negative, of_negative)(weights)
    for row, auc in zip(weights.astype(int), found, strict=True):
        wanted = roc_auc(
            np.repeat(positive, row[of_positive]), np.repeat(negative, row[of_negative])
        )
        assert auc == pytest.approx(wanted, abs=1e-12)
    assert found.std() > 0.01


def test_a_drawn_set_without_a_side_has_no_auc() -> None:
    scores, every = np.array([0.1, 0.9]), np.arange(2)
    auc = roc_auc_of_sets(scores, every, scores, np.array([1, 1]))
    assert np.isnan(auc(np.array([[2.0, 0.0]]))).all()
