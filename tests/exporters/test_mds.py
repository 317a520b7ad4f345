from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from curate.core.table import CommittedTable
from curate.exporters.mds import COLUMNS, Config
from tests.exporters.material import chosen, export, small_table
from tests.images.pictures import jpeg


@pytest.fixture
def table(tmp_path: Path) -> CommittedTable:
    return small_table(tmp_path / "run")


def read_shard(path: Path) -> list[dict[str, bytes]]:
    """Read a shard by the format's description alone."""
    body = path.read_bytes()
    (count,) = struct.unpack_from("<I", body)
    offsets = struct.unpack_from(f"<{count + 1}I", body, 4)
    settings = json.loads(body[4 + 4 * (count + 1) : offsets[0]])
    assert settings["column_names"] == sorted(settings["column_names"]) == list(COLUMNS)
    assert offsets[-1] == len(body)
    found = []
    for begin, end in itertools.pairwise(offsets):
        at = begin
        sizes = []
        for size in settings["column_sizes"]:
            if size is None:
                sizes.append(struct.unpack_from("<I", body, at)[0])
                at += 4
            else:
                sizes.append(size)
        row = {}
        for name, size in zip(settings["column_names"], sizes, strict=True):
            row[name] = body[at : at + size]
            at += size
        assert at == end
        found.append(row)
    return found


def test_shards_and_index_follow_the_format(table: CommittedTable, tmp_path: Path) -> None:
    manifest = export("mds", table, chosen(table), tmp_path / "out", shard_rows=2)
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index["version"] == 2
    assert [shard["raw_data"]["basename"] for shard in index["shards"]] == [
        *("shard.00000.mds", "shard.00001.mds", "shard.00002.mds"),
    ]
    rows: list[dict[str, bytes]] = []
    for entry, shard in zip(manifest["shards"], index["shards"], strict=True):
        assert shard["raw_data"]["bytes"] == (tmp_path / "out" / entry["file"]).stat().st_size
        assert shard["raw_data"]["hashes"] == {"sha256": entry["sha256"]}
        found = read_shard(tmp_path / "out" / entry["file"])
        assert len(found) == shard["samples"] == entry["samples"]
        rows += found
    assert [row["caption"].decode() for row in rows] == [
        *("a red dog", "ein Hund, ä", "two birds", "a house", "three cats"),
    ]
    assert rows[0]["image"] == jpeg(0)
    assert struct.unpack("<d", rows[1]["weight"]) == (0.5,)
    (text,) = json.loads(rows[1]["texts"])
    assert (text["source"], text["x_itm"]) == ("synthetic", pytest.approx(0.8))


def test_an_image_a_sample_holds_all_its_texts(table: CommittedTable, tmp_path: Path) -> None:
    export("mds", table, chosen(table), tmp_path / "out", per="image")
    rows = read_shard(tmp_path / "out" / "shard.00000.mds")
    assert [len(json.loads(row["texts"])) for row in rows] == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"shard_bytes": None}, "needs a bound"), ({"shard_bytes": 2**32}, "less than or equal")],
)
def test_shards_stay_within_their_offsets(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config(**options)
