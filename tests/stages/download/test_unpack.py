from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.core.stage import Mapped
from curate.stages.download.unpack import Config
from tests.images.pictures import jpeg
from tests.sources.packed import write_tar


def rows(places: list[tuple[str | None, int | None, int | None]]) -> pa.Table:
    shards, starts, sizes = zip(*places, strict=True)
    return pa.table(
        {
            "shard": pa.array(shards, pa.string()),
            "shard_place": pa.array(starts, pa.int64()),
            "shard_bytes": pa.array(sizes, pa.int64()),
        }
    )


def unpack(root: Path | str, table: pa.Table, **options: Any) -> Mapped:
    stage = Config(root=str(root), **{"skip_reencode": True, **options}).build()
    with stage.ready():
        return stage(table)


def tar_of(path: Path, count: int) -> list[tuple[str | None, int | None, int | None]]:
    """Write a tar of so many pictures; returns where each lies."""
    bodies = [jpeg(number) for number in range(count)]
    write_tar(path, {f"{number}.jpg": body for number, body in enumerate(bodies)})
    content = path.read_bytes()
    return [(path.name, content.index(body), len(body)) for body in bodies]


def test_pictures_come_out_of_tars_in_row_order(tmp_path: Path) -> None:
    a, b = tar_of(tmp_path / "a.tar", 3), tar_of(tmp_path / "b.tar", 2)
    mapped = unpack(tmp_path, rows([b[1], a[2], a[0], b[0]]))
    assert mapped.rows["image"].to_pylist() == [jpeg(1), jpeg(2), jpeg(0), jpeg(0)]
    assert mapped.reasons is not None and mapped.reasons.null_count == 4
    assert mapped.rows["width"].to_pylist() == [96] * 4


def test_pictures_come_out_of_parquet_across_row_groups(tmp_path: Path) -> None:
    bodies = [jpeg(number) if number % 5 else None for number in range(150)]
    table = pa.table({"jpg": pa.array(bodies, pa.binary()), "url": ["u"] * 150})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=70)
    wanted = [149, 3, 71, 5, 68]
    mapped = unpack(tmp_path, rows([("a.parquet", row, None) for row in wanted]))
    assert mapped.rows["image"].to_pylist() == [
        *(jpeg(149), jpeg(3), jpeg(71), None, jpeg(68)),
    ]
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == [None, None, None, "empty_body", None]


def test_another_column_of_pictures(tmp_path: Path) -> None:
    pq.write_table(pa.table({"png": [jpeg(1)]}), tmp_path / "a.parquet")
    place = rows([("a.parquet", 0, None)])
    assert unpack(tmp_path, place, image_column="png").rows["image"].to_pylist() == [jpeg(1)]
    told = unpack(tmp_path, place)
    assert told.reasons is not None and told.details is not None
    assert told.reasons.to_pylist() == ["unreadable_file"]
    assert "no column 'jpg'" in told.details[0].as_py()


def test_what_cannot_be_unpacked_has_a_reason(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    good = tar_of(root / "a.tar", 2)
    tar_of(tmp_path / "outside.tar", 1)
    (root / "link.tar").symlink_to(tmp_path / "outside.tar")
    (root / "b.parquet").write_bytes(b"PAR1 no more")
    size = (root / "a.tar").stat().st_size
    places = [
        *(good[0], (None, None, None), ("gone.tar", 0, 5), ("../outside.tar", 512, 9)),
        *(("/etc/passwd", 0, 9), ("link.tar", 512, 9), ("a.tar", size - 3, 9)),
        *(("b.parquet", 0, None), ("a.tar", 512, 10**9), ("a.tar", 0, 100), good[1]),
    ]
    mapped = unpack(root, rows(places), max_bytes=10**6)
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == [
        *(None, "no_shard", "missing_file", "outside_root"),
        *("outside_root", "outside_root", "unreadable_file"),
        *("unreadable_file", "too_large", "not_an_image", None),
    ]


def test_expected_hashes_are_compared(tmp_path: Path) -> None:
    import hashlib

    places = tar_of(tmp_path / "a.tar", 2)
    digests = [hashlib.sha256(jpeg(0)).hexdigest(), "0" * 64]
    table = rows(places).append_column("digest", pa.array(digests))
    mapped = unpack(tmp_path, table, verify_hash=("digest", "sha256"))
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == [None, "hash_mismatch"]


def test_shards_may_lie_behind_fsspec(tmp_path: Path) -> None:
    import fsspec

    places = tar_of(tmp_path / "a.tar", 2)
    memory = fsspec.filesystem("memory")
    memory.pipe("/shards/a.tar", (tmp_path / "a.tar").read_bytes())
    try:
        config = Config(root="memory://shards")
        assert config.check() == []
        mapped = unpack("memory://shards", rows(places))
        assert mapped.rows["image"].to_pylist() == [jpeg(0), jpeg(1)]
    finally:
        memory.rm("/shards", recursive=True)


@pytest.mark.parametrize("root", ["gone", "gone/too"])
def test_a_root_that_is_not_there_is_told(root: str, tmp_path: Path) -> None:
    assert "is no folder" in Config(root=str(tmp_path / root)).check()[0]


def test_where_the_root_is_changes_nothing() -> None:
    assert Config(root="a").identity() == Config(root="b").identity()
    assert Config(root="a").identity() != Config(root="a", image_column="png").identity()
