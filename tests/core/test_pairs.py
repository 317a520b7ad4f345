from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from curate.core.errors import SourceError
from curate.core.pairs import ConcatSource, ListSource, Pair, TableConfig, TableSource, open_tables

BODIES = [b"one", b"two", b"three"]
CAPTIONS = [["a dog", " a red dog "], ["a cat"], []]


def written(path: Path) -> str:
    table = pa.table({"image": BODIES, "captions": CAPTIONS, "name": ["x", "y", "z"]})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        feather.write_feather(table, path, compression="uncompressed")
    return str(path)


@pytest.mark.parametrize("name", ["pairs.parquet", "pairs.arrow"])
def test_a_table_s_pictures_with_texts(tmp_path: Path, name: str) -> None:
    source = TableSource(TableConfig(path=written(tmp_path / name), uid="name"))
    assert len(source) == 2
    assert source.read([1, 0]) == [
        Pair("y", b"two", ["a cat"]),
        Pair("x", b"one", ["a dog", "a red dog"]),
    ]
    assert list(source.texts()) == ["a dog", "a red dog", "a cat"]


def test_without_a_name_the_bytes_name_the_picture(tmp_path: Path) -> None:
    source = TableSource(TableConfig(path=written(tmp_path / "pairs.parquet")))
    assert source.read([0])[0].uid == hashlib.sha256(b"one").hexdigest()


def test_a_jsonl_of_files_and_plain_texts(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"body")
    lines = [{"file": "pictures/a.jpg", "text": "a dog"}, {"file": "pictures/a.jpg", "text": " "}]
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    config = TableConfig(path=str(path), image="file", captions="text", uid="file")
    assert TableSource(config).read([0]) == [Pair("pictures/a.jpg", b"body", ["a dog"])]
    (tmp_path / "pictures" / "a.jpg").unlink()
    with pytest.raises(SourceError, match=r"a\.jpg cannot be read"):
        TableSource(config)


def test_repeated_and_joined_tables(tmp_path: Path) -> None:
    written(tmp_path / "one.parquet")
    written(tmp_path / "two.parquet")
    source = open_tables(
        [
            TableConfig(path=str(tmp_path / "*.parquet"), uid="name"),
            TableConfig(path=str(tmp_path / "two.parquet"), uid="name", repeat=2),
        ]
    )
    assert len(source) == 8
    assert [pair.uid for pair in source.read([7, 0, 4, 3])] == ["y", "x", "x", "y"]


def test_sources_of_any_kind_are_joined_in_order() -> None:
    parts = [ListSource([Pair(str(n), b"", ["t"])]) for n in range(3)]
    joined = ConcatSource([parts[0], ListSource([]), parts[1], parts[2]])
    assert [pair.uid for pair in joined.read([2, 0, 1])] == ["2", "0", "1"]
    assert list(joined.texts()) == ["t"] * 3
    assert joined.read_texts([2, 0, 1]) == joined.read([2, 0, 1])


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.parquet")
    with pytest.raises(SourceError, match="no such file"):
        TableSource(TableConfig(path=str(tmp_path / "none.parquet")))
    with pytest.raises(SourceError, match=r"no column 'caption': did you mean 'captions'"):
        TableSource(TableConfig(path=path, captions="caption"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(SourceError, match="cannot be read as a table"):
        TableSource(TableConfig(path=str(tmp_path / "broken.parquet")))
    (tmp_path / "broken.jsonl").write_text("{")
    with pytest.raises(SourceError, match="cannot be read as a table"):
        TableSource(TableConfig(path=str(tmp_path / "broken.jsonl")))
    pq.write_table(pa.table({"image": [b"x"], "captions": [None]}), tmp_path / "mute.parquet")
    with pytest.raises(SourceError, match="no picture with a text"):
        open_tables([TableConfig(path=str(tmp_path / "mute.parquet"))])
