"""The work of a leg on one partition, where two workers do the same one at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from curate.core.config import MapConfig
from curate.core.fakes import FakeMapConfig, FakeScorerConfig, FakeSourceConfig, fake_plan
from curate.core.stage import Mapped, MapStage
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.engine.base import Assignment, PassWork
from curate.engine.worker import LegWorker

#: What a worker does in the middle of its work, next time.
MEANWHILE: list[Callable[[], None]] = []


class UnsteadyConfig(FakeMapConfig):
    """A server that answers differently every time: each call gives another number."""

    calls: Path

    def build(self) -> Unsteady:
        return Unsteady(self)


class Unsteady(MapStage):
    """See ``UnsteadyConfig``."""

    def __init__(self, config: UnsteadyConfig) -> None:
        self._config = config

    def __call__(self, rows: pa.Table) -> Mapped:
        if MEANWHILE:
            MEANWHILE.pop()()
        with self._config.calls.open("a") as file:
            file.write("x")
        number = len(self._config.calls.read_text())
        return Mapped(rows.append_column("length", pa.array([number] * rows.num_rows, pa.int64())))


def test_of_two_workers_on_a_partition_the_first_commit_stays(tmp_path: Path) -> None:
    stages: list[MapConfig] = [
        UnsteadyConfig(calls=tmp_path / "calls", num_cpus=1),
        FakeScorerConfig(),
    ]
    plan = fake_plan(FakeSourceConfig(files=(5,)), *stages)
    store = RunStore(tmp_path / "run")
    store.write_plan(plan.nodes, plan.schema, {})
    work = PassWork(store.root, plan, 0)
    first, cut_off = LegWorker(work, 0), LegWorker(work, 0)
    source = plan.source
    (partition,) = store.register().listed(source.build(), store.spool, source.partition_rows)
    assignment = Assignment(partition, 0)

    def overtake() -> None:
        table, receipt = first.run(assignment, None)
        assert table is not None
        committed.append(receipt)

    committed: list[object] = []
    MEANWHILE.append(overtake)
    table, receipt = cut_off.run(assignment, None)
    assert [receipt] == committed  # the receipt of what is there, and no other
    assert table is None  # the next leg reads what is there
    scorer = LegWorker(work, 1)
    scorer.setup()
    scorer.run(assignment, table)
    rows = pa.concat_tables(CommittedTable.open(store.root).each_rows())
    assert rows["length"].to_pylist() == [1] * 5
