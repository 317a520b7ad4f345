from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

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
from curate.core.plan import Plan
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.engine.local import LocalEngine
from curate.passes import PassesResult, PassRunner, Watcher

SOURCE = FakeSourceConfig(files=(25, 0, 12), partition_rows=10, bad_every=7)
WHOLE = (
    FakeMapConfig(num_cpus=1, image_bytes=20),
    FakeFilterConfig(),
    FakeTextFilterConfig(),
    FakeCaptionerConfig(),
    FakeScorerConfig(),
)


def run(plan: Plan, root: Path) -> PassesResult:
    store = RunStore(root)
    store.write_plan(plan.nodes, plan.schema, {})
    return PassRunner(plan, store, LocalEngine, Watcher()).run()


def whole_table(root: Path) -> pa.Table:
    return pa.concat_tables(CommittedTable.open(root).each_rows())


def test_legs_are_cut_where_resources_change() -> None:
    plan = fake_plan(SOURCE, *WHOLE)
    assert [leg.node.stages for leg in plan.legs] == [
        ("source", "length", "fakefilter"),
        ("faketextfilter", "fakecaptioner"),
        ("fakescorer",),
    ]


def test_rows_and_reasons(tmp_path: Path) -> None:
    result = run(fake_plan(SOURCE, *WHOLE), tmp_path)
    assert result.rows == 37
    assert result.partitions == 5
    # rows 6, 13, 20 of the first file and 6 of the second have no URL; then one-digit rows
    # ("file-0 3" has 8 characters) go
    assert result.dropped == {
        "source": {"no_url": 4},
        "fakefilter": {"too_short": 18},
    }
    assert result.kept == 15
    table = whole_table(tmp_path)
    assert table.num_rows == 15
    assert table.column_names == list(fake_plan(SOURCE, *WHOLE).schema.names)
    first = table.slice(0, 4).to_pylist()[3]
    assert first["texts"][0] == "file-0 14"
    assert len(first["texts"]) == len(first["fake_itm"]) == len(first["text_reasons"]) == 2
    assert first["text_sources"] == ["web", "synthetic"]
    assert first["image"] == b"\xff\xd8" + bytes(18)
    reasons = {r["texts"][0]: r["text_reasons"][0] for r in table.to_pylist()}
    assert reasons["file-0 23"] == "ends_in_3"
    assert reasons["file-0 24"] is None


def test_again_does_nothing(tmp_path: Path) -> None:
    plan = fake_plan(SOURCE, *WHOLE)
    first = run(plan, tmp_path)
    before = whole_table(tmp_path)
    second = run(plan, tmp_path)
    assert first.worked == 15
    assert second.worked == 0
    assert (second.kept, second.dropped) == (first.kept, first.dropped)
    assert whole_table(tmp_path).equals(before)


def test_changed_scorer_redoes_its_leg_alone(tmp_path: Path) -> None:
    run(fake_plan(SOURCE, *WHOLE), tmp_path)
    without = run(fake_plan(SOURCE, *WHOLE[:-1]), tmp_path)
    assert without.worked == 0
    other = run(fake_plan(SOURCE, *WHOLE[:-1], FakeScorerConfig(num_cpus=2)), tmp_path)
    assert other.worked == 5


def test_longer_list_adds_partitions_and_keeps_the_old(tmp_path: Path) -> None:
    stages = (FakeMapConfig(num_cpus=1), FakeBarrierConfig(), FakeScorerConfig())
    run(fake_plan(SOURCE, *stages), tmp_path)
    before = whole_table(tmp_path)
    more = SOURCE.model_copy(update={"files": (25, 0, 12, 101)})
    result = run(fake_plan(more, *stages), tmp_path)
    after = whole_table(tmp_path)
    assert result.partitions == 16
    assert result.worked == 2 * 11
    assert after.slice(0, before.num_rows).equals(before)
    assert after.num_rows == before.num_rows + 1  # "file-3 100" is the first of 10 characters


def test_barrier_keeps_the_earliest(tmp_path: Path) -> None:
    plan = fake_plan(SOURCE, FakeMapConfig(), FakeBarrierConfig(), FakeScorerConfig())
    result = run(plan, tmp_path)
    table = whole_table(tmp_path).to_pylist()
    # lengths: "file-0 0" is 8, "file-0 10" is 9: one row each
    assert [(r["partition"], r["row"], r["length"]) for r in table] == [(0, 0, 8), (1, 0, 9)]
    assert result.dropped["fakebarrier"] == {"same_length": 31}


def test_barrier_at_the_end(tmp_path: Path) -> None:
    result = run(fake_plan(SOURCE, FakeMapConfig(), FakeBarrierConfig()), tmp_path)
    assert result.kept == 2
    assert whole_table(tmp_path).num_rows == 2


def test_barrier_put_in_later_draws_its_sketches_from_the_store(tmp_path: Path) -> None:
    run(fake_plan(SOURCE, FakeMapConfig()), tmp_path)
    result = run(fake_plan(SOURCE, FakeMapConfig(), FakeBarrierConfig()), tmp_path)
    assert (result.worked, result.kept) == (0, 2)


def test_emptied_partition_commits_and_is_not_done_again(tmp_path: Path) -> None:
    plan = fake_plan(SOURCE, FakeFilterConfig(shorter_than=99), FakeScorerConfig())
    result = run(plan, tmp_path)
    assert result.kept == 0
    assert len(RunStore(tmp_path).committed(plan.nodes[-1])) == 5
    assert run(plan, tmp_path).worked == 0
    assert whole_table(tmp_path).num_rows == 0


def test_a_failing_partition_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    stages = (FakeMapConfig(num_cpus=1, fail_on="file-0 12"), FakeScorerConfig())
    plan = fake_plan(SOURCE, *stages)
    result = run(plan, tmp_path)
    assert set(result.quarantined) == {1}
    assert "asked to fail on 'file-0 12'" in result.quarantined[1][1]
    assert CommittedTable.open(tmp_path).partitions == (0, 2, 3, 4)
    again = run(plan, tmp_path)
    assert again.worked == 0
    assert set(again.quarantined) == {1}


def test_a_partition_that_fails_twice_is_done_at_the_third(tmp_path: Path) -> None:
    stage = FakeMapConfig(fail_on="file-0 12", fail_times=2, count_in=tmp_path / "tries")
    result = run(fake_plan(SOURCE, stage), tmp_path / "run")
    assert not result.quarantined
    assert result.kept == 33


def test_a_lost_commit_is_done_again_and_gives_the_same(tmp_path: Path) -> None:
    plan = fake_plan(SOURCE, *WHOLE)
    run(plan, tmp_path)
    before = whole_table(tmp_path)
    store = RunStore(tmp_path)
    for leg in plan.legs[1:]:
        store.commit_file(leg.node, 3).unlink()
        store.done_file(leg.node).unlink()
    result = run(plan, tmp_path)
    assert result.worked == 2
    assert whole_table(tmp_path).equals(before)


def test_canaries_are_kept_apart(tmp_path: Path) -> None:
    plan = fake_plan(SOURCE, *WHOLE)
    run(plan, tmp_path)
    store = RunStore(tmp_path)
    canaries = pa.concat_tables(part for _, part in store.canaries(plan.nodes))
    assert canaries.num_rows == 3  # partitions 0 and 3 lost every row to the filter
    assert set(canaries["text"].to_pylist()) == {"planted"}
    assert "planted" not in str(whole_table(tmp_path)["texts"].to_pylist())


@pytest.mark.parametrize("partition_rows", [1, 3, 1000])
def test_partition_size_changes_no_row(tmp_path: Path, partition_rows: int) -> None:
    source = SOURCE.model_copy(update={"partition_rows": partition_rows})
    run(fake_plan(source, *WHOLE), tmp_path)
    names = ["uid", "texts", "length", "fake_itm", "text_reasons"]
    run(fake_plan(SOURCE, *WHOLE), tmp_path / "other")
    assert whole_table(tmp_path).select(names).equals(whole_table(tmp_path / "other").select(names))
