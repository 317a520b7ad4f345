from __future__ import annotations

import numpy as np

from curate.evaluate.evaluators.matching import shuffled_pairs


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
