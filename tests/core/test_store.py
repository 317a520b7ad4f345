from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.core import columns
from curate.core.atomic import write_parquet
from curate.core.errors import LawError, StoreError
from curate.core.layout import PLAN_FILE
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.partition import Partition
from curate.core.plan import Node
from curate.core.stage import SourceFile
from curate.core.store import Receipt, RunStore, Work, same_json
from curate.core.table import CommittedTable

SCORE = columns.score("x_itm")
IMAGES = Node(
    "passes/0/leg-0-aa",
    "aa",
    ("source", "fetch"),
    pa.schema([columns.UID, columns.WIDTH, *columns.TEXT_FIELDS]),
)
BARRIER = Node("passes/0/barrier-exact-bb", "bb", ("exact",), None)
SCORES = Node("passes/1/leg-0-cc", "cc", ("scorer",), pa.schema([SCORE]))
CAPTIONS = Node("passes/1/leg-1-dd", "dd", ("captioner",), pa.schema([*columns.TEXT_FIELDS]))
NODES = (IMAGES, BARRIER, SCORES, CAPTIONS)
PART = Partition(3, SourceFile("list.csv", 5, "d", ""), 0, 5)


def rows_of(numbers: list[int], **values: list[Any]) -> pa.Table:
    fields = {
        f.name: f for f in (columns.UID, columns.WIDTH, columns.IMAGE, *columns.TEXT_FIELDS, SCORE)
    }
    table = pa.Table.from_arrays(
        [pa.array([3] * len(numbers), pa.int32()), pa.array(numbers, pa.int32())],
        schema=pa.schema([columns.PARTITION, columns.ROW]),
    )
    for name, own in values.items():
        table = table.append_column(fields[name], pa.array(own, fields[name].type))
    return table


def texts_of(texts: list[list[str]], source: str = "web") -> dict[str, list[Any]]:
    nulls = [[None] * len(own) for own in texts]
    sources = [[source] * len(own) for own in texts]
    return {
        "texts": texts,
        "text_sources": sources,
        "text_models": nulls,
        "text_reasons": nulls,
    }


def stopped(numbers: list[int], stage: str, reason: str) -> pa.Table:
    entries = [
        {"partition": 3, "row": row, "uid": f"u{row}", "stage": stage, "reason": reason}
        for row in numbers
    ]
    return pa.Table.from_pylist(entries, schema=LEDGER_SCHEMA)


def receipt(rows_in: int, rows_out: int, **dropped: dict[str, int]) -> Receipt:
    return Receipt(3, rows_in, rows_out, dropped)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """A partition of five rows: row 1 was not fetched, row 3 repeats row 0, row 4 has no text."""
    store = RunStore(tmp_path)
    texts = [["a", "b"], ["c"], ["d"], []]
    rows = rows_of([0, 2, 3, 4], uid=list("wxyz"), width=[10, 12, 13, 14], **texts_of(texts))
    work = Work(rows, stopped([1], "fetch", "http_404"))
    store.commit(IMAGES, PART, work, receipt(5, 4, fetch={"http_404": 1}))
    write_parquet(store.ledger_part(BARRIER, 3), stopped([3], "exact", "duplicate_row"))
    scores = rows_of([0, 2, 4], x_itm=[[0.5, 0.25], [0.75], []])
    store.commit(SCORES, PART, Work(scores, stopped([], "", "")), receipt(3, 3))
    longer = [["a", "b", "new"], ["c", "new"], ["new"]]
    captions = rows_of([0, 2, 4], **texts_of(longer, "synthetic"))
    store.commit(CAPTIONS, PART, Work(captions, stopped([], "", "")), receipt(3, 3))
    return store


def test_reading_zips_the_columns_of_several_steps(store: RunStore) -> None:
    rows = store.read(NODES, 3, ["width", "x_itm", "uid"])
    assert rows.column_names == ["partition", "row", "width", "x_itm", "uid"]
    assert rows.to_pydict() == {
        "partition": [3, 3, 3],
        "row": [0, 2, 4],  # 1 stopped at the fetch, 3 at the barrier
        "width": [10, 12, 14],
        "x_itm": [[0.5, 0.25, None], [0.75, None], [None]],  # scored before the caption: padded
        "uid": ["w", "x", "z"],
    }
    assert rows.schema.field("x_itm").equals(SCORE, check_metadata=True)


def test_the_newest_writer_of_a_column_is_read(store: RunStore) -> None:
    assert store.read(NODES, 3, ["texts"])["texts"].to_pylist()[0] == ["a", "b", "new"]
    before = store.read(NODES[:3], 3, ["texts", "x_itm"])
    assert before["texts"].to_pylist() == [["a", "b"], ["c"], []]
    assert before["x_itm"].to_pylist() == [[0.5, 0.25], [0.75], []]


def test_rows_alive_after_each_step(store: RunStore) -> None:
    assert store.live_rows(NODES[:1], 3).tolist() == [0, 2, 3, 4]
    assert store.live_rows(NODES[:2], 3).tolist() == [0, 2, 4]
    assert store.live_rows(NODES, 3).tolist() == [0, 2, 4]


def test_lists_are_padded_like_one_that_is_in_step_and_the_texts_stay_unread(
    store: RunStore,
) -> None:
    whole = store.part(CAPTIONS, 3)
    write_parquet(whole, pq.read_table(whole).drop_columns(["texts"]))
    rows = store.read(NODES, 3, ["x_itm", "text_sources"])
    assert rows["x_itm"].to_pylist() == [[0.5, 0.25, None], [0.75, None], [None]]
    with pytest.raises(StoreError, match="damaged"):
        store.read(NODES, 3, ["x_itm"])  # alone it is padded like the texts


def test_a_column_nobody_writes(store: RunStore) -> None:
    with pytest.raises(KeyError, match="no step has written 'height'"):
        store.read(NODES, 3, ["width", "height"])


def test_the_ledger_of_all_steps_and_of_one_partition(store: RunStore) -> None:
    entries = pa.concat_tables(store.ledger(NODES))
    assert entries.select(["row", "stage", "reason"]).to_pylist() == [
        {"row": 1, "stage": "fetch", "reason": "http_404"},
        {"row": 3, "stage": "exact", "reason": "duplicate_row"},
    ]
    assert pa.concat_tables(store.ledger(NODES, 3)).equals(entries)
    assert list(store.ledger(NODES, 4)) == []


def test_a_broken_law_commits_nothing(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    rows = rows_of([0], uid=["a"], width=[1], **texts_of([[]]))
    with pytest.raises(LawError, match=r"source\+fetch, partition 3 .*: 5 rows came in, 1 went on"):
        store.commit(IMAGES, PART, Work(rows, stopped([], "", "")), receipt(5, 1))
    assert list(tmp_path.iterdir()) == []
    assert store.committed(IMAGES) == set()
    assert store.receipt(IMAGES, 3) is None


def test_what_has_no_commit_file_is_as_if_it_never_ran(store: RunStore) -> None:
    assert store.committed(SCORES) == {3}
    store.commit_file(SCORES, 3).unlink()
    assert store.committed(SCORES) == set()
    assert store.part(SCORES, 3).exists()
    assert store.receipt(SCORES, 3) is None


def test_entries_of_an_attempt_that_died_are_not_taken_over(store: RunStore) -> None:
    write_parquet(store.ledger_part(SCORES, 3), stopped([0], "scorer", "of_a_dead_attempt"))
    scores = rows_of([0, 2, 4], x_itm=[[0.5, 0.25], [0.75], []])
    store.commit(SCORES, PART, Work(scores, stopped([], "", "")), receipt(3, 3))
    assert "of_a_dead_attempt" not in str(pa.concat_tables(store.ledger(NODES)).to_pylist())


def test_a_receipt_says_sizes_and_comes_back(store: RunStore) -> None:
    found = store.receipt(IMAGES, 3)
    assert found is not None
    assert (found.rows_in, found.rows_out, found.dropped) == (5, 4, {"fetch": {"http_404": 1}})
    assert found.fingerprint == "aa"
    parts = (store.part(IMAGES, 3), store.ledger_part(IMAGES, 3))
    assert found.bytes_written == sum(path.stat().st_size for path in parts)


def test_a_part_holds_the_columns_of_its_step_alone(store: RunStore) -> None:
    import pyarrow.parquet as pq

    assert pq.read_schema(store.part(SCORES, 3)).names == ["partition", "row", "x_itm"]


def test_the_plan_comes_back_without_its_recipe(store: RunStore) -> None:
    schema = pa.schema([columns.PARTITION, columns.ROW, columns.UID, SCORE])
    store.write_plan(NODES, schema, {"name": "x", "versions": {"curate": "1"}})
    nodes, read, facts = store.read_plan()
    assert nodes == NODES
    assert read.equals(schema, check_metadata=True)
    assert facts == {"name": "x", "versions": {"curate": "1"}}
    assert CommittedTable.open(store.root).partitions == (3,)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no run \(no plan\.json\): give the folder that"):
        CommittedTable.open(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", "{}", "[]", '{"nodes": [], "columns": []}'])
def test_a_damaged_plan_is_said(store: RunStore, damage: str) -> None:
    (store.root / PLAN_FILE).write_text(damage)
    with pytest.raises(StoreError, match=r"plan\.json is damaged"):
        store.read_plan()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"partition": 3, "other": 1}'])
def test_a_damaged_commit_is_said(store: RunStore, damage: str) -> None:
    store.commit_file(SCORES, 3).write_text(damage)
    with pytest.raises(StoreError, match=r"part-00000003\.json is damaged"):
        store.receipt(SCORES, 3)


def test_a_damaged_part_is_said(store: RunStore) -> None:
    store.part(SCORES, 3).write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match=r"part-00000003\.parquet is damaged"):
        store.read(NODES, 3, ["x_itm"])


def test_same_json_sees_values_and_not_types() -> None:
    assert same_json({"a": (1, 2), "b": None}, {"b": None, "a": [1, 2]})
    assert not same_json({"a": [1, 2]}, {"a": [2, 1]})
    assert not same_json({"a": 1}, {"a": "1"})
