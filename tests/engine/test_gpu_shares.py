from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.errors import EngineError
from curate.engine.gpu_shares import gpus_hold
from curate.engine.pools import Cluster, claims
from tests.engine.test_pools import Need, legs_of


@pytest.mark.parametrize(
    ("gpus", "workers", "held"),
    [
        (1, [(0.5, 1), (0.5, 1)], True),
        (1, [(1.0, 1), (1.0, 1)], False),
        (1, [(0.5, 2), (0.1, 1)], False),
        (1, [(0.1, 10)], True),  # tenths add up to more than 1 in floating point
        (1, [(1 / 3, 3)], True),
        (2, [(0.6, 2)], True),
        (2, [(0.6, 3)], False),
        (2, [(0.3, 1), (0.7, 1), (1.0, 1)], True),
        (2, [(0.3, 2), (0.7, 2)], False),  # both small ones are on the first GPU
        (2, [(0.7, 2), (0.3, 2)], True),
        (2, [(2.0, 1)], True),
        (2, [(2.0, 1), (0.1, 1)], False),
        (3, [(0.1, 1), (2.0, 1), (0.9, 1)], True),
        (0, [(0.0, 5)], True),
        (0, [(0.1, 1)], False),
        (1000, [(0.25, 4000)], True),
        (1000, [(0.25, 4001)], False),
    ],
)
def test_what_goes_into_gpus(gpus: float, workers: list[tuple[float, int]], held: bool) -> None:
    assert gpus_hold(gpus, workers) is held


def _one_by_one(gpus: int, workers: list[tuple[float, int]]) -> bool:
    """Place every worker by itself, in thousandths, on the fullest GPU with room."""
    left = [1000] * gpus
    for share, count in workers:
        for _ in range(count):
            room = [index for index, free in enumerate(left) if free >= round(share * 1000)]
            if not room:
                return False
            left[min(room, key=left.__getitem__)] -= round(share * 1000)
    return True


shares = st.sampled_from([0.1, 0.125, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5), st.lists(st.tuples(shares, st.integers(0, 6)), max_size=4))
def test_many_at_once_are_placed_as_one_by_one(gpus: int, workers: list[tuple[float, int]]) -> None:
    assert gpus_hold(gpus, workers) is _one_by_one(gpus, workers)


def test_shares_that_lie_across_two_gpus_are_refused_with_the_stages_named() -> None:
    legs = legs_of([Need(1.0, 0.6), Need(1.0, 0.6), Need(1.0, 0.6)])
    with pytest.raises(
        EngineError,
        match=r"want 1\.8 GPUs together \(source\+s0 0\.6, s1 0\.6, s2 0\.6\).* has 2: "
        "a share lies on one GPU, and these do not go into 2",
    ):
        claims(legs, Cluster(8, 2), {})
    assert [claim.workers for claim in claims(legs, Cluster(8, 3), {})] == [1, 1, 1]


def test_pools_grow_only_as_far_as_shares_go_into_gpus() -> None:
    (claim,) = claims(legs_of([Need(1.0, 0.6)]), Cluster(100, 3), {})
    assert claim.workers == 3
    (claim,) = claims(legs_of([Need(1.0, 0.1)]), Cluster(100, 3), {})
    assert claim.workers == 30
