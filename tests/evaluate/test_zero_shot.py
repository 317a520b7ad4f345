from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from curate.evaluate.evaluators.zero_shot import Config, class_embeds, zero_shot


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def test_a_hand_made_case() -> None:
    classes = np.eye(3, dtype=np.float32)
    images = unit(np.array([[1, 0.5, 0], [0.9, 1, 0], [0.2, 0, 1], [0, 0.1, 1]]))
    found = zero_shot(images, classes, np.array([0, 0, 2, 1]), ks=(1, 2))
    # the second is taken for class 1, the last for class 2
    assert found.top == {1: 0.5, 2: 1.0}
    assert found.per_class == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert (found.num_images, found.num_classes) == (4, 3)


def test_equals_sorting_one_picture_at_a_time() -> None:
    random = np.random.default_rng(0)
    classes, labels = unit(random.normal(size=(12, 6))), random.integers(0, 12, 200)
    images = unit(random.normal(size=(200, 6)) + 1.2 * classes[labels])
    found = zero_shot(images, classes, labels)
    order = np.argsort(-(images @ classes.T), axis=1)
    for k in (1, 5):
        assert found.top[k] == pytest.approx(
            np.mean([label in row[:k] for label, row in zip(labels, order, strict=True)])
        )
    shares = [(order[labels == label, 0] == label).mean() for label in np.unique(labels)]
    assert found.per_class == pytest.approx(np.mean(shares))
    assert 0 < found.top[1] < found.top[5] < 1


def test_one_score_for_everything_finds_nothing() -> None:
    same = np.ones((4, 1), dtype=np.float32)
    found = zero_shot(same, np.ones((6, 1), dtype=np.float32), np.arange(4))
    assert found.top == {1: 0.0, 5: 0.0}
    assert found.per_class == 0


def test_as_many_guesses_as_classes_are_no_figure() -> None:
    images = np.eye(2, dtype=np.float32)
    assert set(zero_shot(images, images, np.arange(2)).top) == {1}


def test_a_drawn_set_counts_each_picture_as_often_as_it_was_drawn() -> None:
    random = np.random.default_rng(1)
    classes, labels = unit(random.normal(size=(3, 4))), random.integers(0, 3, 30)
    found = zero_shot(unit(random.normal(size=(30, 4)) + classes[labels]), classes, labels)
    weights = random.multinomial(30, np.full(30, 1 / 30), 6).astype(float)
    weights[0, labels == 1] = 0  # a set without one of the classes
    drawn = found.of_sets(weights)
    for row, w in enumerate(weights.astype(int)):
        hits, of = np.repeat(found.ranks.of_images < 1, w), np.repeat(labels, w)
        assert drawn["top@1"][row] == pytest.approx(hits.mean())
        shares = [hits[of == label].mean() for label in np.unique(of)]
        assert drawn["per_class"][row] == pytest.approx(np.mean(shares))


def test_prompts_are_averaged_as_unit_vectors() -> None:
    prompts = np.zeros((2, 2, 3), np.float32)
    prompts[0, 0, 0] = prompts[0, 1, 1] = 1
    prompts[1, 0, 2], prompts[1, 1, 2] = 1, -1
    found = class_embeds(prompts)
    np.testing.assert_allclose(found[0], [2**-0.5, 2**-0.5, 0], rtol=1e-6)
    assert (found[1] == 0).all()


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_a_template_has_one_place_for_the_class(template: str) -> None:
    with pytest.raises(ValidationError, match=r"needs one \{\} where the class goes"):
        Config(templates=(template,))
