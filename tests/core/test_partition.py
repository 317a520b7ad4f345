from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.errors import OtherRun, SourceError, StoreError
from curate.core.partition import Partition, Register, part_name
from curate.core.stage import Mapped, Source, SourceFile
from tests.recipes import small_disk


class Listed(Source):
    """A list of files of so many rows."""

    def __init__(self, files: Mapping[str, int]) -> None:
        self.counts = files

    def schema(self) -> pa.Schema:
        return pa.schema([])

    def files(self, spool: Path, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        for name, rows in self.counts.items():
            yield SourceFile(name, rows, f"digest of {rows}", f"/where/{name}")

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        raise AssertionError("the register reads no rows")


def listed(folder: Path, files: Mapping[str, int], rows: int = 10) -> list[Partition]:
    register = Register(folder / "files")
    return list(register.listed(Listed(files), folder, rows))


sizes = st.lists(st.integers(0, 25), max_size=6)


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(1, 12), st.integers(1, 12))
def test_every_row_stands_in_exactly_one_partition_also_when_the_list_grows(
    first: list[int], more: list[int], rows: int, other_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = listed(folder, {f"a{i}": n for i, n in enumerate(first)}, rows)
        files = {f"a{i}": n for i, n in enumerate([*first, *more])}
        # another partition size binds new files alone
        after = listed(folder, files, other_rows)
        assert after[: len(before)] == before
        assert [one.number for one in after] == list(range(len(after)))
        seen = [(one.file.name, row) for one in after for row in range(one.start, one.stop)]
        assert sorted(seen) == sorted((f, row) for f, n in files.items() for row in range(n))
        assert len(set(seen)) == len(seen)
        assert all(0 < one.rows <= max(rows, other_rows) for one in after)
        register = Register(folder / "files")
        assert register.num_rows == sum(files.values())
        assert register.num_partitions == len(after)
        for mine, one in zip(register.partitions(), after, strict=True):
            found = register.partition(one.number)
            assert (mine.start, mine.stop, mine.file.name) == (one.start, one.stop, one.file.name)
            assert (found.start, found.stop, found.file.name) == (
                one.start,
                one.stop,
                one.file.name,
            )
        for number in (-1, len(after)):
            with pytest.raises(KeyError, match=f"no partition {number}: there are {len(after)}"):
                register.partition(number)


def test_a_new_file_between_old_ones_gets_numbers_at_the_end(tmp_path: Path) -> None:
    listed(tmp_path, {"a": 10, "c": 20})
    after = listed(tmp_path, {"a": 10, "c": 20, "b": 10})  # sources yield what they know first
    assert {(one.number, one.file.name) for one in after} == {
        (0, "a"),
        (1, "c"),
        (2, "c"),
        (3, "b"),
    }


def test_partitions_are_yielded_before_the_list_is_read_to_its_end(tmp_path: Path) -> None:
    register = Register(tmp_path / "files")
    stream = register.listed(Listed({"a": 5, "b": 5}), tmp_path, 10)
    assert str(next(stream)) == "partition 0 (a, rows 0 to 4)"
    assert register.num_partitions == 1
    assert not register.complete
    assert [one.file.location for one in stream] == ["/where/b"]
    assert register.complete


def test_a_kill_between_two_files_loses_neither(tmp_path: Path) -> None:
    register = Register(tmp_path / "files")
    stream = register.listed(Listed({"a": 10, "b": 20}), tmp_path, 10)
    next(stream)
    (tmp_path / "files" / ".000000.jsonl.1234.tmp").write_bytes(b'{"first"')  # half-written
    assert Register(tmp_path / "files").num_partitions == 1
    assert [one.number for one in listed(tmp_path, {"a": 10, "b": 20})] == [0, 1, 2]
    assert Register(tmp_path / "files").num_partitions == 3


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_many_files_are_registered_a_hundred_to_a_part(tmp_path: Path, count: int) -> None:
    files = {f"{i:04d}": 15 for i in range(count)}
    assert [one.number for one in listed(tmp_path, files)] == list(range(2 * count))
    parts = sorted((tmp_path / "files").iterdir())
    assert [len(part.read_bytes().splitlines()) for part in parts] == [
        *[100] * (count // 100),
        *([count % 100] if count % 100 else []),
    ]
    register = Register(tmp_path / "files")
    assert list(register.known) == list(files)
    assert str(register.partition(2 * count - 1)).endswith(f"({count - 1:04d}, rows 10 to 14)")


def test_a_part_of_the_register_that_is_gone_is_said(tmp_path: Path) -> None:
    listed(tmp_path, {f"{i:04d}": 1 for i in range(150)})
    (tmp_path / "files" / "000000.jsonl").unlink()
    with pytest.raises(StoreError, match=r"000000\.jsonl is damaged"):
        Register(tmp_path / "files")


@pytest.mark.parametrize("damage", ["{]", "{}", "5", "null", '{"first": 0}'])
def test_a_damaged_line_is_said(tmp_path: Path, damage: str) -> None:
    listed(tmp_path, {"a": 10})
    path = tmp_path / "files" / "000000.jsonl"
    path.write_text(path.read_text() + damage + "\n")
    with pytest.raises(StoreError, match=r"000000\.jsonl is damaged \(line 2\): restore the file"):
        Register(path.parent)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    listed(tmp_path, {"a": 10})
    with pytest.raises(SourceError, match=r"'a' changed .*\(10 rows then, 11 now\)"):
        listed(tmp_path, {"a": 11})


def test_a_file_that_is_gone_means_another_list(tmp_path: Path) -> None:
    listed(tmp_path, {"a": 10, "b": 1})
    with pytest.raises(OtherRun, match=r"1 file\(s\) .* not in its source .*\(first: 'b'\)"):
        listed(tmp_path, {"a": 10, "c": 5})
    # and nothing of the other list is left behind
    assert set(Register(tmp_path / "files").known) == {"a", "b"}
    assert len(listed(tmp_path, {"a": 10, "b": 1})) == 2


def test_the_register_is_one_json_line_a_file(tmp_path: Path) -> None:
    listed(tmp_path, {"ä b": 10, "c": 11})
    lines = [
        json.loads(line) for line in (tmp_path / "files" / "000000.jsonl").read_text().splitlines()
    ]
    assert [(line["name"], line["first"], line["rows"]) for line in lines] == [
        ("ä b", 0, 10),
        ("c", 1, 11),
    ]


def test_a_disk_that_fills_while_registering_loses_no_earlier_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        files = {f"{'long' * 50}-{i}": 10 for i in range(100)}
        with pytest.raises(StoreError, match="no room left"):
            listed(disk, files)
        known = Register(disk / "files").known
        assert 0 < len(known) < 100
        assert set(known) < set(files)


def test_a_thousand_partitions_a_folder() -> None:
    assert part_name(42) == "000000/part-00000042"
    assert part_name(42_317) == "000042/part-00042317"
