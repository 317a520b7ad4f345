from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from curate.core.errand import Errand
from curate.core.errors import EngineError, StoreError
from curate.core.fakes import (
    FakeBarrierConfig,
    FakeCaptionerConfig,
    FakeFilterConfig,
    FakeMapConfig,
    FakeScorerConfig,
    FakeSourceConfig,
    FakeTextFilterConfig,
    fake_plan,
)
from curate.core.plan import LegPlan, Plan
from curate.core.store import Receipt, RunStore
from curate.core.table import CommittedTable
from curate.engine.base import Engine, EngineConfig
from curate.engine.local import LocalEngine
from curate.engine.ray_actors import RayEngine, connect
from curate.passes import PassesResult, PassRunner, Watcher

SOURCE = FakeSourceConfig(files=(25, 0, 12), partition_rows=5, bad_every=7)
WHOLE = (
    FakeMapConfig(num_cpus=1, image_bytes=20),
    FakeFilterConfig(),
    FakeBarrierConfig(),
    FakeTextFilterConfig(),
    FakeCaptionerConfig(),
    FakeScorerConfig(),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    engine = RayEngine(EngineConfig(kind="ray"))
    yield engine
    engine.close()


def run(
    plan: Plan,
    root: Path,
    engine: Engine,
    watcher: Watcher | None = None,
    errand: Errand | None = None,
) -> PassesResult:
    store = RunStore(root)
    store.write_plan(plan.nodes, plan.schema, {})
    return PassRunner(plan, store, lambda: engine, watcher or Watcher()).run(errand)


def whole_table(root: Path) -> pa.Table:
    return pa.concat_tables(CommittedTable.open(root).each_rows())


def test_rows_tried_again_are_those_of_the_local_engine(engine: RayEngine, tmp_path: Path) -> None:
    lost = ("file-0 3", "file-0 15", "file-2 11", "file-2 10")
    rest = WHOLE[1:]
    one, other = tmp_path / "ray", tmp_path / "local"
    errand = Errand("retry-1", frozenset({"timeout"}))
    for missing, wanted in ((lost, None), ((), errand)):
        stage = WHOLE[0].model_copy(update={"out_of_reach": missing})
        plan = fake_plan(SOURCE, stage, *rest)
        by_ray, by_local = (
            run(plan, one, engine, None, wanted),
            run(plan, other, LocalEngine(), None, wanted),
        )
        assert (by_ray.kept, by_ray.dropped, by_ray.worked) == (
            by_local.kept,
            by_local.dropped,
            by_local.worked,
        )
        assert whole_table(one).equals(whole_table(other))


def test_equal_to_local(engine: RayEngine, tmp_path: Path) -> None:
    plan = fake_plan(SOURCE, *WHOLE)
    by_ray = run(plan, tmp_path / "ray", engine)
    by_loop = run(plan, tmp_path / "local", LocalEngine())
    assert whole_table(tmp_path / "ray").equals(whole_table(tmp_path / "local"))
    assert by_ray.dropped == by_loop.dropped
    assert by_ray.worked == by_loop.worked
    assert run(plan, tmp_path / "ray", engine).worked == 0


def test_a_failing_partition_is_set_aside(engine: RayEngine, tmp_path: Path) -> None:
    plan = fake_plan(SOURCE, FakeMapConfig(num_cpus=1, fail_on="file-0 12"), FakeScorerConfig())
    result = run(plan, tmp_path, engine)
    assert set(result.quarantined) == {2}
    assert "asked to fail" in result.quarantined[2][1]
    assert len(CommittedTable.open(tmp_path).partitions) == 7


def test_a_worker_whose_device_failed_is_replaced(engine: RayEngine, tmp_path: Path) -> None:
    """The partition is tried again elsewhere; one that breaks every device is set aside."""
    broken = {"num_cpus": 1.0, "fail_on": "file-0 12", "fail_device": True}
    once = FakeMapConfig(**broken, fail_times=1, count_in=tmp_path / "tries")
    result = run(fake_plan(SOURCE, once), tmp_path / "once", engine)
    assert not result.quarantined
    assert len(CommittedTable.open(tmp_path / "once").partitions) == 8
    result = run(fake_plan(SOURCE, FakeMapConfig(**broken)), tmp_path / "always", engine)
    assert set(result.quarantined) == {2}
    assert "failed on 'file-0 12'" in result.quarantined[2][1]
    assert len(CommittedTable.open(tmp_path / "always").partitions) == 7


class _KillWorkers(Watcher):
    """Kills an actor's process, for real, after the third and the sixth commit."""

    def __init__(self) -> None:
        self.commits = 0
        self.killed: list[int] = []

    def committed(self, leg: LegPlan, receipt: Receipt) -> None:
        self.commits += 1
        if self.commits in (3, 6):
            pid = _actor_pid()
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)


def _actor_pid() -> int:
    import psutil

    for process in psutil.Process().children(recursive=True):
        if "curate(" in " ".join(process.cmdline()) or "LegActor" in " ".join(process.cmdline()):
            return process.pid
    raise AssertionError("no actor to kill")


def test_a_killed_worker_is_replaced(engine: RayEngine, tmp_path: Path) -> None:
    plan = fake_plan(SOURCE, FakeMapConfig(num_cpus=1, sleep_s=0.05), FakeScorerConfig())
    watcher = _KillWorkers()
    result = run(plan, tmp_path / "ray", engine, watcher)
    assert len(watcher.killed) == 2
    assert not result.quarantined
    run(plan, tmp_path / "local", LocalEngine())
    assert whole_table(tmp_path / "ray").equals(whole_table(tmp_path / "local"))


def test_a_failure_of_the_whole_run_stops_it(engine: RayEngine, tmp_path: Path) -> None:
    class Full(Watcher):
        def committed(self, leg: LegPlan, receipt: Receipt) -> None:
            raise StoreError("the disk went away")

    with pytest.raises(StoreError, match="the disk went away"):
        run(fake_plan(SOURCE, *WHOLE), tmp_path, engine, Full())
    assert run(fake_plan(SOURCE, *WHOLE), tmp_path, engine).kept == 1


def test_no_cluster_at_the_address() -> None:
    with pytest.raises(EngineError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*ray start --head"):
        connect("127.0.0.1:1")
