from __future__ import annotations

import hashlib
import random
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.columns import PARTITION, PHASH, ROW, SHA256
from curate.stages.dedup import _near, _spill
from curate.stages.dedup.perceptual import Config
from tests.stages.dedup.sets import Place, resolve

Row = tuple[int, str | None, int | None]


def _sha(key: int) -> str:
    return hashlib.sha256(str(key).encode()).hexdigest()


def _table(partition: int, rows: list[Row]) -> pa.Table:
    columns = [[row[i] for row in rows] for i in range(3)]
    schema = pa.schema([PARTITION, ROW, SHA256, PHASH])
    return pa.table([[partition] * len(rows), *columns], schema=schema)


def _reference(partitions: dict[int, list[Row]], max_distance: int) -> dict[Place, str]:
    """By the definition: two walks in source order, comparing with everything kept before."""
    got: dict[Place, str] = {}
    bodies: set[str] = set()
    kept: list[int] = []
    for number in sorted(partitions):
        for row, sha, phash in partitions[number]:
            if sha is not None and sha in bodies:
                got[number, row] = "duplicate_image"
                continue
            if sha is not None:
                bodies.add(sha)
            if phash is None:
                continue
            if any((phash ^ other).bit_count() <= max_distance for other in kept):
                got[number, row] = "near_duplicate_image"
            else:
                kept.append(phash)
    return got


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a few dozen rows take every path that a billion take."""
    monkeypatch.setattr(_spill, "BUCKET_ROWS", 6)
    monkeypatch.setattr(_spill, "BUFFER_ROWS", 7)
    monkeypatch.setattr(_near, "_GROUP", 1e-9)
    monkeypatch.setattr(_near, "_MAX_ROUNDS", 12)


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    max_distance=st.integers(0, 5),
    seed=st.integers(0, 100_000),
)
def test_equals_the_definition(sizes: list[int], max_distance: int, seed: int) -> None:
    rng = random.Random(seed)
    centres = [rng.getrandbits(64) for _ in range(3)]
    partitions: dict[int, list[Row]] = {}
    for number, size in enumerate(sizes):
        rows: list[Row] = []
        for row in sorted(rng.sample(range(2 * size), size)):
            phash = rng.choice(centres)
            for _ in range(rng.randrange(max_distance + 3)):
                phash ^= 1 << rng.randrange(64)
            sha = rng.choice([None, _sha(rng.randrange(12)), _sha(rng.getrandbits(60))])
            rows.append((row, sha, rng.choice([phash, phash, phash, None])))
        partitions[number] = rows
    arrival = [(number, _table(number, rows)) for number, rows in partitions.items()]
    rng.shuffle(arrival)
    barrier = Config(max_distance=max_distance).build()
    with tempfile.TemporaryDirectory() as folder:
        got = resolve(barrier, dict(arrival), Path(folder))
    assert got == _reference(partitions, max_distance)


def test_a_chain_is_not_followed(tmp_path: Path) -> None:
    chain: list[Row] = [(i, _sha(i), (1 << 2 * i) - 1) for i in range(4)]
    got = resolve(Config(max_distance=2).build(), {0: _table(0, chain)}, tmp_path)
    assert got == {(0, 1): "near_duplicate_image", (0, 3): "near_duplicate_image"}


def test_details_name_the_survivor_and_the_distance(tmp_path: Path) -> None:
    rows: list[Row] = [
        (0, _sha(1), 0b0),
        (1, _sha(1), 0b0),
        (2, _sha(2), 0b101),
        (3, _sha(3), None),
    ]
    barrier = Config(max_distance=3).build()
    resolve(barrier, {7: _table(7, rows)}, tmp_path)
    (tmp_path / "again").mkdir()
    ((partition, verdicts),) = barrier.resolve([tmp_path / "7.parquet"], tmp_path / "again")
    assert partition == 7
    assert verdicts["detail"].to_pylist() == [
        "same bytes as partition 7, row 0",
        "2 of 64 bits from partition 7, row 0",
    ]


def test_flat_pictures_are_compared_by_their_bytes(tmp_path: Path) -> None:
    rows: list[Row] = [(0, _sha(1), None), (1, _sha(2), None), (2, _sha(1), None)]
    got = resolve(Config(max_distance=8).build(), {0: _table(0, rows)}, tmp_path)
    assert got == {(0, 2): "duplicate_image"}


@settings(max_examples=200, deadline=None)
@given(
    hash_=st.integers(0, 2**64 - 1),
    flips=st.lists(st.integers(0, 63), max_size=8),
    spare=st.integers(0, 2),
    count=st.sampled_from([1, 10**6, 10**9, 10**12]),
)
def test_hashes_within_the_distance_agree_in_some_mask(
    hash_: int, flips: list[int], spare: int, count: int
) -> None:
    other = hash_
    for bit in flips:
        other ^= 1 << bit
    chosen = _near.masks(max(1, len(flips) + spare), count)
    assert any((hash_ ^ other) & int(mask) == 0 for mask in chosen)


def test_larger_sets_get_finer_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_near, "_GROUP", 16)
    monkeypatch.setattr(_near, "_MAX_ROUNDS", 200)
    assert len(_near.masks(4, 1000)) == 5
    large = _near.masks(4, 10**9)
    assert 15 < len(large) <= 200
    assert min(int(mask).bit_count() for mask in large) > 24


def test_popcount_is_the_plain_one() -> None:
    values = np.array([0, 1, 2**64 - 1, 0xF0F0, 2**63], dtype=np.uint64)
    assert _near.popcount(values).tolist() == [int(v).bit_count() for v in values]
    assert _near.popcount(values[:0]).tolist() == []
