"""How a cluster is shared: laws that hold for any legs and any cluster."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.errors import EngineError
from curate.core.fakes import FakeMapConfig, FakeSourceConfig, fake_plan
from curate.core.plan import LegPlan
from curate.core.resources import Resources
from curate.engine.pools import Cluster, claims


class _NeedConfig(FakeMapConfig):
    """A stage that declares what it is told to."""

    num_gpus: float = 0.0
    gpu_optional: bool = False
    memory_gib: float = 0.0

    @property
    def resources(self) -> Resources:
        return Resources(
            self.num_cpus, self.num_gpus, self.gpu_optional, self.memory_gib, key=self.writes_as
        )


@dataclass(frozen=True)
class Need:
    cpus: float
    gpus: float = 0.0
    optional: bool = False
    memory_gib: float = 0.0


def legs_of(needs: list[Need]) -> tuple[LegPlan, ...]:
    """Compile a pass whose legs need so much each."""
    stages = [
        _NeedConfig(
            writes_as=f"s{index}",
            num_cpus=need.cpus,
            num_gpus=need.gpus,
            gpu_optional=need.optional,
            memory_gib=need.memory_gib,
        )
        for index, need in enumerate(needs)
    ]
    return fake_plan(FakeSourceConfig(), *stages).passes[0].legs


needs = st.lists(
    st.builds(
        Need,
        cpus=st.sampled_from([0.5, 1.0, 2.0, 7.0]),
        gpus=st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 2.0]),
        optional=st.booleans(),
        memory_gib=st.sampled_from([0.0, 1.0]),
    ),
    min_size=1,
    max_size=4,
)
clusters = st.builds(
    Cluster,
    cpus=st.integers(1, 200).map(float),
    gpus=st.sampled_from([0.0, 1.0, 2.0, 8.0]),
)
wishes = st.dictionaries(st.sampled_from(["s0", "s1", "s2", "s3"]), st.integers(1, 300), max_size=2)


@settings(max_examples=300, deadline=None)
@given(needs, clusters, wishes)
def test_what_is_claimed_is_there(
    needs: list[Need], cluster: Cluster, wanted: dict[str, int]
) -> None:
    legs = legs_of(needs)
    try:
        shares = claims(legs, cluster, wanted)
    except EngineError:
        least = sum(
            need.gpus * wanted.get(f"s{i}", 1)
            for i, need in enumerate(needs)
            if not (need.optional and cluster.gpus == 0)
        )
        assert least > cluster.gpus  # it is refused for no other reason
        return
    assert len(shares) == len(legs)
    assert sum(share.workers * share.num_cpus for share in shares) <= cluster.cpus
    assert sum(share.workers * share.num_gpus for share in shares) <= cluster.gpus
    for index, (leg, share) in enumerate(zip(legs, shares, strict=True)):
        assert share.workers == wanted.get(f"s{index}", share.workers) >= 1
        assert 0 < share.num_cpus <= leg.resources.num_cpus
        assert share.num_gpus == (leg.resources.num_gpus if cluster.gpus else 0)
        assert share.memory_bytes == leg.resources.memory_gib * 2**30


@settings(max_examples=200, deadline=None)
@given(needs, clusters, st.integers(0, 100))
def test_a_larger_cluster_is_used(needs: list[Need], cluster: Cluster, more: int) -> None:
    """What is left over of a cluster is too little for one worker more, of any leg."""
    legs = legs_of([Need(need.cpus) for need in needs])
    larger = Cluster(cluster.cpus + more, cluster.gpus)
    shares = claims(legs, larger, {})
    used = sum(share.workers * need.cpus for share, need in zip(shares, needs, strict=True))
    assert used > larger.cpus - min(need.cpus for need in needs)
    assert used >= sum(
        share.workers * need.cpus
        for share, need in zip(claims(legs, cluster, {}), needs, strict=True)
    ) - max(need.cpus for need in needs)


def test_equal_legs_get_equal_shares() -> None:
    shares = claims(legs_of([Need(1.0)] * 3), Cluster(10, 0), {})
    assert [share.workers for share in shares] == [4, 3, 3]


def test_a_small_machine_holds_a_worker_of_each_leg() -> None:
    shares = claims(legs_of([Need(1.0)] * 4), Cluster(2, 0), {})
    assert [(share.workers, share.num_cpus) for share in shares] == [(1, 0.495)] * 4


def test_half_a_gpu_each() -> None:
    halves = claims(legs_of([Need(1.0, 0.5)] * 2), Cluster(8, 1), {})
    assert [(share.workers, share.num_gpus) for share in halves] == [(1, 0.5)] * 2
    with pytest.raises(
        EngineError, match=r"want 2 GPUs together \(source\+s0 1, s1 1\).*cluster has 1"
    ):
        claims(legs_of([Need(1.0, 1.0)] * 2), Cluster(8, 1), {})


def test_a_bare_head_waits_for_nodes_with_the_claims_declared() -> None:
    (share,) = claims(legs_of([Need(4.0)]), Cluster(0, 0), {})
    assert (share.workers, share.num_cpus) == (1, 4.0)
