from __future__ import annotations

import numpy as np
import pytest

from curate.evaluate.intervals import (
    Floats,
    difference_interval,
    intervals,
    mean_interval,
    weighted_mean,
)


def test_a_share_and_its_interval_against_the_binomial() -> None:
    rng = np.random.default_rng(1)
    hits = rng.random((1, 2000)) < 0.3
    found = mean_interval(hits, np.arange(2000))
    spread = 1.96 * np.sqrt(0.3 * 0.7 / 2000)
    assert found.value == pytest.approx(hits.mean())
    assert found.high - found.low == pytest.approx(2 * spread, rel=0.1)


def test_texts_of_a_picture_stay_together() -> None:
    """Five equal texts a picture tell no more than one."""
    rng = np.random.default_rng(2)
    images = rng.random((1, 400)) < 0.5
    texts, owners = np.repeat(images, 5, axis=1), np.repeat(np.arange(400), 5)
    one, five = mean_interval(images, np.arange(400)), mean_interval(texts, owners)
    assert five.high - five.low == pytest.approx(one.high - one.low, rel=0.15)


def test_differences_are_paired() -> None:
    """Where one model finds what the other finds and a little more, the pictures' luck is out."""
    rng = np.random.default_rng(3)
    worse = rng.random((3, 1000)) < 0.4
    better = worse | (rng.random((3, 1000)) < 0.03)
    found = difference_interval(better, worse, np.arange(1000))
    assert found.excludes_zero
    assert found.high - found.low < 0.03
    swapped = difference_interval(worse, better, np.arange(1000))
    assert swapped.value == -found.value
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low), abs=0.003)


def test_no_difference_is_within_zero() -> None:
    rng = np.random.default_rng(4)
    left, right = (rng.random((3, 500)) < 0.4 for _ in range(2))
    assert not difference_interval(left, right, np.arange(500)).excludes_zero


def test_seeds_that_disagree_widen_the_interval() -> None:
    hits = np.zeros((3, 300), bool)
    hits[0, :200] = hits[1, :100] = True
    agreed = np.tile(np.arange(300) % 3 == 0, (3, 1))
    wide, narrow = (mean_interval(h, np.arange(300)) for h in (hits, agreed))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_other_items_do_not_compare() -> None:
    with pytest.raises(ValueError, match="do not compare"):
        difference_interval(np.ones((2, 5), bool), np.ones((3, 5), bool), np.arange(5))


def test_figures_of_drawn_sets_give_the_interval_of_the_share() -> None:
    rng = np.random.default_rng(5)
    owners = np.sort(rng.integers(0, 200, 700))
    hits = rng.random(700) < 0.3

    def figures(weights: Floats) -> dict[str, Floats]:
        return {"share": weighted_mean(hits.astype(float), owners, weights)}

    found = intervals(figures, 200, resamplings=2000)["share"]
    wanted = mean_interval(hits[None], owners)
    assert found.value == pytest.approx(wanted.value)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.003)
    assert intervals(figures, 200, resamplings=50) == intervals(figures, 200, resamplings=50)
    other = intervals(figures, 200, resamplings=50, seed=1)["share"]
    assert other != intervals(figures, 200, resamplings=50)["share"]


def test_every_drawn_set_is_as_large_as_the_whole() -> None:
    def figures(weights: Floats) -> dict[str, Floats]:
        assert (weights == weights.round()).all()
        return {"size": weights.sum(1), "first": weights[:, 0]}

    found = intervals(figures, 40, resamplings=300)
    assert (found["size"].value, found["size"].low, found["size"].high) == (40, 40, 40)
    assert found["first"].value == 1
    assert found["first"].low == 0
    assert found["first"].high >= 2


def test_sets_that_do_not_have_a_figure_are_left_out() -> None:
    """Of two pictures, one in four sets has the second alone, and nothing of the first."""

    def figures(weights: Floats) -> dict[str, Floats]:
        return {"first": weighted_mean(np.array([3.0]), np.array([0]), weights)}

    found = intervals(figures, 2, resamplings=100)["first"]
    assert (found.value, found.low, found.high) == (3, 3, 3)
