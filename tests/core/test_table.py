from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from curate.core.columns import URL
from curate.core.errors import StoreError
from curate.core.table import FLAT_NAMES, CommittedTable
from tests.core.tables import Row, Text, commit_table

ROWS = [
    Row([Text("a", 0.5), Text("b", None, "synthetic", "short")], extra={"url": "u0"}),
    Row(extra={"url": "u1"}),
    Row([Text("c", 0.25)], number=7, extra={"url": None}),
]


@pytest.fixture
def table(tmp_path: Path) -> CommittedTable:
    return commit_table(tmp_path, [ROWS, []], extra=[URL])


def test_the_flat_view_has_a_row_a_text(table: CommittedTable) -> None:
    flat = table.texts(0, ["url"])
    assert flat.column_names == [*FLAT_NAMES, "x_itm", "url"]
    assert [tuple(row.values()) for row in flat.to_pylist()] == [
        (0, 0, "0-0", 0, "a", "web", None, None, 0.5, "u0"),
        (0, 0, "0-0", 1, "b", "synthetic", None, "short", None, "u0"),
        (0, 7, "0-2", 0, "c", "web", None, None, 0.25, None),
    ]
    assert flat.schema.field("x_itm").type == pa.float32()
    assert flat.schema.field("text_index").type == pa.int32()


def test_a_partition_without_rows_has_the_same_columns(table: CommittedTable) -> None:
    assert table.partitions == (0, 1)
    assert table.texts(1, ["url"]).schema.equals(table.texts(0, ["url"]).schema)
    assert table.rows(1).schema.equals(table.rows(0).schema)
    assert [part.num_rows for part in table.each_texts()] == [3, 0]
    some = table.texts(0, flat=["source"])
    assert some.equals(
        table.texts(0).select(["partition", "row", "text_index", "source", "reason"])
    )
    assert table.count_rows() == sum(table.num_rows().values())
    assert [part.num_rows for part in table.each_rows(["uid"])] == [3, 0]


def test_an_unknown_column_is_answered_with_the_nearest(table: CommittedTable) -> None:
    with pytest.raises(StoreError, match=r"no column 'ulr' in .*: did you mean 'url'"):
        table.rows(0, ["ulr"])
    with pytest.raises(StoreError, match=r"no column 'ulr'"):
        table.texts(0, ["ulr"])


def test_score_columns_are_known_from_the_folder_alone(table: CommittedTable) -> None:
    assert table.score_names == ("x_itm",)
    assert table.fingerprint == "one"
    assert table.facts["name"] == "table"
