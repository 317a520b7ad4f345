"""Rows blanked in the copies of lists that a run keeps, however those write their columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.core.store import RunStore
from curate.forgetting.proof import Proof
from curate.forgetting.source_copies import blank_sources

GONE, STAYS = "http://a.test/gone.jpg", "http://a.test/stays.jpg"

KINDS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.dictionary(pa.int32(), pa.string()),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_every_kind_of_column_is_blanked(tmp_path: Path, kind: pa.DataType, ending: str) -> None:
    urls = pa.array([GONE, STAYS], pa.string()).cast(kind)
    table = pa.table({"URL": urls, "n": [1, 2], "TEXT": [["a cat"], ["a dog"]]})
    copy = tmp_path / "source" / f"list.{ending}"
    copy.parent.mkdir()
    _write(copy, table)
    assert blank_sources(RunStore(tmp_path), {GONE}, hosts=False) == 1
    left = _read(copy)
    assert left.schema.equals(table.schema)
    assert left.to_pylist()[0] == {"URL": None, "n": None, "TEXT": []}
    assert left.slice(1).to_pylist() == table.slice(1).to_pylist()
    assert GONE.encode() not in copy.read_bytes()
    assert blank_sources(RunStore(tmp_path), {GONE}, hosts=False) == 0


@pytest.mark.parametrize("kind", [one for one in KINDS if "binary" not in str(one)], ids=str)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_the_proof_reads_every_kind_of_text(tmp_path: Path, kind: pa.DataType, ending: str) -> None:
    urls = pa.array([GONE, STAYS], pa.string()).cast(kind)
    _write(tmp_path / f"list.{ending}", pa.table({"URL": urls}))
    words = {"uid": [], "url": [GONE], "path": [], "texts": [], "image": []}
    found = Proof(tmp_path, {}, words).search()
    assert found.left == {f"list.{ending}": "a forgotten url"}
    assert found.decoded == 1


def _write(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, compression="zstd")
        return
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with path.open("wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table)


def _read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            return file.read()
    return pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all()
