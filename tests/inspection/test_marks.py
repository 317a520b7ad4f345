from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from curate.core.errors import StoreError
from curate.core.location import store_path
from curate.inspection import marks as marks_file
from curate.inspection.marks import Marks, labels_of, read_marks
from curate.inspection.score_samples import read_labels


def test_a_mark_is_saved_when_it_is_made(tmp_path: Path) -> None:
    marks = Marks(tmp_path, by="ada")
    assert not (tmp_path / "marks").exists()  # looking alone writes nothing
    marks.set("u", "a dog", True)
    marks.set("u", "a cat", False)
    (mark, other) = read_marks(tmp_path)
    assert (mark.uid, mark.text, mark.good, mark.by) == ("u", "a dog", True, "ada")
    assert mark.at < other.at
    assert mark.at.endswith("+00:00")
    assert labels_of(tmp_path) == {("u", "a dog"): True, ("u", "a cat"): False}


def test_the_later_mark_counts_over_all_sittings(tmp_path: Path) -> None:
    first, second = Marks(tmp_path, by="ada"), Marks(tmp_path, by="bob")
    first.set("u", "a", True)
    second.set("u", "a", False)
    first.set("v", "b", True)
    second.set("v", "b", None)  # he has not seen hers: nothing to take back
    assert labels_of(tmp_path) == {("u", "a"): False, ("v", "b"): True}
    assert len(list((tmp_path / "marks").iterdir())) == 2
    third = Marks(tmp_path, by="cleo")
    assert third.good("u", "a") is False
    third.set("v", "b", None)
    assert labels_of(tmp_path) == {("u", "a"): False}


def test_marks_of_a_run_on_an_object_store() -> None:
    root = store_path(f"memory://{uuid.uuid4().hex}/run")
    marks = Marks(root, by="ada")
    marks.set("u", "a", True)
    marks.set("u", "a", False)
    assert labels_of(root) == {("u", "a"): False}
    assert Marks(root, by="bob").good("u", "a") is False


def test_undo_goes_back_step_by_step(tmp_path: Path) -> None:
    Marks(tmp_path, by="ada").set("u", "a", True)
    marks = Marks(tmp_path, by="ada")
    assert marks.undo() is None  # what an earlier sitting did stays
    marks.set("u", "a", False)
    marks.set("u", "a", False)  # changes nothing, so there is nothing to undo
    marks.set("u", "b", False)
    assert marks.undo() == ("u", "b")
    assert marks.undo() == ("u", "a")
    assert labels_of(tmp_path) == {("u", "a"): True}
    assert marks.undo() is None


def test_the_lines_are_labels(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "run", by="ada")
    text = 'two\nlines, "quotes", \u2028 and ü'
    marks.set("u", text, True)
    marks.set("v", "taken back", True)
    marks.set("v", "taken back", None)
    path = tmp_path / "marks.jsonl"
    path.write_text("".join(marks.lines()), encoding="utf-8")
    assert read_labels(path) == {("u", text): True}


def test_a_long_sitting_goes_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks_file, "_LINES", 2)
    marks = Marks(tmp_path, by="ada")
    for number in range(5):
        marks.set(f"u{number}", "a", True)
    sizes = sorted(len(path.read_bytes().splitlines()) for path in (tmp_path / "marks").iterdir())
    assert sizes == [1, 2, 2]
    assert list(labels_of(tmp_path)) == [(f"u{number}", "a") for number in range(5)]


@pytest.mark.parametrize(
    "line", ["{", '{"uid": 1}', '{"uid": "u", "text": "t", "good": "yes", "by": "", "at": ""}']
)
def test_a_damaged_file_is_told(tmp_path: Path, line: str) -> None:
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "a.jsonl").write_text(line)
    with pytest.raises(StoreError, match=r"a\.jsonl is damaged"):
        Marks(tmp_path, by="ada")


def test_what_cannot_be_saved_does_not_count(tmp_path: Path) -> None:
    marks = Marks(tmp_path, by="ada")
    (tmp_path / "marks").write_text("in the way")
    with pytest.raises(StoreError):
        marks.set("u", "a", True)
    assert marks.good("u", "a") is None
    assert marks.labels == {}
