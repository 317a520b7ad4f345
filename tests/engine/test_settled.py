from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pytest

from curate.core.errors import StoreError
from curate.core.stage import Mapped, MapStage
from curate.engine.settled import settle


class Finder(MapStage):
    """Finds a number where none is settled."""

    def __init__(self, finds: int | None, together: Barrier | None = None) -> None:
        self.uses: int | None = None
        self.looked = 0
        self._finds, self._together = finds, together

    def settle(self, settled: Mapping[str, int] | None) -> Mapping[str, int]:
        if self._finds is None:
            return {}
        if settled is None:
            self.looked += 1
            if self._together is not None:
                self._together.wait(10)
        self.uses = settled["batch_size"] if settled else self._finds
        return {"batch_size": self.uses}

    def __call__(self, rows: pa.Table) -> Mapped:
        return Mapped(rows)


def test_the_first_worker_looks_and_later_ones_keep_to_it(tmp_path: Path) -> None:
    first, later = Finder(64), Finder(8)
    settle(tmp_path, [("blip", first)])
    settle(tmp_path, [("blip", later)])
    assert (first.uses, later.uses, later.looked) == (64, 64, 0)
    assert [path.name for path in (tmp_path / "settled").iterdir()] == ["blip.json"]


def test_stages_are_settled_apart_and_those_with_nothing_open_leave_no_file(
    tmp_path: Path,
) -> None:
    one, two, none = Finder(16), Finder(4), Finder(None)
    settle(tmp_path, [("one", one), ("two", two), ("none", none), ("filter", object())])
    assert (one.uses, two.uses) == (16, 4)
    assert sorted(path.name for path in (tmp_path / "settled").iterdir()) == [
        "one.json",
        "two.json",
    ]


def test_of_workers_that_look_at_the_same_time_one_wins(tmp_path: Path) -> None:
    together = Barrier(8)
    finders = [Finder(number + 1, together) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda finder: settle(tmp_path, [("blip", finder)]), finders))
    assert all(finder.looked == 1 for finder in finders)
    assert len({finder.uses for finder in finders}) == 1
    assert [path.name for path in (tmp_path / "settled").iterdir()] == ["blip.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"batch_size": 0}', '{"batch_size": "many"}'])
def test_a_damaged_file_is_said_as_such(tmp_path: Path, content: str) -> None:
    path = tmp_path / "settled" / "blip.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(StoreError, match=r"blip\.json is damaged"):
        settle(tmp_path, [("blip", Finder(1))])
