from __future__ import annotations

import gc
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset

from curate.core.errors import StoreError
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters.webdataset import MANIFEST, Config
from curate.images import decode
from tests.core.tables import commit_table
from tests.exporters import material
from tests.exporters.material import EXTRA, PARTITIONS, bytes_of, chosen, small_table
from tests.images.pictures import scene

#: What an export of one shard leaves in its folder.
ONE_SHARD = ["00000.tar", "README.md", MANIFEST, "sizes.json"]


@pytest.fixture
def table(tmp_path: Path) -> CommittedTable:
    return small_table(tmp_path / "run")


def export(
    table: CommittedTable, selection: Selection, output: Path, **options: Any
) -> dict[str, Any]:
    return material.export("webdataset", table, selection, output, **options)


def samples(output: Path) -> list[dict[str, Any]]:
    shards = sorted(str(path) for path in output.glob("*.tar"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves shards open
        found = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))
        gc.collect()
    return found


def test_the_webdataset_library_reads_every_sample_back(
    table: CommittedTable, tmp_path: Path
) -> None:
    manifest = export(table, chosen(table), tmp_path / "out")
    found = samples(tmp_path / "out")
    assert [one["txt"].decode() for one in found] == [
        *("a red dog", "ein Hund, ä", "two birds", "a house", "three cats"),
    ]
    assert [next(k for k in one if k in ("jpg", "png", "webp")) for one in found] == [
        *("jpg", "jpg", "png", "webp", "jpg"),
    ]
    for one in found:
        facts = json.loads(one["json"])
        assert facts["key"] == one["__key__"]
        assert facts["caption"] == one["txt"].decode()
        body = next(one[k] for k in ("jpg", "png", "webp") if k in one)
        assert facts["sha256"] == hashlib.sha256(body).hexdigest()
        assert facts["url"].startswith("http://x.test/")
    assert np.array_equal(decode(found[2]["png"]), scene(2))
    assert manifest["samples"] == 5
    assert len({one["__key__"] for one in found}) == 5


def test_scores_and_sources_stand_in_the_json(table: CommittedTable, tmp_path: Path) -> None:
    export(table, chosen(table), tmp_path / "out")
    second = json.loads(samples(tmp_path / "out")[1]["json"])
    (text,) = second["texts"]
    assert text["x_itm"] == pytest.approx(0.8)
    assert (text["source"], text["text_index"], text["text"]) == ("synthetic", 2, "ein Hund, ä")


def test_a_sample_an_image_holds_all_its_texts(table: CommittedTable, tmp_path: Path) -> None:
    manifest = export(table, chosen(table), tmp_path / "out", per="image")
    found = samples(tmp_path / "out")
    assert manifest["samples"] == len(found) == 4
    first = json.loads(found[0]["json"])
    assert [text["text"] for text in first["texts"]] == ["a red dog", "ein Hund, ä"]
    assert found[0]["txt"].decode() == "a red dog"


def test_shards_hold_so_many_samples_and_the_manifest_tells_them(
    table: CommittedTable, tmp_path: Path
) -> None:
    manifest = export(table, chosen(table), tmp_path / "out", shard_rows=2)
    assert [shard["samples"] for shard in manifest["shards"]] == [2, 2, 1]
    for shard in manifest["shards"]:
        body = (tmp_path / "out" / shard["file"]).read_bytes()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (shard["bytes"], shard["sha256"])
    assert len(samples(tmp_path / "out")) == 5
    written = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert {**written, "output": str(tmp_path / "out")} == manifest


def test_the_same_selection_gives_the_same_bytes(table: CommittedTable, tmp_path: Path) -> None:
    output = tmp_path / "out"
    export(table, chosen(table), output, shard_rows=2)
    before = bytes_of(output)
    (output / MANIFEST).unlink()  # as a kill before the last rename leaves it
    (output / "00001.tar").unlink()
    export(table, chosen(table), output, shard_rows=2)
    assert bytes_of(output) == before


def test_again_writes_nothing(table: CommittedTable, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = export(table, chosen(table), output)
    times = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    assert export(table, chosen(table), output) == first
    assert {path.name: path.stat().st_mtime_ns for path in output.iterdir()} == times


def test_a_lost_shard_is_written_again(table: CommittedTable, tmp_path: Path) -> None:
    output = tmp_path / "out"
    export(table, chosen(table), output, shard_rows=2)
    before = bytes_of(output)
    (output / "00002.tar").unlink()
    export(table, chosen(table), output, shard_rows=2)
    assert bytes_of(output) == before


def test_another_selection_replaces_the_shards(table: CommittedTable, tmp_path: Path) -> None:
    output = tmp_path / "out"
    export(table, chosen(table), output, shard_rows=1)
    assert len(list(output.glob("*.tar"))) == 5
    manifest = export(table, chosen(table, least=0.85), output, shard_rows=1)
    assert manifest["samples"] == 1
    assert [one["txt"].decode() for one in samples(output)] == ["a red dog"]
    assert sorted(path.name for path in output.iterdir()) == ONE_SHARD


def test_a_smaller_selection_after_a_kill_leaves_no_shard_of_the_larger(
    table: CommittedTable, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    export(table, chosen(table), output, shard_rows=1)
    (output / MANIFEST).unlink()
    export(table, chosen(table, least=0.85), output, shard_rows=1)
    assert sorted(path.name for path in output.iterdir()) == ONE_SHARD


def test_an_empty_selection_has_a_manifest_and_no_shard(
    table: CommittedTable, tmp_path: Path
) -> None:
    manifest = export(table, chosen(table, least=1.0), tmp_path / "out")
    assert (manifest["samples"], manifest["shards"]) == (0, [])


def test_a_moved_run_tells_its_new_place(table: CommittedTable, tmp_path: Path) -> None:
    selection = chosen(table)
    export(table, selection, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "there")
    assert export(table, selection, tmp_path / "there")["output"] == str(tmp_path / "there")


def test_progress_goes_to_the_number_of_samples(table: CommittedTable, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    exporter = Config(shard_rows=2).build()
    exporter.export(table, chosen(table), tmp_path / "out", lambda *args: seen.append(args))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_a_selection_of_an_earlier_table_is_refused(table: CommittedTable, tmp_path: Path) -> None:
    selection = chosen(table)
    moved = commit_table(tmp_path / "run", PARTITIONS, extra=EXTRA, fingerprint="two")
    with pytest.raises(StoreError, match="decided on an earlier table"):
        export(moved, selection, tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))
