from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from curate.core.columns import IMAGE
from curate.core.families import find, kinds
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._shards import MANIFEST, UNFINISHED, ShardedExporter
from tests.core.tables import Row, Text, commit_table
from tests.exporters.material import bytes_of, chosen, export, small_table
from tests.images.pictures import jpeg

SHARDED = [name for name in kinds("exporters") if name != "datacomp_uids"]


class Stop(BaseException):
    """Stands for whatever stops a process between two shards."""


@pytest.fixture
def table(tmp_path: Path) -> CommittedTable:
    return small_table(tmp_path / "run")


def stop_after(
    shards: int, kind: str, table: CommittedTable, selection: Selection, output: Path
) -> None:
    calls = 0

    def told(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == shards:
            raise Stop

    exporter = find("exporters", kind).config()(shard_rows=1).build()  # type: ignore[attr-defined]
    with pytest.raises(Stop):
        exporter.export(table, selection, output, told)


@pytest.mark.parametrize("kind", SHARDED)
def test_a_stopped_export_goes_on_and_ends_with_the_same_bytes(
    kind: str, table: CommittedTable, tmp_path: Path
) -> None:
    whole = export(kind, table, chosen(table), tmp_path / "whole", shard_rows=1)
    stop_after(3, kind, table, chosen(table), tmp_path / "out")
    first = tmp_path / "out" / whole["shards"][0]["file"]
    before = first.stat().st_mtime_ns
    manifest = export(kind, table, chosen(table), tmp_path / "out", shard_rows=1)
    assert first.stat().st_mtime_ns == before  # not written again
    assert manifest["shards"] == whole["shards"]
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert not (tmp_path / "out" / UNFINISHED).exists()


def test_what_is_whole_is_not_read_again(
    table: CommittedTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(3, "webdataset", table, chosen(table), tmp_path / "out")
    read: list[int] = []
    rows = CommittedTable.rows

    def noted(self: CommittedTable, number: int, names: Any = None) -> Any:
        read.append(number)
        return rows(self, number, names)

    monkeypatch.setattr(CommittedTable, "rows", noted)
    export("webdataset", table, chosen(table), tmp_path / "out", shard_rows=1)
    assert set(read) == {2}


def test_a_damaged_shard_and_what_follows_is_written_again(
    table: CommittedTable, tmp_path: Path
) -> None:
    export("webdataset", table, chosen(table), tmp_path / "whole", shard_rows=1)
    stop_after(3, "webdataset", table, chosen(table), tmp_path / "out")
    (tmp_path / "out" / "00001.tar").write_bytes(b"short")
    export("webdataset", table, chosen(table), tmp_path / "out", shard_rows=1)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("kind", SHARDED)
def test_a_stopped_export_of_something_else_leaves_nothing_behind(
    kind: str, table: CommittedTable, tmp_path: Path
) -> None:
    narrow = chosen(table, least=0.85)
    export(kind, table, narrow, tmp_path / "whole")
    stop_after(3, kind, table, chosen(table, least=0.4), tmp_path / "out")
    narrow = chosen(table, least=0.85)
    export(kind, table, narrow, tmp_path / "out")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_shards_are_cut_by_bytes(table: CommittedTable, tmp_path: Path) -> None:
    every = export("parquet", table, chosen(table), tmp_path / "rows", shard_rows=1)
    sizes = [_payload(tmp_path / "rows" / shard["file"]) for shard in every["shards"]]
    limit = sizes[0] + sizes[1]
    cut = export("parquet", table, chosen(table), tmp_path / "bytes", shard_bytes=limit)
    expected: list[list[int]] = []
    for size in sizes:
        if expected and sum(expected[-1]) + size <= limit:
            expected[-1].append(size)
        else:
            expected.append([size])
    assert [shard["samples"] for shard in cut["shards"]] == [len(one) for one in expected]
    assert len(expected) > 1
    tiny = export("parquet", table, chosen(table), tmp_path / "tiny", shard_bytes=1)
    assert [shard["samples"] for shard in tiny["shards"]] == [1] * 5


def _payload(path: Path) -> int:
    import pyarrow.parquet as pq

    (row,) = pq.read_table(path).to_pylist()
    return len(row["jpg"]) + len(row["caption"].encode())


def test_an_image_cut_in_two_is_counted_once(table: CommittedTable, tmp_path: Path) -> None:
    manifest = export("webdataset", table, chosen(table), tmp_path / "out", shard_rows=1)
    assert [shard["images"] for shard in manifest["shards"]] == [1] * 5
    assert (manifest["samples"], manifest["images"]) == (5, 4)
    assert manifest["shards"][1]["texts"] == {"synthetic": 1}


def test_a_format_that_leaves_samples_behind_is_a_defect(
    table: CommittedTable, tmp_path: Path
) -> None:
    class Forgetful(ShardedExporter):
        kind, suffix = "forgetful", "txt"
        samples = find("exporters", "webdataset").config()().build().samples  # type: ignore[attr-defined]

        def write_shard(self, path: Path, samples: Any) -> Any:
            path.write_text(next(samples).key)
            return {}

    exporter = Forgetful(find("exporters", "webdataset").config()())  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="takes all samples"):
        exporter.export(table, chosen(table), tmp_path / "out", lambda done, total: None)


_CHILD = """
import sys, time
from pathlib import Path
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters.webdataset import Config

root, output = map(Path, sys.argv[1:])
table = CommittedTable.open(root)
chosen = Selection.open(root, "default")
Config(shard_rows=3).build().export(table, chosen, output, lambda *_: time.sleep(0.02))
"""


def test_killed_in_the_middle_the_same_call_finishes(tmp_path: Path) -> None:
    body = jpeg(0)
    partitions = [
        [Row([Text(f"text {p} {r}", 0.9)], extra={"image": body}) for r in range(7)]
        for p in range(12)
    ]
    table = commit_table(tmp_path / "run", partitions, extra=[IMAGE])
    selection = chosen(table)
    whole = export("webdataset", table, selection, tmp_path / "whole", shard_rows=3)
    output = tmp_path / "out"
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path / "run"), str(output)])
    until = time.monotonic() + 60
    while not (output / "00004.tar").exists():
        assert time.monotonic() < until and child.poll() is None
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (output / MANIFEST).exists()
    manifest = export("webdataset", table, selection, output, shard_rows=3)
    assert manifest["shards"] == whole["shards"]
    assert bytes_of(output) == bytes_of(tmp_path / "whole")


def test_the_card_tells_counts_making_and_limits(table: CommittedTable, tmp_path: Path) -> None:
    import yaml

    export("webdataset", table, chosen(table), tmp_path / "out", license="cc-by-4.0")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    head, _, body = card.removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(head)["license"] == "cc-by-4.0"
    assert yaml.safe_load(head)["size_categories"] == ["n<1K"]
    assert "5 samples of 4 pictures in 1 shard(s)" in body
    assert "| web | 4 | 4 | below_min 2 |" in body
    assert "states the licence `cc-by-4.0`" in body
    export("webdataset", table, chosen(table), tmp_path / "none")
    assert "No licence was stated" in (tmp_path / "none" / "README.md").read_text("utf-8")


def test_the_manifest_on_disk_is_what_is_returned(table: CommittedTable, tmp_path: Path) -> None:
    manifest = export("webdataset", table, chosen(table), tmp_path / "out")
    written = json.loads((tmp_path / "out" / MANIFEST).read_text("utf-8"))
    assert {**written, "output": str(tmp_path / "out")} == manifest
