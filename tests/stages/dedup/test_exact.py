from __future__ import annotations

import hashlib
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.columns import PARTITION, ROW, UID
from curate.stages.dedup import _spill
from curate.stages.dedup.exact import Config, Exact
from tests.stages.dedup.sets import Place, resolve


def _uid(key: int) -> str:
    return hashlib.blake2b(str(key).encode(), digest_size=16).hexdigest()


def _rows(partition: int, rows: list[int], uids: list[str]) -> pa.Table:
    schema = pa.schema([PARTITION, ROW, UID])
    return pa.table([[partition] * len(rows), rows, uids], schema=schema)


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a few dozen rows take every path that a billion take."""
    monkeypatch.setattr(_spill, "BUCKET_ROWS", 4)
    monkeypatch.setattr(_spill, "BUFFER_ROWS", 5)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    gaps=st.integers(1, 3),
    keys=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_the_first_row_of_every_uid_stays(
    sizes: list[int], gaps: int, keys: int, seed: int
) -> None:
    rng = random.Random(seed)
    partitions, expected, seen = {}, {}, set()
    for index, size in enumerate(sizes):
        number = index * gaps
        rows = sorted(rng.sample(range(3 * size), size))
        drawn = [rng.randrange(keys) for _ in rows]
        partitions[number] = _rows(number, rows, [_uid(key) for key in drawn])
        for row, key in zip(rows, drawn, strict=True):
            if key in seen:
                expected[number, row] = "duplicate_row"
            seen.add(key)
    arrival = list(partitions.items())
    rng.shuffle(arrival)
    with tempfile.TemporaryDirectory() as folder:
        assert resolve(Exact(), dict(arrival), Path(folder)) == expected


def test_the_detail_names_the_survivor(tmp_path: Path) -> None:
    partitions = {3: _rows(3, [0, 7], [_uid(1), _uid(2)]), 5: _rows(5, [4], [_uid(2)])}
    barrier = Config().build()
    got: dict[Place, str] = resolve(barrier, partitions, tmp_path)
    assert got == {(5, 4): "duplicate_row"}
    sketches = [tmp_path / "3.parquet", tmp_path / "5.parquet"]
    (tmp_path / "again").mkdir()
    verdicts = dict(barrier.resolve(sketches, tmp_path / "again"))
    assert verdicts[5]["detail"].to_pylist() == ["repeats partition 3, row 7"]


def test_identifiers_of_another_form_are_compared_too(tmp_path: Path) -> None:
    partitions = {0: _rows(0, [0, 1, 2], ["img-1", "img-2", "img-1"])}
    assert resolve(Exact(), partitions, tmp_path) == {(0, 2): "duplicate_row"}


def test_one_uid_repeated_everywhere_is_held_once(tmp_path: Path) -> None:
    partitions = {n: _rows(n, list(range(20)), [_uid(0)] * 20) for n in range(5)}
    assert len(resolve(Exact(), partitions, tmp_path)) == 99


def test_no_partitions_and_empty_ones(tmp_path: Path) -> None:
    assert resolve(Exact(), {}, tmp_path) == {}
    (tmp_path / "other").mkdir()
    assert resolve(Exact(), {0: _rows(0, [], []), 4: _rows(4, [], [])}, tmp_path / "other") == {}
