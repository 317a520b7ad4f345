from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from curate.core.errors import SourceError
from curate.core.fakes import FakeSourceConfig
from curate.core.stage import SourceFile
from curate.probe.sample import RUN, SHARES, SampleConfig, SampleSource, chunk_sizes, draw


def files_of(*rows: int) -> list[SourceFile]:
    return [SourceFile(f"{number}", count, "", "") for number, count in enumerate(rows)]


@pytest.mark.parametrize("rows", [8, 31, 32, 100, 512, 10_000])
@pytest.mark.parametrize("most", [1, 3, 50, 100_000])
def test_chunks_hold_all_rows_and_none_is_larger_than_a_partition(rows: int, most: int) -> None:
    sizes = chunk_sizes(rows, most=most)
    assert sum(sizes) == rows
    assert 0 < min(sizes) <= max(sizes) <= most


def test_chunks_are_of_unequal_sizes_so_that_a_partitions_part_can_be_told() -> None:
    assert chunk_sizes(512, most=1000)[: len(SHARES)] == [16 * share for share in SHARES]


def test_rows_come_from_all_over_and_none_twice() -> None:
    files = files_of(1000, 1, 0, 3000)
    chunks = draw(files, [100, 50, 200], seed=0)
    assert [sum(p.stop - p.start for p in chunk) for chunk in chunks] == [100, 50, 200]
    places = [place for chunk in chunks for place in chunk]
    rows = [(place.file, row) for place in places for row in range(place.start, place.stop)]
    assert len(set(rows)) == len(rows)
    assert all(0 <= row < files[file].rows for file, row in rows)
    assert max(place.stop - place.start for place in places) == RUN
    thirds = Counter(row // 1000 for file, row in rows if file == 3)
    assert all(thirds[third] > 40 for third in range(3))
    assert draw(files, [100, 50, 200], seed=1) != chunks
    assert draw(files, [100, 50, 200], seed=0) == chunks


def test_every_row_is_drawn_where_the_sample_is_the_source() -> None:
    chunks = draw(files_of(5, 7, 1), [6, 7], seed=3)
    rows = [(p.file, row) for chunk in chunks for p in chunk for row in range(p.start, p.stop)]
    assert sorted(rows) == [(0, i) for i in range(5)] + [(1, i) for i in range(7)] + [(2, 0)]


def test_a_sample_is_a_source_whose_chunks_are_partitions(tmp_path: Path) -> None:
    inner = FakeSourceConfig(files=(10, 30), bad_every=4).build()
    files = list(inner.files(tmp_path, {}))
    chunks = draw(files, [4, 9, 6], seed=0)
    source = SampleSource(inner, files, chunks)
    config = SampleConfig.of(source, 9)
    assert (config.build(), config.partition_rows) == (source, 9)
    assert source.schema() == inner.schema()
    listed = list(source.files(tmp_path, {}))
    assert [file.rows for file in listed] == [4, 9, 6]
    for file, chunk in zip(listed, chunks, strict=True):
        read = source.read(file, 0, file.rows)
        alone = [inner.read(files[p.file], p.start, p.stop) for p in sorted(chunk)]
        assert read.rows.equals(pa.concat_tables([part.rows for part in alone]))
        assert read.reasons is not None
        said = [reason for part in alone for reason in _reasons(part.reasons, part.rows.num_rows)]
        assert read.reasons.to_pylist() == said
    assert any(source.read(file, 0, file.rows).reasons.null_count < file.rows for file in listed)
    with pytest.raises(SourceError, match="one partition"):
        source.read(listed[1], 2, 9)
    source.shown = 1
    assert list(source.files(tmp_path, {})) == listed[:1]


def _reasons(reasons: pa.Array | None, count: int) -> list[str | None]:
    found: list[str | None] = [None] * count if reasons is None else reasons.to_pylist()
    return found
