from __future__ import annotations

import threading
from pathlib import Path

from curate.inspection.index.marked import MarkedPlaces
from curate.inspection.index.pair_index import PairIndex
from curate.inspection.marks import Marks
from tests.inspection.index.material import made


class Overtaken(Marks):
    """Saves a good mark and waits whether another one comes in between."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, by="ada")
        self.saved, self.other = threading.Event(), threading.Event()

    def set(self, uid: str, text: str, good: bool | None) -> None:
        super().set(uid, text, good)
        if good:
            self.saved.set()
            self.other.wait(0.5)


def test_of_two_marks_at_once_the_one_that_is_saved_last_is_shown(tmp_path: Path) -> None:
    index = PairIndex.open(made(tmp_path))
    marks = Overtaken(tmp_path)
    places = MarkedPlaces(index, marks)
    first = threading.Thread(target=places.set, args=(0, True))
    first.start()
    marks.saved.wait(10)
    places.set(0, False)
    marks.other.set()
    first.join()
    assert marks.good("0-0", "A red dog.") is False
    assert places.column.labels[places.column.codes[0]] == "bad"
