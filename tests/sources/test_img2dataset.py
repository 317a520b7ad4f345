from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.core.errors import SourceError
from curate.sources import datacomp, img2dataset
from curate.sources._rows import uid
from tests.images.pictures import jpeg
from tests.sources.lists import read_all
from tests.sources.packed import Download, img2dataset_output

UIDS = [f"{number:016x}{7 - number:016x}" for number in range(4)]
SHARDS = [
    [
        Download("http://x.test/0.jpg", "a red dog", jpeg(0), {"uid": UIDS[0], "score": "0.3"}),
        Download("http://x.test/1.jpg", "gone", None, {"uid": UIDS[1], "score": "0.2"}),
    ],
    [
        Download("http://x.test/2.jpg", None, jpeg(2), {"uid": UIDS[2], "score": None}),
        Download("http://x.test/3.jpg", "ein Hund, ä", jpeg(3), {"uid": UIDS[3]}),
    ],
]


def read(config: Any, spool: Path) -> list[dict[str, Any]]:
    assert config.check() == []
    return read_all(config.build(), spool, rows=3)


@pytest.mark.parametrize("output_format", ["webdataset", "parquet"])
def test_rows_have_the_uid_of_the_list_they_came_from(output_format: Any, tmp_path: Path) -> None:
    root = img2dataset_output(tmp_path / "out", SHARDS, output_format=output_format)
    got = read(img2dataset.Config(path=str(root), format=output_format), tmp_path / "spool")
    fine = [row for row in got if row["reason"] is None]
    assert [row["url"] for row in fine] == [f"http://x.test/{n}.jpg" for n in (0, 2, 3)]
    assert [row["texts"] for row in fine] == [["a red dog"], [], ["ein Hund, ä"]]
    assert [row["uid"] for row in fine] == [uid(row["url"], row["texts"]) for row in fine]
    assert [row["source_uid"] for row in fine] == [UIDS[0], UIDS[2], UIDS[3]]
    assert fine[0]["score"] == "0.3"
    assert [str(row["source_width"]) for row in fine] == ["96"] * 3
    assert [row["source_key"] for row in fine] == ["000000000", "000010000", "000010001"]
    assert not {"key", "caption", "jpg", "txt"} & set(got[0])


def test_in_parquet_what_was_not_downloaded_has_a_reason(tmp_path: Path) -> None:
    root = img2dataset_output(tmp_path / "out", SHARDS, output_format="parquet")
    got = read(img2dataset.Config(path=str(root), format="parquet"), tmp_path / "spool")
    assert [row["reason"] for row in got] == [None, "not_downloaded", None, None]
    assert got[1]["detail"] == "HTTP Error 404: Not Found"
    assert [row["shard"] for row in got] == ["00000.parquet"] * 2 + ["00001.parquet"] * 2
    assert [row["shard_place"] for row in got] == [0, 1, 0, 1]
    named = img2dataset.Config(path=str(root), format="parquet", extra=["score"])
    got = read(named, tmp_path / "named")
    assert "score" in got[0]
    assert not {"status", "error_message", "key", "source_width"} & set(got[0])


def test_parquet_of_somebody_else_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"URL": ["u"], "caption": ["c"]}), tmp_path / "a.parquet")
    (said,) = img2dataset.Config(path=str(tmp_path), format="parquet").check()
    assert "no column 'url'" in said


def test_a_pool_is_cut_to_its_subset(tmp_path: Path) -> None:
    root = img2dataset_output(tmp_path / "pool" / "shards", SHARDS)
    numbers = sorted((int(u[:16], 16), int(u[16:], 16)) for u in (UIDS[3], UIDS[0], "f" * 32))
    subset = tmp_path / "subset.npy"
    np.save(subset, np.array(numbers, np.dtype("u8,u8")))
    whole = read(datacomp.Config(path=str(root)), tmp_path / "whole")
    assert [row["reason"] for row in whole] == [None, None, None]
    cut = read(datacomp.Config(path=str(root), subset=str(subset)), tmp_path / "cut")
    assert [row["source_uid"] for row in cut] == [UIDS[0], UIDS[2], UIDS[3]]
    assert [row["reason"] for row in cut] == [None, "not_in_subset", None]
    only = read(datacomp.Config(path=str(root), extra=["score"]), tmp_path / "only")
    assert {"source_uid", "score"} <= set(only[0])
    assert "source_width" not in only[0]


def test_the_subsets_content_decides_and_not_its_place(tmp_path: Path) -> None:
    def identity(name: str, numbers: list[tuple[int, int]]) -> Any:
        np.save(tmp_path / name, np.array(numbers, np.dtype("u8,u8")))
        return datacomp.Config(path="p", subset=str(tmp_path / name)).identity()

    assert identity("a.npy", [(1, 2)]) == identity("b.npy", [(1, 2)])
    assert identity("a.npy", [(1, 2)]) != identity("b.npy", [(1, 3)])


def test_pools_and_subsets_that_are_none_are_told(tmp_path: Path) -> None:
    plain = [[Download("http://x.test/0.jpg", "a", jpeg(0))]]
    root = img2dataset_output(tmp_path / "out", plain)
    with pytest.raises(SourceError, match="no DataComp pool"):
        datacomp.Config(path=str(root)).build().schema()
    pool = img2dataset_output(tmp_path / "pool", SHARDS)
    np.save(tmp_path / "numbers.npy", np.arange(3))
    (said,) = datacomp.Config(path=str(pool), subset=str(tmp_path / "numbers.npy")).check()
    assert "holds int64 of shape (3,)" in said
    (said,) = datacomp.Config(path=str(pool), subset=str(tmp_path / "gone.npy")).check()
    assert "cannot read the subset" in said
