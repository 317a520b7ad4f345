from __future__ import annotations

import numpy as np
import pytest

from curate.inspection.calibration import (
    Calibration,
    from_canaries,
    from_labels,
    short_threshold,
)


def _scores(rng: np.random.Generator, mean: float, count: int) -> np.ndarray:
    """Scores in [0, 1] of a kind: the logistic of a normal variable."""
    return 1 / (1 + np.exp(-rng.normal(mean, 1, count)))


def _web(noise: float, *, count: int = 20_000, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return scores of right and wrong web texts and of canaries that score like the wrong ones."""
    rng = np.random.default_rng(seed)
    wrong = round(count * noise)
    return (
        _scores(rng, 2.5, count - wrong),
        _scores(rng, -1.5, wrong),
        _scores(rng, -1.5, count // 20),
    )


def _true(threshold: float, right: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    kept, passed = (right >= threshold).sum(), (wrong >= threshold).sum()
    return kept / (kept + passed), kept / len(right)


@pytest.mark.parametrize("noise", [0.1, 0.4, 0.7])
def test_canaries_find_the_noise_and_the_precision_that_are_there(noise: float) -> None:
    right, wrong, canaries = _web(noise)
    found = from_canaries(np.concatenate([right, wrong]), canaries, "precision", 0.97)
    assert found.noise.low <= noise <= found.noise.high
    assert found.noise.value == pytest.approx(noise, abs=0.03)
    assert found.chosen is not None
    precision, recall = _true(found.chosen.threshold, right, wrong)
    assert precision == pytest.approx(0.97, abs=0.01)
    assert found.chosen.recall.value == pytest.approx(recall, abs=0.05)
    assert found.chosen.recall.low - 0.01 <= recall <= found.chosen.recall.high + 0.01
    assert found.reached > 0.9


def test_a_wanted_recall_gives_the_strictest_threshold_that_has_it() -> None:
    right, wrong, canaries = _web(0.3)
    found = from_canaries(np.concatenate([right, wrong]), canaries, "recall", 0.9)
    assert found.chosen is not None
    assert found.threshold is not None
    assert _true(found.chosen.threshold, right, wrong)[1] == pytest.approx(0.9, abs=0.02)
    assert found.threshold.low <= found.chosen.threshold <= found.threshold.high


def test_right_texts_that_score_low_are_taken_for_noise_and_never_the_other_way() -> None:
    rng = np.random.default_rng(1)
    right, wrong = _scores(rng, 0.0, 8000), _scores(rng, -1.5, 2000)
    found = from_canaries(np.concatenate([right, wrong]), _scores(rng, -1.5, 2000))
    assert found.noise.value > 0.2
    for point in found.points:
        precision, _ = _true(point.threshold, right, wrong)
        assert point.precision.value <= precision + 0.02


def test_texts_that_are_all_wrong_are_seen_to_be() -> None:
    rng = np.random.default_rng(2)
    found = from_canaries(_scores(rng, -1.5, 5000), _scores(rng, -1.5, 2000), "precision", 0.9)
    assert found.noise.value > 0.95
    assert found.points[2].precision.value < 0.2


def test_scores_that_are_all_the_same_promise_nothing() -> None:
    found = from_canaries(np.ones(50), np.ones(20), "precision", 0.5)
    assert (found.noise.value, found.chosen, found.best) == (1.0, None, 0.0)
    recall = from_canaries(np.ones(50), np.ones(20), "recall", 0.5)
    assert recall.chosen is None
    assert np.isnan(recall.best)


def test_that_no_canary_passes_is_no_proof_that_none_would() -> None:
    texts = np.linspace(0, 1, 200)
    few = from_canaries(texts, np.linspace(0, 0.4, 40), "precision", 0.95)
    many = from_canaries(texts, np.linspace(0, 0.4, 4000), "precision", 0.95)
    above = [p for p in many.points if p.threshold > 0.39]
    assert few.points[-1].let_through.value == pytest.approx(2 / 41)
    assert few.points[-1].let_through.high > 3 / 41
    assert above[-1].let_through.high < 0.02
    assert few.best < many.best
    wrong = from_labels(np.linspace(0.5, 1, 50), np.linspace(0, 0.4, 50), "precision", 0.99)
    assert wrong.chosen is not None
    assert wrong.chosen.precision.value == 1.0
    assert 0.9 < wrong.chosen.precision.low < 0.97


def test_labels_are_counted() -> None:
    right, wrong = np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.75, 0.1, 0.1])
    found = from_labels(right, wrong, "precision", 0.8)
    assert (found.num_texts, found.num_wrong, found.noise.value) == (7, 3, 3 / 7)
    assert found.chosen is not None
    assert found.chosen.threshold == 0.2, "the loosest threshold of precision 4/5"
    assert found.chosen.precision.value == 4 / 5
    assert found.chosen.recall.value == 1
    assert found.chosen.let_through.value == pytest.approx(1 / 3)
    assert found.chosen.accepted.value == pytest.approx(5 / 7)
    strict = from_labels(right, wrong, "precision", 1.0)
    assert strict.chosen is not None
    assert 0.75 < strict.chosen.threshold <= 0.8
    every = from_labels(right, wrong, "recall", 1.0)
    assert every.chosen is not None
    assert 0.1 < every.chosen.threshold <= 0.2


def test_what_no_threshold_reaches_is_said() -> None:
    found = from_labels(np.array([0.5, 0.6]), np.array([0.7, 0.2]), "precision", 0.9)
    assert found.chosen is None
    assert found.threshold is None
    assert found.best == 2 / 3
    assert 0 < found.reached < 1, "some resamplings lack the high wrong one"


def test_more_pairs_make_a_narrower_interval_around_the_same_threshold() -> None:
    def width(count: int) -> tuple[float, float]:
        right, wrong, _ = _web(0.3, count=count)
        found = from_labels(right, wrong, "precision", 0.97)
        assert found.threshold is not None
        return found.threshold.high - found.threshold.low, found.threshold.value

    (wide, _), (narrow, value) = width(300), width(30_000)
    assert narrow < wide / 4
    assert 0.2 < value < 0.6


def test_the_interval_holds_what_it_promises() -> None:
    """Of 60 samples about 57 intervals should hold the precision that the threshold truly has."""
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = from_labels(_scores(rng, 2.5, 140), _scores(rng, -1.5, 60))
        point = min(found.points, key=lambda point: abs(point.let_through.value - 0.1))
        truth = _true(point.threshold, _scores(rng, 2.5, 70_000), _scores(rng, -1.5, 30_000))[0]
        held += point.precision.low <= truth <= point.precision.high
    assert held >= 48


def test_the_same_scores_give_the_same_answer() -> None:
    right, wrong, canaries = _web(0.3, count=1000)

    def once() -> Calibration:
        return from_canaries(np.concatenate([right, wrong]), canaries, "precision", 0.95)

    assert once() == once()


@pytest.mark.parametrize(
    ("cuts", "k", "short"),
    [
        ([0.71, 0.7312345123], 1, 0.73),
        ([0.5], 0, 0.5),
        ([0.1, 0.25], 1, 0.2),
        ([0.9999, 0.99995], 1, 0.99995),
        ([-0.31, -0.255], 1, -0.3),
        ([-0.2551, -0.2549], 1, -0.255),
    ],
)
def test_thresholds_are_as_short_as_can_be(cuts: list[float], k: int, short: float) -> None:
    assert short_threshold(np.array(cuts), k) == short


def test_a_short_threshold_parts_the_scores_of_32_bits_as_the_long_one_does() -> None:
    scores = np.random.default_rng(3).random(200).astype(np.float32).astype(np.float64)
    cuts = np.unique(scores)
    for k in range(len(cuts)):
        assert ((scores >= short_threshold(cuts, k)) == (scores >= cuts[k])).all()


def test_nothing_to_calibrate_on_is_an_error() -> None:
    none, some = np.zeros(0), np.ones(3)
    for right, wrong in ((none, some), (some, none)):
        with pytest.raises(ValueError, match="needs"):
            from_labels(right, wrong)
        with pytest.raises(ValueError, match="needs"):
            from_canaries(right, wrong)
