"""Lists that broke a reader once, found by tests/fuzz."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from curate.core.errors import SourceError
from curate.sources.url_list import Config


def _read(path: Path) -> list[dict[str, object]]:
    source = Config(path=str(path)).build()
    source.schema()
    spool = path.parent / "spool"
    spool.mkdir(exist_ok=True)
    (file,) = source.files(spool, {})
    rows: list[dict[str, object]] = source.read(file, 0, file.rows).rows.to_pylist()
    return rows


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.csv", b'"url"x,"text"\n', "first line must name the columns and cannot be read"),
        ("a.csv", b'"url,text\nhttp://a.test/1,b\n', "unexpected end of data"),
        ("a.csv", b"url,text,br\xfccke\n1,2,3\n", "name the columns in UTF-8"),
        ("a.tsv", b"url\ttext\t\xff\n1\t2\t3\n", "name the columns in UTF-8"),
        ("a.csv", b"url,text,width,width\n1,2,3,4\n", "two columns are named 'width'"),
        ("a.csv", b"url,url,text\n1,2,3\n", "2 columns 'url'"),
    ],
)
def test_headers(tmp_path: Path, name: str, body: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(body)
    with pytest.raises(SourceError, match=message) as error:
        _read(path)
    assert name in str(error.value)


def test_json_keys_that_cannot_be_written_are_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"url": "http://a.test/1", "text": "b", "\\ud800": 1, "n": 2}\n')
    (row,) = _read(path)
    assert (row["url"], row["texts"], row["n"]) == ("http://a.test/1", ["b"], "2")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_column_names_that_are_no_utf8(tmp_path: Path, name: str) -> None:
    table = pa.table({"url": ["http://a.test/1"], "text": ["b"], "wideness": [1]})
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table, path, store_schema=False)
    else:
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    path.write_bytes(path.read_bytes().replace(b"wideness", b"w\xffdeness"))
    with pytest.raises(SourceError, match=name):
        _read(path)


def test_offsets_that_point_elsewhere(tmp_path: Path) -> None:
    table = pa.table({"url": ["http://a.test/1", "http://a.test/22"], "text": ["b", "c"]})
    path = tmp_path / "a.arrow"
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    good = path.read_bytes()
    offsets = b"".join(n.to_bytes(4, "little") for n in (0, 15, 31))
    assert good.count(offsets) == 1
    wild = b"".join(n.to_bytes(4, "little") for n in (0, 2**30, 31))
    path.write_bytes(good.replace(offsets, wild))
    with pytest.raises(SourceError, match=r"a\.arrow"):
        _read(path)
