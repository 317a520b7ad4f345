"""Files on an object store through ``core.atomic``, with objects in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from curate.core import atomic, objects
from curate.core.errors import StoreError
from curate.core.location import StorePath, store_path


@pytest.fixture
def root() -> Iterator[StorePath]:
    path = store_path(f"memory://{uuid.uuid4().hex}/run")
    assert not isinstance(path, Path)
    yield path
    if path.parent.exists():
        path.parent.fs.rm(path.parent.path, recursive=True)


def test_an_object_appears_whole_or_not_at_all(root: StorePath) -> None:
    def fails(file: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic.write_whole(root / "a", fails)
    assert not atomic.exists(root / "a")
    assert atomic.write_whole(root / "a", lambda file: file.write(b"abc")) == 3
    assert atomic.read_bytes(root / "a") == b"abc"
    assert atomic.file_size(root / "a") == 3
    assert atomic.file_size(root / "b") is None


def test_a_new_object_is_made_once(root: StorePath) -> None:
    assert atomic.write_new(root / "a.json", {"by": 1})
    assert not atomic.write_new(root / "a.json", {"by": 2})
    assert atomic.read_json(root / "a.json") == {"by": 1}


@pytest.mark.parametrize("rows", [10, 400_000])
def test_tables_small_and_large(root: StorePath, rows: int) -> None:
    table = pa.table({"row": range(rows), "image": [f"{n:040}".encode() for n in range(rows)]})
    size = atomic.write_parquet(root / "a.parquet", table)
    assert (size > objects.SMALL) == (rows > 10)
    assert atomic.read_parquet(root / "a.parquet", remove=root).equals(table)
    narrow = atomic.read_parquet(root / "a.parquet", remove=root, columns=["row"], memory_map=True)
    assert narrow.equals(table.select(["row"]))
    assert atomic.read_parquet_if_there(root / "b.parquet", remove=root) is None
    with pytest.raises(StoreError, match=r"b\.parquet is damaged \(it is gone\)"):
        atomic.read_parquet(root / "b.parquet", remove=root)


def test_what_is_no_table_is_damaged(root: StorePath) -> None:
    atomic.write_whole(root / "a.parquet", lambda file: file.write(b"PAR1 no"))
    with pytest.raises(StoreError, match=r"a\.parquet is damaged .*remove .*run to have its work"):
        atomic.read_parquet(root / "a.parquet", remove=root)


def test_many_small_objects_are_read_in_order(root: StorePath) -> None:
    large = bytes(objects.SMALL + 5)
    atomic.write_whole(root / "large", lambda file: file.write(large))
    for number in range(5):
        atomic.write_json(root / f"{number}", number)
    found = atomic.read_many([*(root / f"{number}" for number in range(6)), root / "large"])
    assert found == [b"0", b"1", b"2", b"3", b"4", None, large]


def test_names_of_files_and_folders(root: StorePath) -> None:
    assert atomic.child_names(root) == []
    for name in ("b", "a/c", "a/d/e"):
        atomic.write_json(root / name, 0)
    assert atomic.child_names(root) == ["a", "b"]
    assert atomic.child_names(root / "a") == ["c", "d"]


def test_removing_what_is_there_and_what_is_not(root: StorePath) -> None:
    for name in ("a", "b/c", "b/d/e"):
        atomic.write_json(root / name, 0)
    atomic.remove(root / "nothing")
    atomic.remove(root / "a")
    atomic.remove_tree(root / "b")
    atomic.remove_tree(root / "b")
    assert not atomic.exists(root / "a")
    assert not atomic.exists(root / "b" / "c")
    assert atomic.child_names(root / "b" / "d") == []


def test_a_store_without_uploads_in_parts_has_none_to_sweep(root: StorePath) -> None:
    assert atomic.sweep_temporaries(root) == 0
