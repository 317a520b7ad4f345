"""Whatever a list holds: rows, each once, or a ``SourceError`` that names the file."""

from __future__ import annotations

import gzip
import io
import itertools
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from curate.core.errors import SourceError
from curate.sources.url_list import Config
from tests.fuzz.mutate import COUNT, damaged

_TABLE = pa.table(
    {
        "url": [f"http://a.test/{i}.jpg" for i in range(8)],
        "text": ["a dog", "", None, 'say "hi", you', "two\nlines", "\u00e4\u4e00", "x", "y"],
        "width": pa.array([1, 2, None, 4, 5, 6, 7, 8], pa.int32()),
    }
)


def _written(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "parquet":
        pq.write_table(_TABLE, out, row_group_size=3)
    elif kind == "arrow":
        with pa.ipc.new_file(out, _TABLE.schema) as file:
            file.write_table(_TABLE, max_chunksize=3)
    elif kind == "jsonl":
        frame = _TABLE.to_pandas()
        out.write(frame.to_json(orient="records", lines=True).encode())
    elif kind == "csv":
        pa.csv.write_csv(_TABLE, out)
    else:
        out.write("url\ttext\nhttp://a.test/1\ta dog\nhttp://a.test/2\t\u00e4\u4e00\n".encode())
    return out.getvalue()


KINDS = ("csv", "tsv", "jsonl", "parquet", "arrow", "csv.gz", "jsonl.gz")
SEEDS = {
    kind: gzip.compress(_written(kind[:-3]), mtime=0) if kind.endswith(".gz") else _written(kind)
    for kind in KINDS
}


def check(folder: Path, kind: str, body: bytes) -> bool:
    """Read a list to its end; returns whether it could be read."""
    path = folder / f"list.{kind}"
    path.write_bytes(body)
    spool = folder / "spool"
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    source = Config(path=str(path)).build()
    try:
        schema = source.schema()
        for file in source.files(spool, {}):
            middle = file.rows // 2
            for start, stop in itertools.pairwise((0, middle, file.rows)):
                mapped = source.read(file, start, stop)
                assert mapped.rows.num_rows == stop - start, body
                assert mapped.rows.schema.equals(schema), body
                assert mapped.reasons is None or len(mapped.reasons) == stop - start
    except SourceError as error:
        assert path.name in str(error), body
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_lists(tmp_path: Path, kind: str) -> None:
    assert check(tmp_path, kind, SEEDS[kind])
    for body in damaged([SEEDS[kind]], 60, seed=len(kind)):
        check(tmp_path, kind, body)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_lists(tmp_path: Path, kind: str) -> None:
    for body in damaged([SEEDS[kind]], -(-COUNT // len(KINDS)), seed=2026):
        check(tmp_path, kind, body)
