"""A cluster that changes while a pass runs: real nodes that come and go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.core.errors import EngineError
from curate.core.fakes import FakeSourceConfig, fake_plan
from curate.core.plan import LegPlan, Plan
from curate.core.store import Receipt, RunStore
from curate.core.table import CommittedTable
from curate.engine.base import Engine, EngineConfig
from curate.engine.local import LocalEngine
from curate.engine.ray_actors import RayEngine
from curate.passes import PassesResult, PassRunner, Watcher
from tests.engine.clusters import OwnCluster, TracedConfig, nodes_used, own_cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[OwnCluster]:
    with own_cluster(head_cpus=1) as cluster:
        yield cluster


class At(Watcher):
    """Does something in a thread once there were so many commits."""

    def __init__(self, commits: int, act: Callable[[], Any]) -> None:
        self._left = commits
        self.thread = threading.Thread(target=act)

    def committed(self, leg: LegPlan, receipt: Receipt) -> None:
        self._left -= 1
        if self._left == 0:
            self.thread.start()


def run(plan: Plan, root: Path, engine: Engine, watcher: Watcher) -> PassesResult:
    store = RunStore(root)
    store.write_plan(plan.nodes, plan.schema, {})
    return PassRunner(plan, store, lambda: engine, watcher).run()


def on_ray(plan: Plan, root: Path, watcher: Watcher, cpus: int, **settings: Any) -> PassesResult:
    """Run on the cluster of the environment once it has so many CPUs."""
    engine = RayEngine(EngineConfig(kind="ray", **settings))
    try:
        OwnCluster.await_cpus(cpus)
        return run(plan, root, engine, watcher)
    finally:
        engine.close()


def two_legs(folder: Path, rows: int = 300, **settings: Any) -> Plan:
    traced = [
        TracedConfig(writes_as=name, folder=folder, sleep_s=0.1, **settings)
        for name in ("length", "width")
    ]
    return fake_plan(FakeSourceConfig(files=(rows,), partition_rows=5), *traced)


def assert_as_local(plan: Plan, root: Path, tmp_path: Path) -> None:
    run(plan, tmp_path / "local", LocalEngine(), Watcher())
    whole, local = (
        pa.concat_tables(CommittedTable.open(one).each_rows()) for one in (root, tmp_path / "local")
    )
    assert whole.equals(local)


def test_a_node_that_joins_is_used(cluster: OwnCluster, tmp_path: Path) -> None:
    plan = two_legs(tmp_path, rows=2000, until_nodes=2)
    join = At(3, lambda: cluster.add(cpus=4))
    result = on_ray(plan, tmp_path / "run", join, cpus=1)
    join.thread.join()
    assert not result.quarantined
    for column in ("length", "width"):  # every leg grew
        assert nodes_used(tmp_path, column) == {"node0", "node1"}
    assert_as_local(plan, tmp_path / "run", tmp_path)


def test_a_node_that_leaves_is_survived(cluster: OwnCluster, tmp_path: Path) -> None:
    plan = two_legs(tmp_path)
    node = cluster.add(cpus=4)
    leave = At(20, node.kill)
    result = on_ray(plan, tmp_path / "run", leave, cpus=5)
    leave.thread.join()
    assert node.name in nodes_used(tmp_path)
    assert not result.quarantined
    assert_as_local(plan, tmp_path / "run", tmp_path)


def test_work_waits_for_room_to_return(tmp_path: Path) -> None:
    """All workers go with the only node; another comes seconds later and the pass goes on."""
    plan = two_legs(tmp_path, rows=100)
    with own_cluster(head_cpus=0) as cluster:
        node = cluster.add(cpus=2)

        def exchange() -> None:
            node.kill()
            time.sleep(4)
            cluster.add(cpus=3)

        change = At(5, exchange)
        result = on_ray(plan, tmp_path / "run", change, cpus=2)
        change.thread.join()
        assert not result.quarantined
        assert len(nodes_used(tmp_path)) == 2
    assert_as_local(plan, tmp_path / "run", tmp_path)


def test_no_room_ends_with_a_clear_error_and_the_same_command_goes_on(tmp_path: Path) -> None:
    plan = two_legs(tmp_path, rows=100)
    with own_cluster(head_cpus=0) as cluster:
        node = cluster.add(cpus=2)
        leave = At(5, node.kill)
        begun = time.monotonic()
        with pytest.raises(EngineError, match=r"no worker of .* for 6 s: .* has 0 CPUs .*goes on"):
            on_ray(plan, tmp_path / "run", leave, cpus=2, start_timeout_s=6)
        assert time.monotonic() - begun < 60
        leave.thread.join()
        cluster.add(cpus=2)
        assert not on_ray(plan, tmp_path / "run", Watcher(), cpus=2).quarantined
    assert_as_local(plan, tmp_path / "run", tmp_path)


def test_a_leg_without_a_worker_gets_room_from_the_others(tmp_path: Path) -> None:
    """The node with the only worker of a leg goes; the other is full of the other leg's."""
    plan = fake_plan(
        FakeSourceConfig(files=(500,), partition_rows=5),
        TracedConfig(writes_as="length", folder=tmp_path, sleep_s=0.4),
        TracedConfig(writes_as="width", folder=tmp_path, num_cpus=3),
    )
    with own_cluster(head_cpus=0) as cluster:
        first = cluster.add(cpus=4)
        time.sleep(5)  # two that start at once may want the same ports
        second = cluster.add(cpus=3)
        nodes = {first.name: first, second.name: second}

        def leave() -> None:
            (name,) = nodes_used(tmp_path, "width")
            nodes[name].kill()

        at = At(20, leave)
        result = on_ray(plan, tmp_path / "run", at, cpus=7, workers={"length": 4, "width": 1})
        at.thread.join()
    assert not result.quarantined
    assert nodes_used(tmp_path, "width") == {*nodes}
    assert_as_local(plan, tmp_path / "run", tmp_path)


def test_a_leg_moves_to_gpus_that_join_and_waits_for_them_when_they_leave(
    cluster: OwnCluster, tmp_path: Path
) -> None:
    traced = TracedConfig(folder=tmp_path, num_gpus=1, sleep_s=0.2)
    plan = fake_plan(FakeSourceConfig(files=(2500,), partition_rows=5), traced)
    commits: list[float] = []

    class Gpus(Watcher):
        """Adds a node with a GPU; takes it away once that alone has worked for a while."""

        def committed(self, leg: LegPlan, receipt: Receipt) -> None:
            commits.append(time.monotonic())
            if len(commits) == 3:
                self.node = cluster.add(cpus=1, gpus=1)
            if len(nodes_used(tmp_path)) == 2:
                for path in tmp_path.glob("on-length-*"):
                    path.unlink()  # who still works leaves it again
                self.moved = len(commits)
            if len(commits) == getattr(self, "moved", 10**6) + 20:
                assert nodes_used(tmp_path) == {self.node.name}  # the CPU's worker has retired
                self.node.kill()

    with pytest.raises(EngineError, match=r"no worker .* 1 GPUs .* has 1 CPUs and 0 GPUs"):
        on_ray(plan, tmp_path / "run", Gpus(), cpus=1, start_timeout_s=8)


def test_a_worker_that_dies_while_it_starts_is_tried_again(
    cluster: OwnCluster, tmp_path: Path
) -> None:
    plan = two_legs(tmp_path, rows=20, deaths=2)
    on_ray(plan, tmp_path / "run", Watcher(), cpus=1)
    assert len(list(tmp_path.glob("died-length-*"))) == 2
    assert_as_local(plan, tmp_path / "run", tmp_path)


def test_workers_that_keep_dying_are_an_error(cluster: OwnCluster, tmp_path: Path) -> None:
    plan = two_legs(tmp_path, rows=20, deaths=100)
    with pytest.raises(EngineError, match=r"(?s)died 3 times while it started.*memory_gib"):
        on_ray(plan, tmp_path / "run", Watcher(), cpus=1, workers={"length": 2})
    assert len(list(tmp_path.glob("died-length-*"))) <= 6
