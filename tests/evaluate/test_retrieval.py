from __future__ import annotations

import numpy as np
import pytest

from curate.evaluate.evaluators.retrieval import retrieval


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_hand_made_case() -> None:
    images = np.eye(3, dtype=np.float32)
    texts = unit(np.array([[1, 0.1, 0], [0.2, 0.1, 1.0], [0, 1, 0.2], [1, 0, 0.5]]))
    found = retrieval(images, texts, np.array([0, 0, 1, 2]), ks=(1, 2, 3))
    # image 0: text 0 is nearest; image 1: text 2; image 2: text 1 (of image 0) is before text 3
    assert found.i2t == {1: pytest.approx(2 / 3), 2: 1.0, 3: 1.0}
    # text 1 is nearest to image 2, then 0; text 3 to image 0, then 2
    assert found.t2i == {1: 0.5, 2: 1.0, 3: 1.0}
    assert (found.num_images, found.num_texts) == (3, 4)


def test_equals_sorting_one_query_at_a_time() -> None:
    random = np.random.default_rng(0)
    owners = np.repeat(np.arange(20), 3)
    images, texts = unit(random.normal(size=(20, 5))), unit(random.normal(size=(60, 5)))
    texts = unit(texts + 0.6 * images[owners])
    found = retrieval(images, texts, owners)
    scores = images @ texts.T
    for k in (1, 5, 10):
        hits = [(owners[np.argsort(-scores[i])[:k]] == i).any() for i in range(20)]
        assert found.i2t[k] == pytest.approx(np.mean(hits))
        hits = [owners[t] in np.argsort(-scores[:, t])[:k] for t in range(60)]
        assert found.t2i[k] == pytest.approx(np.mean(hits))
    assert 0 < found.i2t[1] < found.i2t[10]


def test_one_score_for_everything_finds_nothing() -> None:
    same = np.ones((4, 1), dtype=np.float32)
    found = retrieval(
        same, np.ones((8, 1), dtype=np.float32), np.repeat(np.arange(4), 2), ks=(1, 3)
    )
    assert found.i2t == {1: 0.0, 3: 0.0}
    assert found.t2i == {1: 0.0, 3: 0.0}


def test_a_drawn_set_counts_each_picture_as_often_as_it_was_drawn() -> None:
    random = np.random.default_rng(3)
    owners = np.sort(random.integers(0, 15, 40))
    owners[:15] = np.arange(15)
    owners.sort()
    images, texts = unit(random.normal(size=(15, 4))), unit(random.normal(size=(40, 4)))
    found = retrieval(images, unit(texts + images[owners]), owners)
    weights = random.multinomial(15, np.full(15, 1 / 15), 5).astype(float)
    drawn = found.of_sets(weights)
    assert set(drawn) == {f"{way}@{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)}
    for row, w in enumerate(weights.astype(int)):
        hits = np.repeat(found.ranks.of_images < 1, w)
        assert drawn["i2t@1"][row] == pytest.approx(hits.mean())
        hits = np.repeat(found.ranks.of_texts < 5, w[owners])
        assert drawn["t2i@5"][row] == pytest.approx(hits.mean())
    whole = found.of_sets(np.ones((1, 15)))
    for k in (1, 5, 10):
        assert whole[f"i2t@{k}"] == pytest.approx(found.i2t[k])
        assert whole[f"t2i@{k}"] == pytest.approx(found.t2i[k])
