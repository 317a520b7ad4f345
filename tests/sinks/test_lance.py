from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest

from curate.core.columns import IMAGE, WIDTH
from curate.core.errors import StoreError
from curate.core.table import CommittedTable
from curate.sinks.lance import Config
from tests.core.tables import Row, Text, commit_table

EXTRA = [IMAGE, WIDTH]


def row(width: int, *texts: Text) -> Row:
    return Row(texts, extra={"image": b"\xff\xd8" + bytes([width]), "width": width})


PARTITIONS = [
    [row(10, Text("a", 0.9), Text("b", 0.1)), row(20, Text("c", 0.2))],
    [],  # emptied by a filter
    [row(30)],
    [row(40, Text("d", None), Text("e", 0.8))],
]


def made(root: Path, fingerprint: str = "one") -> CommittedTable:
    return commit_table(root, PARTITIONS, extra=EXTRA, fingerprint=fingerprint)


def index(table: CommittedTable, batch: int = 100) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    seen: list[tuple[int, int]] = []
    said = Config(batch=batch).build().index(table, lambda done, total: seen.append((done, total)))
    return dict(said), seen


def view(root: Path) -> Any:
    return lancedb.connect(str(root)).open_table("table")


def in_order(root: Path) -> pa.Table:
    return view(root).to_arrow().sort_by([("partition", "ascending"), ("row", "ascending")])


def test_the_view_holds_the_table(tmp_path: Path) -> None:
    table = made(tmp_path)
    said, seen = index(table)
    assert said == {"rows": 4, "appended_partitions": 3}
    assert seen == [(3, 3)]
    wanted = pa.concat_tables(table.each_rows())
    assert in_order(tmp_path).to_pydict() == wanted.to_pydict()


def test_again_appends_nothing(tmp_path: Path) -> None:
    table = made(tmp_path)
    index(table)
    version = view(tmp_path).version
    said, seen = index(table)
    assert said == {"rows": 4, "appended_partitions": 0}
    assert seen == []
    assert view(tmp_path).version == version


def test_batches_append_every_partition_once(tmp_path: Path) -> None:
    said, seen = index(made(tmp_path), batch=2)
    assert said["rows"] == 4
    assert seen == [(2, 3), (3, 3)]


def test_new_partitions_are_appended_to_the_old(tmp_path: Path) -> None:
    index(made(tmp_path))
    longer = commit_table(tmp_path, [[row(50, Text("new"))]], extra=EXTRA, first=4)
    said, _ = index(longer)
    assert said == {"rows": 5, "appended_partitions": 1}
    assert in_order(tmp_path)["width"].to_pylist() == [10, 20, 30, 40, 50]


def test_a_kill_between_an_append_and_its_report_doubles_nothing(tmp_path: Path) -> None:
    table = made(tmp_path)
    index(table)
    # what a process does before it is killed: the append is there, nothing was said of it
    longer = commit_table(tmp_path, [[row(50)], [row(60)]], extra=EXTRA, first=4)
    rows = longer.rows(4)
    view(tmp_path).add(pa.Table.from_arrays(rows.columns, schema=view(tmp_path).schema))
    said, _ = index(longer)
    assert said == {"rows": 6, "appended_partitions": 1}
    assert in_order(tmp_path)["width"].to_pylist() == [10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize("moment", ["before the table", "before the note", "before a row"])
def test_a_kill_at_the_start_is_made_up_for(tmp_path: Path, moment: str) -> None:
    table = made(tmp_path)
    note = tmp_path / "table.lance.json"
    if moment != "before the table":
        index(table)
        note.unlink()
    if moment == "before a row":
        view(tmp_path).delete("true")
    said, _ = index(table)
    assert said["rows"] == 4
    assert in_order(tmp_path)["width"].to_pylist() == [10, 20, 30, 40]
    assert note.exists()


def test_another_table_is_rebuilt(tmp_path: Path) -> None:
    index(made(tmp_path))
    said, _ = index(made(tmp_path, "two"))
    assert said == {"rows": 4, "appended_partitions": 3}
    assert view(tmp_path).count_rows() == 4


def test_a_row_that_is_missing_is_put_back(tmp_path: Path) -> None:
    table = made(tmp_path)
    index(table)
    view(tmp_path).delete("width = 20")
    said, _ = index(table)
    assert said == {"rows": 4, "appended_partitions": 1}
    assert in_order(tmp_path)["width"].to_pylist() == [10, 20, 30, 40]


def test_a_view_that_somebody_added_to_is_not_passed_over(tmp_path: Path) -> None:
    table = made(tmp_path)
    index(table)
    view(tmp_path).add(view(tmp_path).to_arrow().slice(0, 1))
    with pytest.raises(StoreError, match=r"has 5 rows and the table 4: remove .*table\.lance"):
        index(table)


def test_a_view_that_is_damaged_says_how_to_mend_it(tmp_path: Path) -> None:
    table = made(tmp_path)
    index(table)
    for path in (tmp_path / "table.lance" / "data").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(
        StoreError, match=r"table\.lance cannot be used: .*made again when it is removed"
    ):
        index(commit_table(tmp_path, [[row(50)]], extra=EXTRA, first=4))
    shutil.rmtree(tmp_path / "table.lance")
    assert index(CommittedTable.open(tmp_path))[0]["rows"] == 5


def test_a_table_without_rows(tmp_path: Path) -> None:
    said, _ = index(commit_table(tmp_path, [[], []], extra=EXTRA))
    assert said == {"rows": 0, "appended_partitions": 0}


@pytest.mark.parametrize(
    ("predicate", "widths"),
    [
        ("width > 15", [20, 30, 40]),
        ("width = 20 OR width = 40", [20, 40]),
        ("x_itm[1] > 0.15", [10, 20]),  # elements are counted from 1
        ("x_itm[2] > 0.5", [40]),
        ("x_itm[1] IS NULL AND array_length(texts) = 2", [40]),
        ("array_has(texts, 'c')", [20]),
    ],
)
def test_predicates_reach_the_columns(tmp_path: Path, predicate: str, widths: list[int]) -> None:
    index(made(tmp_path))
    found = view(tmp_path).search().where(predicate).select(["width"]).to_arrow()
    assert sorted(found["width"].to_pylist()) == widths


def test_parallel_lists_keep_step_in_the_view(tmp_path: Path) -> None:
    index(made(tmp_path))
    for one in in_order(tmp_path).to_pylist():
        assert len(one["texts"]) == len(one["x_itm"]) == len(one["text_sources"])
