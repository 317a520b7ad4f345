from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import lance
import numpy as np
import pytest

from curate.core.columns import KEYS, PARTITION, ROW
from curate.core.errors import StoreError
from curate.core.failpoints import VARIABLE
from curate.core.location import store_path
from curate.core.partition import Partition
from curate.core.stage import SourceFile
from curate.core.store import Receipt, Work
from curate.core.table import CommittedTable
from curate.inspection.index.build import bring_up_to_date, up_to_date
from curate.inspection.index.pair_index import PairIndex
from tests.core.tables import Row, Text, commit_table
from tests.inspection.index.material import EXTRA, made, row

BUILD = """
import sys
from pathlib import Path
from curate.core.table import CommittedTable
from curate.inspection.index.build import bring_up_to_date
bring_up_to_date(CommittedTable.open(Path(sys.argv[1])))
"""


def texts(index: PairIndex) -> list[str]:
    return list(index.take(range(len(index)), ["text"])["text"].to_pylist())


def test_an_index_has_every_text_once(tmp_path: Path) -> None:
    table = made(tmp_path)
    seen: list[tuple[int, int]] = []
    index = PairIndex.open(table, progress=lambda done, total: seen.append((done, total)))
    expected = [text for part in table.each_texts() for text in part["text"].to_pylist()]
    assert texts(index) == expected
    assert seen == [(0, 3), (3, 3)]
    assert index.few_values("source") == ["synthetic", "web"]


def test_what_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    table = made(tmp_path)
    place = bring_up_to_date(table)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    seen: list[tuple[int, int]] = []
    assert bring_up_to_date(table, None, lambda *said: seen.append(said)) == place
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert seen == []


def test_what_was_committed_since_is_added(tmp_path: Path) -> None:
    place = bring_up_to_date(made(tmp_path))
    grown = commit_table(tmp_path, [[row(9, Text("new and shiny", 0.1))]], extra=EXTRA, first=3)
    index = PairIndex.open(grown)
    assert (index.place, len(index)) == (place, 7)
    assert index.with_words("shiny")[0].tolist() == [6]
    assert index.with_words("house")[0].tolist() == [5]


def test_a_partition_that_grew_by_a_supplement_is_read_again(tmp_path: Path) -> None:
    table = made(tmp_path)
    PairIndex.open(table)
    late = commit_table(
        tmp_path / "late",
        [[row(7, Text("late", 0.3), vector=[0, 0, 1, 0])]],
        extra=EXTRA,
    ).rows(0)
    node = table.nodes[-1]
    part = late.set_column(1, ROW, [np.array([50], np.int32)]).set_column(
        0, PARTITION, [np.array([0], np.int32)]
    )
    assert node.schema is not None
    part = part.select([*KEYS, *node.schema.names])
    partition = Partition(0, SourceFile("f", 3, "", ""), 0, 3)
    receipt = Receipt(0, 1, 1, {}, texts=1, revision=1)
    table.store.commit(node, partition, Work(part, part.slice(0, 0)), receipt)
    grown = CommittedTable.open(tmp_path)
    index = PairIndex.open(grown)
    assert sorted(texts(index)) == sorted(texts_of(grown))
    assert texts(index).count("late") == 1
    # the partition lies behind the others now, and its images are found all the same
    places, owner = index.of_images(np.array([0, 50]))
    found = index.take(places, ["text"])["text"].to_pylist()
    assert (found, owner.tolist()) == (["A red dog.", "dogs run", "late"], [0, 0, 1])
    assert [texts(index)[place] for place in index.with_words("late")[0]] == ["late"]


def texts_of(table: CommittedTable) -> list[str]:
    return [text for part in table.each_texts() for text in part["text"].to_pylist()]


@pytest.mark.parametrize("place", ["file.begun@index.json:1", "file.begun@index.json:2"])
def test_a_kill_leaves_nothing_to_repair(tmp_path: Path, place: str) -> None:
    """Killed with pairs added and not noted, and with all noted and nothing finished."""
    table = made(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)],
        env={**os.environ, VARIABLE: place},
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
    index = PairIndex.open(table)
    assert texts(index) == texts_of(table)
    assert index.with_words("house")[0].tolist() == [5]
    assert index.vectors.nearest(np.array([1, 0, 0, 0], np.float32), 9)[0].tolist() == [
        0,
        1,
        2 << 32,
    ]


def test_another_table_gets_another_index_and_the_old_one_goes(tmp_path: Path) -> None:
    old = bring_up_to_date(made(tmp_path))
    new = bring_up_to_date(made(tmp_path, "two"))
    assert new != old
    assert (old.exists(), new.exists()) == (False, True)


def test_two_runs_keep_their_indices_in_one_folder(tmp_path: Path) -> None:
    indices = tmp_path / "indices"
    places = [bring_up_to_date(made(tmp_path / name, name), indices) for name in ("one", "two")]
    assert [place.exists() for place in places] == [True, True]
    again = bring_up_to_date(made(tmp_path / "one", "three"), indices)
    assert [place.exists() for place in (*places, again)] == [False, True, True]


def test_nobody_builds_while_an_index_is_opened(tmp_path: Path) -> None:
    with (
        up_to_date(made(tmp_path)) as place,
        (place.parent / "lock").open() as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_opened_index_stays_as_it_was(tmp_path: Path) -> None:
    """Of the pairs and of the embeddings, though neither has been asked for yet."""
    index = PairIndex.open(made(tmp_path))
    late = [row(9, Text("late", 0.1), vector=[0, 0, 0, 1])]
    bring_up_to_date(commit_table(tmp_path, [late], extra=EXTRA, first=3))
    assert len(texts(index)) == 6
    images, _ = index.vectors.nearest(np.array([0, 0, 0, 1], np.float32), 9)
    assert len(images) == 3


def test_an_index_that_somebody_added_to_is_not_passed_over(tmp_path: Path) -> None:
    place = bring_up_to_date(made(tmp_path))
    pairs = lance.dataset(str(place / "pairs.lance"))
    lance.write_dataset(pairs.to_table(limit=1), str(place / "pairs.lance"), mode="append")
    grown = commit_table(tmp_path, [[row(9, Text("new"))]], extra=EXTRA, first=3)
    with pytest.raises(StoreError, match=r"has 8 pairs and the run 7: remove it"):
        bring_up_to_date(grown)


def test_it_can_be_kept_elsewhere(tmp_path: Path) -> None:
    index = PairIndex.open(made(tmp_path / "run"), tmp_path / "elsewhere")
    assert index.place.parent == tmp_path / "elsewhere"
    assert not (tmp_path / "run" / "view").exists()


def test_of_a_run_on_an_object_store_it_is_kept_below_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    table = made(store_path(f"memory://{uuid.uuid4().hex}/run"))
    index = PairIndex.open(table)
    assert texts(index) == texts_of(table)
    assert tmp_path in index.place.parents
    assert bring_up_to_date(table) == index.place


@pytest.mark.parametrize("partitions", [[], [[]], [[Row([]), Row([])]]])
def test_a_run_without_texts(tmp_path: Path, partitions: list[list[Row]]) -> None:
    index = PairIndex.open(commit_table(tmp_path, partitions))
    assert len(index) == 0
    assert index.with_words("dog")[0].tolist() == []
    assert index.numbers("x_itm").values.tolist() == []
    assert index.image_starts.tolist() == []
    assert index.of_images(np.array([3]))[0].tolist() == []
    assert index.take([], ["text", "x_itm"]).num_rows == 0
