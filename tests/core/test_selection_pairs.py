from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from curate.core.columns import IMAGE
from curate.core.errors import StoreError
from curate.core.pairs import Pair
from curate.core.selection import select
from curate.core.selection_pairs import SelectionPairs
from curate.core.table import CommittedTable
from curate.stages.selectors.threshold import Config
from tests.core.tables import Row, Text, commit_table


def image(name: str) -> dict[str, bytes]:
    return {"image": name.encode()}


def made(root: Path, partitions: list[list[Row]]) -> tuple[CommittedTable, SelectionPairs]:
    table = commit_table(root, partitions, extra=[IMAGE])
    selection, _ = select(table, Config(column="x_itm", min=0.5).build(), {}, name="default")
    return table, SelectionPairs(table, selection)


PARTITIONS = [
    [
        Row([Text("no", 0.1)], extra=image("i0")),
        Row([Text("a", 0.9), Text("no", 0.1), Text("b", 0.6)], number=5, extra=image("i1")),
    ],
    [Row([Text("no", None)], extra=image("i2"))],
    [Row([Text("c", 0.5)], extra=image("i3")), Row([Text("d")], extra=image("i4"))],
]


def test_pictures_are_read_by_number_in_the_order_asked(tmp_path: Path) -> None:
    _, pairs = made(tmp_path, PARTITIONS)
    assert len(pairs) == 3
    assert pairs.read([2, 0, 2]) == [
        Pair("2-1", b"i4", ["d"], ("web",)),
        Pair("0-1", b"i1", ["a", "b"], ("web", "web")),
        Pair("2-1", b"i4", ["d"], ("web",)),
    ]
    assert list(pairs.texts()) == ["a", "b", "c", "d"]


def test_any_order_gives_the_same_pictures_over_more_partitions_than_are_kept(
    tmp_path: Path,
) -> None:
    partitions = [[Row([Text(f"t{n}")], extra=image(f"i{n}"))] for n in range(7)]
    _, pairs = made(tmp_path, partitions)
    numbers = [6, 0, 3, 1, 5, 2, 4, 6, 0]
    read = [pairs.read([number])[0] for number in numbers]
    assert [pair.image for pair in read] == [f"i{n}".encode() for n in numbers]
    assert pairs.read(numbers) == read


def test_texts_are_read_without_pictures_and_copies_read_their_own(tmp_path: Path) -> None:
    _, pairs = made(tmp_path, PARTITIONS)
    for _ in range(2):
        read = pairs.read([2, 0, 1])
        assert pairs.read_texts([2, 0, 1]) == [pair._replace(image=b"") for pair in read]
    assert pickle.loads(pickle.dumps(pairs)).read([2, 0, 1]) == read


def test_no_picture_of_that_number(tmp_path: Path) -> None:
    _, pairs = made(tmp_path, PARTITIONS)
    for number in (3, -1):
        with pytest.raises(IndexError):
            pairs.read([number])


def test_an_empty_selection_has_no_pictures(tmp_path: Path) -> None:
    _, pairs = made(tmp_path, [[Row([Text("no", 0.1)], extra=image("i"))], []])
    assert len(pairs) == 0
    assert pairs.read([]) == []
    assert list(pairs.texts()) == []


def test_a_selection_of_an_earlier_table_is_refused(tmp_path: Path) -> None:
    table = commit_table(tmp_path, PARTITIONS, extra=[IMAGE])
    selection, _ = select(table, Config(column="x_itm", min=0.5).build(), {}, name="default")
    moved = commit_table(tmp_path, PARTITIONS, extra=[IMAGE], fingerprint="two")
    with pytest.raises(StoreError, match="decided on an earlier table"):
        SelectionPairs(moved, selection)


def test_a_table_without_pictures_is_said(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text("a")])]])
    selection, _ = select(table, Config(column="x_itm", min=0.5).build(), {}, name="default")
    with pytest.raises(StoreError, match="no column 'image'"):
        SelectionPairs(table, selection).read([0])
    assert isinstance(table.schema, pa.Schema)
