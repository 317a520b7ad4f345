from __future__ import annotations

import json
from pathlib import Path

import datasets
import lance
import numpy as np
import pyarrow.parquet as pq
import pytest

from curate.core.columns import IMAGE
from curate.core.errors import StoreError
from curate.core.table import CommittedTable
from curate.exporters.datacomp_uids import UID_TYPE
from tests.conformance.test_other_families import SOURCE_UID
from tests.core.tables import Row, Text, commit_table
from tests.exporters.material import chosen, export, small_table
from tests.images.pictures import jpeg

CAPTIONS = ["a red dog", "ein Hund, ä", "two birds", "a house", "three cats"]


@pytest.fixture
def table(tmp_path: Path) -> CommittedTable:
    return small_table(tmp_path / "run")


def test_parquet_has_img2datasets_columns_and_statistics(
    table: CommittedTable, tmp_path: Path
) -> None:
    export("parquet", table, chosen(table), tmp_path / "out", shard_rows=4)
    rows = pq.read_table(tmp_path / "out" / "00000.parquet").to_pylist()
    assert [row["caption"] for row in rows] == CAPTIONS[:4]
    assert {"url", "caption", "key", "status", "error_message", "width", "height"} <= set(rows[0])
    assert rows[0]["jpg"] == jpeg(0)
    assert {row["status"] for row in rows} == {"success"}
    assert rows[1]["x_itm"] == pytest.approx(0.8)
    assert (rows[1]["caption_source"], rows[1]["weight"]) == ("synthetic", 0.5)
    stats = json.loads((tmp_path / "out" / "00001_stats.json").read_text())
    assert (stats["count"], stats["successes"], stats["status_dict"]) == (1, 1, {"success": 1})


def test_parquet_in_datacomps_layout_holds_no_pictures(
    table: CommittedTable, tmp_path: Path
) -> None:
    export("parquet", table, chosen(table), tmp_path / "out", layout="datacomp", per="image")
    rows = pq.read_table(tmp_path / "out" / "00000.parquet").to_pylist()
    assert [row["text"] for row in rows] == ["a red dog", "two birds", "a house", "three cats"]
    assert rows[0]["texts"] == CAPTIONS[:2]
    assert rows[0]["x_itm"] == pytest.approx([0.9, 0.8])
    assert {"uid", "url", "text", "sha256"} <= set(rows[0])
    assert not {"jpg", "caption", "status"} & set(rows[0])
    assert not (tmp_path / "out" / "00000_stats.json").exists()


def test_parquet_hands_on_the_uid_that_is_asked_for(tmp_path: Path) -> None:
    rows = [Row([Text("a", 0.9)], extra={"image": jpeg(0), "source_uid": "f" * 32})]
    table = commit_table(tmp_path / "run", [rows], extra=[IMAGE, SOURCE_UID])
    export("parquet", table, chosen(table), tmp_path / "out", uid="source_uid")
    (row,) = pq.read_table(tmp_path / "out" / "00000.parquet").to_pylist()
    assert (row["uid"], row["source_uid"]) == ("f" * 32, "f" * 32)


@pytest.mark.parametrize("per", ["text", "image"])
def test_datasets_loads_the_folder_with_pictures(
    per: str, table: CommittedTable, tmp_path: Path
) -> None:
    export("hf_datasets", table, chosen(table), tmp_path / "out", per=per, shard_rows=2)
    loaded = datasets.load_dataset(
        str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded[0]["image"].size == (96, 72)
    if per == "text":
        assert loaded["caption"][:] == CAPTIONS
        assert loaded.features["x_itm"] == datasets.Value("float32")
    else:
        assert loaded[0]["texts"] == CAPTIONS[:2]
        assert loaded[0]["weights"] == [0.5, 0.5]
        assert loaded.features["texts"] == datasets.List(datasets.Value("string"))


def test_an_empty_export_for_datasets_has_a_card_without_files(
    table: CommittedTable, tmp_path: Path
) -> None:
    export("hf_datasets", table, chosen(table, least=1.0), tmp_path / "out")
    assert "configs: []" in (tmp_path / "out" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("per", ["text", "image"])
def test_lance_reads_the_table(per: str, table: CommittedTable, tmp_path: Path) -> None:
    export("lance", table, chosen(table), tmp_path / "out", per=per, shard_rows=2)
    found = lance.dataset(str(tmp_path / "out" / "pairs.lance"))
    rows = found.to_table().to_pylist()
    assert len(found.get_fragments()) == (3 if per == "text" else 2)
    assert rows[0]["image"] == jpeg(0)
    if per == "text":
        assert [row["caption"] for row in rows] == CAPTIONS
        assert found.count_rows("x_itm > 0.65") == 3
    else:
        assert rows[0]["texts"] == CAPTIONS[:2]
    assert found.take([2]).to_pylist()[0]["key"] == rows[2]["key"]


def test_uids_are_sorted_pairs_of_numbers(tmp_path: Path) -> None:
    uids = ["ff" * 16, "00" * 15 + "2a", "10" * 16, "ff" * 16]
    rows = [
        Row([Text("a", 0.9), Text("b", 0.9)], extra={"image": b"", "source_uid": uid})
        for uid in uids
    ]
    table = commit_table(tmp_path / "run", [rows[:3], rows[3:]], extra=[IMAGE, SOURCE_UID])
    manifest = export("datacomp_uids", table, chosen(table), tmp_path / "out")
    found = np.load(tmp_path / "out" / "uids.npy")
    assert found.dtype == UID_TYPE == np.dtype("u8,u8")
    ten = int("10" * 8, 16)
    assert found.tolist() == [(0, 42), (ten, ten), (2**64 - 1, 2**64 - 1)]
    assert manifest["samples"] == 3


def test_what_is_no_uid_is_refused(table: CommittedTable, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no uid of 32 hex digits"):
        export("datacomp_uids", table, chosen(table), tmp_path / "out", uid="uid")
    with pytest.raises(StoreError, match="no column 'source_uid'"):
        export("datacomp_uids", table, chosen(table), tmp_path / "out")
    assert not (tmp_path / "out").exists()
