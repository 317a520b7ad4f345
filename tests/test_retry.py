"""Rows tried again after their partition was committed, and what becomes of them further on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.atomic import write_json
from curate.core.errand import Errand
from curate.core.errors import StoreError
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
from curate.core.selection import list_selections, select
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.engine.base import Engine
from curate.engine.local import LocalEngine
from curate.passes import PassesResult, PassRunner, Watcher
from curate.retries import check_reasons, close_request, open_request
from curate.sinks.lance import Config as LanceConfig
from curate.stages.selectors.threshold import Config as ThresholdConfig
from tests.images.pictures import jpeg
from tests.recipes import curate, list_recipe, write_recipe
from tests.stages.download.site import Answerer, response, serve

SOURCE = FakeSourceConfig(files=(25, 0, 12), partition_rows=10, bad_every=7)
TIMEOUT = Errand("retry-1", frozenset({"timeout"}))


def plan_of(lost: Sequence[str], *, barrier: bool = False, shorter_than: int = 0) -> Plan:
    """Fetch, filter, perhaps compare, caption, score; some rows are out of reach."""
    return fake_plan(
        SOURCE,
        FakeMapConfig(num_cpus=1, image_bytes=20, out_of_reach=tuple(lost)),
        FakeFilterConfig(shorter_than=shorter_than),
        *([FakeBarrierConfig()] if barrier else []),
        FakeTextFilterConfig(),
        FakeCaptionerConfig(),
        FakeScorerConfig(),
    )


def run(
    plan: Plan, root: Path, errand: Errand | None = None, engine: Engine | None = None
) -> PassesResult:
    store = RunStore(root)
    store.write_plan(plan.nodes, plan.schema, {})
    return PassRunner(plan, store, lambda: engine or LocalEngine(), Watcher()).run(errand)


def whole_table(root: Path) -> pa.Table:
    return pa.concat_tables(CommittedTable.open(root).each_rows())


def ledger(root: Path) -> set[tuple[int, int, str]]:
    table = CommittedTable.open(root)
    entries = [entry for part in table.store.ledger(table.nodes) for entry in part.to_pylist()]
    found = [(entry["partition"], entry["row"], entry["reason"]) for entry in entries]
    assert len(found) == len(set(found))
    return set(found)


LOST = ["file-0 3", "file-0 4", "file-0 15", "file-2 11"]


def test_retried_rows_join_the_table_as_if_they_had_never_failed(tmp_path: Path) -> None:
    run(plan_of(LOST), tmp_path / "run")
    assert {reason for *_, reason in ledger(tmp_path / "run")} == {"no_url", "timeout"}
    again = run(plan_of([]), tmp_path / "run", TIMEOUT)
    undisturbed = run(plan_of([]), tmp_path / "other")
    assert whole_table(tmp_path / "run").equals(whole_table(tmp_path / "other"))
    assert ledger(tmp_path / "run") == ledger(tmp_path / "other")
    assert (again.kept, again.dropped) == (undisturbed.kept, undisturbed.dropped)
    # three partitions had such rows, and each goes through three legs
    assert again.worked == 9


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    run(plan_of(LOST), tmp_path)
    passes = tmp_path / "passes"
    before = {path: path.read_bytes() for path in passes.rglob("part-*")}
    run(plan_of([]), tmp_path, TIMEOUT)
    assert {path: path.read_bytes() for path in before} == before
    plan = plan_of([])
    store = RunStore(tmp_path)
    supplements = {
        (leg.node.stages, n): s for leg in plan.legs for n, s in store.commits(leg.node).items()
    }
    first = plan.legs[0].node.stages
    assert {n for (stages, n), s in supplements.items() if stages == first and s} == {0, 1, 4}
    rows = [store.seen_rows(plan.legs[0].node, n, 1).tolist() for n in (0, 1, 4)]
    assert rows == [[3, 4], [5], [1]]


def test_rows_that_fail_again_have_the_reason_of_their_last_attempt(tmp_path: Path) -> None:
    run(plan_of(LOST), tmp_path)
    half = plan_of(LOST[:2])
    again = run(half, tmp_path, TIMEOUT)
    assert again.dropped["length"] == {"timeout": 2}
    third = run(plan_of([]), tmp_path, Errand("retry-2", frozenset({"length:timeout"})))
    assert "length" not in third.dropped
    run(plan_of([]), tmp_path / "other")
    assert whole_table(tmp_path).equals(whole_table(tmp_path / "other"))
    assert RunStore(tmp_path).commits(half.legs[0].node) == {0: 2, 1: 1, 2: 0, 3: 0, 4: 1}


def test_a_row_that_a_filter_drops_at_the_second_attempt(tmp_path: Path) -> None:
    run(plan_of(LOST, shorter_than=9), tmp_path)
    again = run(plan_of([], shorter_than=9), tmp_path, TIMEOUT)
    # file-0 3 and 4 have eight characters
    assert again.dropped["fakefilter"]["too_short"] == 18
    run(plan_of([], shorter_than=9), tmp_path / "other")
    assert ledger(tmp_path) == ledger(tmp_path / "other")


def test_survivors_that_work_rests_on_stay(tmp_path: Path) -> None:
    # the first of nine characters is out of reach at first: the second one survives
    plan = plan_of(["file-0 10"], barrier=True)
    run(plan, tmp_path)
    before = whole_table(tmp_path)
    assert before["row"].to_pylist() == [0, 1]
    result = run(plan_of([], barrier=True), tmp_path, TIMEOUT)
    assert whole_table(tmp_path).equals(before)
    assert result.dropped["fakebarrier"] == {"same_length": 31}
    assert (1, 0, "same_length") in ledger(tmp_path)
    assert result.rows == result.kept + sum(sum(r.values()) for r in result.dropped.values())


def test_a_late_row_that_repeats_nothing_survives(tmp_path: Path) -> None:
    nine = [f"file-{f} {row}" for f, rows in ((0, 25), (2, 12)) for row in range(10, rows)]
    run(plan_of(nine, barrier=True), tmp_path)
    assert whole_table(tmp_path).num_rows == 1
    run(plan_of([], barrier=True), tmp_path, TIMEOUT)
    run(plan_of([], barrier=True), tmp_path / "other")
    assert whole_table(tmp_path).equals(whole_table(tmp_path / "other"))
    assert ledger(tmp_path) == ledger(tmp_path / "other")


@pytest.mark.parametrize("barrier", [False, True])
def test_what_a_kill_left_behind_is_done_by_the_next_run(tmp_path: Path, barrier: bool) -> None:
    lost = [f"file-{f} {row}" for f, rows in ((0, 25), (2, 12)) for row in range(10, rows)]
    run(plan_of(lost, barrier=barrier), tmp_path / "run")
    run(plan_of([], barrier=barrier), tmp_path / "run", TIMEOUT)
    whole, entries = whole_table(tmp_path / "run"), ledger(tmp_path / "run")
    store = RunStore(tmp_path / "run")
    legs = [leg.node for leg in plan_of([], barrier=barrier).legs]
    late = [(node, n) for node in legs[1:] for n, s in store.commits(node).items() if s]
    assert late
    for node, number in late:  # as a kill between the legs leaves it
        store.commit_file(node, number, 1).unlink()
    result = run(plan_of([], barrier=barrier), tmp_path / "run")
    assert result.worked == len(late)
    assert whole_table(tmp_path / "run").equals(whole)
    assert ledger(tmp_path / "run") == entries
    assert run(plan_of([], barrier=barrier), tmp_path / "run").worked == 0


def test_a_barrier_that_was_killed_at_its_verdicts_starts_them_anew(tmp_path: Path) -> None:
    run(plan_of(["file-0 10", "file-2 10"], barrier=True), tmp_path)
    run(plan_of([], barrier=True), tmp_path, TIMEOUT)
    entries = ledger(tmp_path)
    plan = plan_of([], barrier=True)
    store = RunStore(tmp_path)
    node = next(one for one in plan.nodes if not one.is_leg)
    settled = dict.fromkeys(range(5), 0)
    # as before the last verdicts: judged without the supplements, and they were being resolved
    from curate.barriers import _write_judged

    _write_judged(store, node, settled)
    write_json(store.resolving_file(node), {})
    run(plan, tmp_path)
    assert ledger(tmp_path) == entries


def test_a_partition_that_was_set_aside_cannot_push_out_survivors(tmp_path: Path) -> None:
    """Partition 1 comes back after later ones were judged."""
    failing = fake_plan(
        SOURCE,
        FakeMapConfig(num_cpus=1, fail_on="file-0 12"),
        FakeBarrierConfig(),
        FakeScorerConfig(),
    )
    tries = tmp_path / "tries"
    stage = FakeMapConfig(num_cpus=1, fail_on="file-0 12", fail_times=3, count_in=tries)
    plan = fake_plan(SOURCE, stage, FakeBarrierConfig(), FakeScorerConfig())
    assert failing.legs[0].node.fingerprint != plan.legs[0].node.fingerprint
    run(plan, tmp_path / "run")
    before = whole_table(tmp_path / "run")
    assert before.select(["partition", "row"]).to_pylist() == [
        {"partition": 0, "row": 0},
        {"partition": 2, "row": 1},
    ]
    store = RunStore(tmp_path / "run")
    store.quarantine_file(plan.legs[0].node, 1).unlink()
    result = run(plan, tmp_path / "run")
    assert not result.quarantined
    assert whole_table(tmp_path / "run").equals(before)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_whatever_is_lost_and_retried_the_laws_hold(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("run")
    every = [f"file-{f} {row}" for f, rows in ((0, 25), (2, 12)) for row in range(rows)]
    barrier = data.draw(st.booleans())
    lost = data.draw(st.lists(st.sampled_from(every), unique=True))
    run(plan_of(lost, barrier=barrier), root)
    for attempt in range(data.draw(st.integers(1, 3))):
        kept = whole_table(root).select(["partition", "row"]).to_pylist()
        lost = data.draw(st.lists(st.sampled_from(lost or every), unique=True)) if lost else []
        result = run(
            plan_of(lost, barrier=barrier), root, Errand(f"retry-{attempt}", frozenset({"timeout"}))
        )
        table = whole_table(root)
        there = table.select(["partition", "row"]).to_pylist()
        assert all(row in there for row in kept)  # a row that was in the table stays
        assert there == sorted(there, key=lambda row: (row["partition"], row["row"]))
        assert result.kept == table.num_rows
        gone = {entry[:2] for entry in ledger(root)}
        assert gone.isdisjoint((row["partition"], row["row"]) for row in there)
        assert len(gone) + table.num_rows == 37
    if not lost and not barrier:
        run(plan_of([]), root / "other")
        assert whole_table(root).equals(whole_table(root / "other"))


def test_views_and_selections_take_the_rows_in(tmp_path: Path) -> None:
    import lancedb

    def view() -> pa.Table:
        rows = lancedb.connect(str(tmp_path)).open_table("table").to_arrow()
        return rows.sort_by([("partition", "ascending"), ("row", "ascending")])

    run(plan_of(LOST), tmp_path)
    sink = LanceConfig().build()
    sink.index(CommittedTable.open(tmp_path), lambda done, total: None)
    selector = ThresholdConfig(column="fake_itm", min=0.5)
    before, _ = select(CommittedTable.open(tmp_path), selector.build(), {"a": 1}, name="default")
    run(plan_of([]), tmp_path, TIMEOUT)
    table = CommittedTable.open(tmp_path)
    said = sink.index(table, lambda done, total: None)
    assert said == {"rows": 33, "appended_partitions": 3}
    names = ["partition", "row", "uid", "texts", "fake_itm"]
    assert view().select(names).to_pylist() == whole_table(tmp_path).select(names).to_pylist()
    assert not before.is_of(table)
    after, done = select(table, selector.build(), {"a": 1}, name="default")
    assert done
    assert after.facts["texts"] == before.facts["texts"] + 8
    assert list_selections(table.store) == ["default", "default-1"]


def test_the_command_fetches_those_rows_and_nothing_else(tmp_path: Path) -> None:
    bad = response(b"later", status="503 Service Unavailable")
    overloaded = ["for now"]

    def page(number: int) -> Answerer:
        good = response(jpeg(number, width=80, height=80))
        return lambda seen: bad if number % 3 == 0 and overloaded else good

    with serve() as site:
        site.pages = {f"/{number}.jpg": page(number) for number in range(10)}
        site.pages["/9.jpg"] = bad
        urls = [site.url(f"/{number}.jpg") for number in range(12)]
        listed = tmp_path / "list.csv"
        listed.write_text("url,text\n" + "".join(f"{url},a text\n" for url in urls))
        fetch = {"kind": "fetch", "retries": 0, "robots_txt": False, "resolve": site.resolve}
        recipe = list_recipe(tmp_path, listed, stages=[fetch, {"kind": "perceptual"}])
        path = write_recipe(tmp_path / "r.yaml", recipe)
        first = curate("run", path, "--json")
        assert json.loads(first.stdout)["dropped"]["fetch"] == {"http_5xx": 4, "http_404": 2}
        site.asked.clear()
        overloaded.clear()
        again = curate("run", path, "--retry", "http_5xx", "--json")
        assert again.exit_code == 0
        assert json.loads(again.stdout)["dropped"]["fetch"] == {"http_5xx": 1, "http_404": 2}
        assert "trying 4 rows again: http_5xx" in again.stderr
        assert "3 rows more in the table than before" in again.stderr
        assert set(site.asked) == {"/0.jpg", "/3.jpg", "/6.jpg", "/9.jpg"}
        third = curate("run", path, "--retry", "fetch:http_5xx,time-out")
        assert site.asked["/9.jpg"] == 2
        assert "no row of the ledger has the reason 'time-out'" in third.stdout
        fourth = curate("run", path)
        assert "nothing to do" in fourth.stdout
    refused = curate("run", path, "--retry", "duplicate_image")
    assert refused.exit_code == 0  # no row has it


# -- requests --------------------------------------------------------------------------------------


def test_an_unfinished_request_goes_on_and_a_finished_one_begins_anew(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    first = open_request(store, ["timeout", "dns"])
    assert (first.name, first.reasons) == ("retry-1", {"timeout", "dns"})
    assert open_request(store, ["dns", "timeout"]) == first
    assert open_request(store, ["dns"]).name == "retry-2"
    close_request(store)
    assert open_request(store, ["dns"]).name == "retry-3"


def test_reasons_nobody_has_are_told_with_the_nearest(tmp_path: Path) -> None:
    plan = plan_of([], barrier=True)
    dropped = {"length": {"timeout": 3, "dns": 1}, "fakebarrier": {"same_length": 2}}
    assert check_reasons(["timeout", "length:dns"], plan, dropped) == []
    (line,) = check_reasons(["tiemout"], plan, dropped)
    assert "'tiemout'" in line
    assert "'timeout'" in line
    with pytest.raises(StoreError, match="fakebarrier compares whole sets"):
        check_reasons(["same_length"], plan, dropped)
