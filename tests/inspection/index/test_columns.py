from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa

from curate.core import columns as run_columns
from curate.inspection.index.columns import layout, read_pairs
from tests.core.tables import Row, Text, commit_table
from tests.inspection.index.material import made


def test_what_is_of_a_text_and_what_is_of_its_image(tmp_path: Path) -> None:
    table = made(tmp_path)
    wanted = layout(table)
    kinds = {column.name: column.kind for column in wanted.columns}
    assert kinds["text"] == kinds["url"] == "text"
    assert kinds["x_itm"] == kinds["width"] == "number"
    assert [column.name for column in wanted.columns if column.is_score] == ["x_itm"]
    assert (wanted.embeddings, wanted.left_out) == (("x_embed",), ("image",))
    pairs, vectors = read_pairs(table, 0, wanted)
    assert pairs["width"].to_pylist() == [100, 100, 101]
    assert pairs["x_itm"].to_pylist() == [
        pa.scalar(value, pa.float32()).as_py() for value in (0.9, 0.2, 0.4)
    ]
    assert vectors["x_embed"]["row"].to_pylist() == [0, 1]
    _, vectors = read_pairs(table, 2, wanted)
    assert vectors["x_embed"]["row"].to_pylist() == [0]  # the others have none


def test_columns_that_a_list_brings(tmp_path: Path) -> None:
    """Names that Lance refuses or the flat view has taken, and types that need another form."""
    extra = [
        pa.field("source", pa.string()),
        pa.field("mark", pa.string()),
        pa.field("a.b c", pa.int64()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("day", pa.date32()),
        pa.field("nested", pa.struct([("x", pa.int32())])),
        run_columns.parallel("x_truncated", pa.bool_()),
    ]
    values = {
        **{
            "source": "list",
            "mark": "list's",
            "a.b c": 7,
            "tags": ["one", "two"],
            "nested": {"x": 1},
        },
        **{"day": datetime.date(2026, 1, 2), "x_truncated": [True, None]},
    }
    table = commit_table(tmp_path, [[Row([Text(), Text()], extra=values)]], extra=extra)
    wanted = layout(table)
    assert wanted.left_out == ("nested",)
    pairs, _ = read_pairs(table, 0, wanted)
    found = {column.name: pairs[column.stored].to_pylist() for column in wanted.columns}
    assert found["row.source"] == ["list", "list"]
    assert found["source"] == ["web", "web"]
    assert found["row.mark"] == ["list's"] * 2
    assert found["a.b c"] == [7, 7]
    assert found["tags"] == ["one, two"] * 2
    assert found["day"] == ["2026-01-02"] * 2
    assert found["x_truncated"] == [True, None]
    assert not any("." in column.stored or " " in column.stored for column in wanted.columns)
