from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.core.atomic import (
    TEMPORARY_SUFFIX,
    read_json,
    sweep_temporaries,
    write_json,
    write_parquet,
    write_whole,
)
from curate.core.errors import StorageFull, StoreError
from tests.recipes import read_only, small_disk


class Killed(BaseException):
    """Stands for whatever ends a process in mid-write."""


def half(file: IO[bytes]) -> None:
    file.write(b"half")
    raise Killed


def test_a_writer_that_ends_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        write_whole(tmp_path / "new" / "a.bin", half)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_writer_that_ends_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    assert write_whole(path, lambda file: file.write(b"old")) == 3
    with pytest.raises(Killed):
        write_whole(path, half)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.bin"]


def test_the_final_name_never_shows_a_half_written_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    seen: list[bool] = []

    def write(file: IO[bytes]) -> None:
        file.write(b"x" * 10)
        file.flush()
        seen.append(path.exists())

    write_whole(path, write)
    assert seen == [False]
    assert path.read_bytes() == b"x" * 10


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    both = threading.Barrier(2)

    def write(letter: bytes) -> None:
        def slowly(file: IO[bytes]) -> None:
            file.write(letter * 1000)
            both.wait(10)
            file.write(letter * 1000)

        write_whole(path, slowly)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in (b"a" * 2000, b"b" * 2000)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_kill_left_behind_is_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    left = tmp_path / "below" / f".part.parquet.0123abcd{TEMPORARY_SUFFIX}"
    kept = [tmp_path / "below" / "part.parquet", tmp_path / f"a{TEMPORARY_SUFFIX}"]
    for path in (left, *kept):
        path.write_bytes(b"x")
    assert sweep_temporaries(tmp_path) == 1
    assert not left.exists()
    assert all(path.exists() for path in kept)


def test_sweeping_takes_half_made_selections(tmp_path: Path) -> None:
    parts = tmp_path / "selections" / ".default.tmp" / "parts" / "000000"
    parts.mkdir(parents=True)
    (parts / "part-00000000.parquet").touch()
    (parts / ".part-00000001.parquet.0a1b2c3d.tmp").touch()
    assert sweep_temporaries(tmp_path) == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["selections"]


@pytest.mark.parametrize("written_by", ["plain bytes", "parquet"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, written_by: str) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        path = disk / "part.parquet"
        with pytest.raises(StorageFull, match=r"no room left to write .*part\.parquet: free some"):
            if written_by == "parquet":
                write_parquet(path, pa.table({"image": [os.urandom(200_000)]}))
            else:
                write_whole(path, lambda file: file.write(bytes(200_000)))
        assert list(disk.iterdir()) == []
        write_json(path, {"it": "fits"})  # the room was given back


def test_a_closed_door_is_said(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    with read_only(tmp_path / "locked") as folder:
        with pytest.raises(StoreError, match=r"not allowed to write .*a\.json.*permissions"):
            write_json(folder / "a.json", 1)
        with pytest.raises(StoreError, match="not allowed to write"):
            write_json(folder / "below" / "a.json", 1)


@pytest.mark.parametrize("damage", [b'{"a": 1', b"", b"\xff\xfe", b"no json"])
def test_damaged_json_is_said(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.json").write_bytes(damage)
    with pytest.raises(StoreError, match=r"a\.json is damaged .*: restore it, or remove it"):
        read_json(tmp_path / "a.json")


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"b": [1, None, "ä\u2028"], "a": {"x": 0.1}}
    size = write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").stat().st_size == size


def test_parquet_leaves_encoded_bytes_uncompressed(tmp_path: Path) -> None:
    table = pa.table({"image": [b"\xff\xd8" + bytes(5000)], "texts": [["a" * 5000]], "n": [1]})
    path = tmp_path / "a.parquet"
    assert write_parquet(path, table) == path.stat().st_size
    group = pq.ParquetFile(path).metadata.row_group(0)
    used = {group.column(i).path_in_schema: group.column(i).compression for i in range(3)}
    assert used == {"image": "UNCOMPRESSED", "texts.list.element": "ZSTD", "n": "ZSTD"}
    assert pq.read_table(path).equals(table)


def test_the_writer_gets_a_plain_binary_file(tmp_path: Path) -> None:
    def write(file: IO[bytes]) -> None:
        assert isinstance(file, io.BufferedWriter)
        file.write(b"ab")

    assert write_whole(tmp_path / "a", write, flush_folder=False) == 2
