from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core import selection as selection_module
from curate.core.atomic import read_json, write_json
from curate.core.errors import LawError, StoreError
from curate.core.selection import SELECTION_FILE, Selection, list_selections, select
from curate.core.stage import Selector
from curate.core.table import FLAT_NAMES, CommittedTable
from tests.core.tables import Row, Text, commit_table

TABLE = [
    [Row([Text("a", 0.9), Text("b", 0.1, "synthetic")]), Row([Text("c", 0.2)]), Row()],
    [],
    [Row([Text("d", None), Text("e", 0.8, reason="too_short"), Text("f", 0.6, "synthetic")])],
]


class Least(Selector):
    """Keeps scores above a limit; remembers what it was shown."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.seen: list[str] = []
        self.scans: list[list[str]] = []

    def prepare(self, scan: Callable[[], Iterable[pa.Table]]) -> None:
        for _ in range(2):
            self.scans.append([text for part in scan() for text in part["text"].to_pylist()])

    def decide(self, texts: pa.Table) -> pa.Array:
        self.seen += texts["text"].to_pylist()
        assert texts.column_names == [name for name in FLAT_NAMES if name != "reason"] + ["x_itm"]
        said = []
        for value in texts["x_itm"].to_pylist():
            below = "not_scored" if value is None else "low" if value < self.limit else None
            said.append(below)
        return pa.array(said, pa.string())

    def summary(self) -> dict[str, Any]:
        return {"limit": self.limit}


def chosen(table: CommittedTable, selection: Selection) -> list[str]:
    return [text for _, texts in selection.pairs(table) for text in texts["text"].to_pylist()]


def test_counts_decisions_and_pairs(tmp_path: Path) -> None:
    table = commit_table(tmp_path, TABLE)
    selector = Least(0.5)
    selection, worked = select(table, selector, {"limit": 0.5}, name="default")
    assert worked
    assert {key: selection.facts[key] for key in ("texts", "rows", "rows_kept", "summary")} == {
        **{"texts": 6, "rows": 4, "rows_kept": 2, "summary": {"limit": 0.5}},
    }
    assert selection.facts["selected"] == {"web": 1, "synthetic": 1}
    assert selection.facts["rejected"] == {
        "synthetic": {"low": 1},
        "web": {"low": 1, "not_scored": 1, "too_short": 1},
    }
    assert selection.selected == 2
    # a text that was judged before is not shown to the selector
    assert selector.seen == ["a", "b", "c", "d", "f"]
    assert selector.scans == [selector.seen, selector.seen]
    assert selection.decisions(2).to_pylist() == [
        {"partition": 2, "row": 0, "text_index": 0, "rejected": "not_scored"},
        {"partition": 2, "row": 0, "text_index": 1, "rejected": "too_short"},
        {"partition": 2, "row": 0, "text_index": 2, "rejected": None},
    ]
    pairs = list(selection.pairs(table))
    assert [rows["uid"].to_pylist() for rows, _ in pairs] == [["0-0"], ["2-0"]]
    assert chosen(table, selection) == ["a", "f"]


def test_the_same_again_does_nothing(tmp_path: Path) -> None:
    table = commit_table(tmp_path, TABLE)
    select(table, Least(0.5), {"limit": 0.5}, name="default")
    again = Least(0.5)
    _, worked = select(table, again, {"limit": 0.5}, name="default")
    assert not worked
    assert again.seen == []


def test_another_setting_keeps_the_old_selection_beside(tmp_path: Path) -> None:
    table = commit_table(tmp_path, TABLE)
    for limit in (0.5, 0.15, 0.7):
        select(table, Least(limit), {"limit": limit}, name="default")
    assert list_selections(table.store) == ["default", "default-1", "default-2"]
    by_name = {
        name: chosen(table, Selection.open(tmp_path, name)) for name in list_selections(table.store)
    }
    assert by_name == {
        "default": ["a"],
        "default-1": ["a", "f"],
        "default-2": ["a", "c", "f"],
    }


@pytest.mark.parametrize("moved", ["more partitions", "another making"])
def test_a_selection_of_an_earlier_table_is_refused_and_made_anew(
    tmp_path: Path, moved: str
) -> None:
    selection, _ = select(commit_table(tmp_path, TABLE), Least(0.5), {}, name="default")
    if moved == "more partitions":
        table = commit_table(tmp_path, [[Row([Text("g")])]], first=3)
    else:
        table = commit_table(tmp_path, TABLE, fingerprint="two")
    with pytest.raises(
        StoreError, match=r"'default' was decided on an earlier table .*run 'curate"
    ):
        list(selection.pairs(table))
    again, worked = select(table, Least(0.5), {}, name="default")
    assert worked
    assert chosen(table, again)[:2] == ["a", "f"]


def test_an_unknown_selection_is_answered_with_the_nearest(tmp_path: Path) -> None:
    table = commit_table(tmp_path, TABLE)
    with pytest.raises(StoreError, match=r"no selection 'defualt' in .*: there is none"):
        Selection.open(tmp_path, "defualt")
    select(table, Least(0.5), {}, name="default")
    with pytest.raises(StoreError, match="did you mean 'default'"):
        Selection.open(tmp_path, "defualt")


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "a b", "x" * 200])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    table = commit_table(tmp_path / "run", TABLE)
    with pytest.raises(StoreError, match="is no name for a selection: letters, digits"):
        select(table, Least(0.5), {}, name=name)
    assert not (tmp_path / "run" / "selections").exists()


def test_one_decision_per_text_is_due(tmp_path: Path) -> None:
    class Short(Selector):
        def decide(self, texts: pa.Table) -> pa.Array:
            return pa.nulls(1, pa.string())

    table = commit_table(tmp_path, TABLE)
    with pytest.raises(LawError, match="gave 1 decisions for 3 texts: one per text is due"):
        select(table, Short(), {}, name="default")
    assert list_selections(table.store) == []


def test_a_kill_in_the_middle_leaves_no_selection_and_no_trace_in_the_next(tmp_path: Path) -> None:
    class Killed(Least):
        def decide(self, texts: pa.Table) -> pa.Array:
            if "d" in texts["text"].to_pylist():
                raise KeyboardInterrupt
            return super().decide(texts)

    table = commit_table(tmp_path, TABLE)
    with pytest.raises(KeyboardInterrupt):
        select(table, Killed(0.5), {}, name="default")
    assert list_selections(table.store) == []
    selection, _ = select(table, Least(0.5), {}, name="default")
    assert chosen(table, selection) == ["a", "f"]
    assert [path.name for path in (tmp_path / "selections").iterdir()] == ["default"]
    assert len(list((tmp_path / "decisions").iterdir())) == 1


def test_a_name_that_comes_and_goes_keeps_each_selection_once(tmp_path: Path) -> None:
    table = commit_table(tmp_path, TABLE)
    for limit in (0.5, 0.15, 0.5, 0.15, 0.5):
        select(table, Least(limit), {"limit": limit}, name="default")
    kept = {n: chosen(table, Selection.open(tmp_path, n)) for n in list_selections(table.store)}
    assert kept == {"default": ["a", "f"], "default-1": ["a", "f"], "default-2": ["a", "c", "f"]}
    assert len(list((tmp_path / "decisions").iterdir())) == 2


def test_a_kill_between_keeping_the_old_selection_and_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = commit_table(tmp_path, TABLE)
    select(table, Least(0.5), {"limit": 0.5}, name="default")
    real = selection_module.write_json

    def killed(path: Path, value: Any) -> int:
        if path.parent.name == "default":
            raise KeyboardInterrupt
        return real(path, value)

    monkeypatch.setattr(selection_module, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        select(table, Least(0.15), {"limit": 0.15}, name="default")
    monkeypatch.undo()
    assert chosen(table, Selection.open(tmp_path, "default")) == ["a", "f"]
    select(table, Least(0.15), {"limit": 0.15}, name="default")
    assert list_selections(table.store) == ["default", "default-1"]
    assert chosen(table, Selection.open(tmp_path, "default")) == ["a", "c", "f"]
    assert chosen(table, Selection.open(tmp_path, "default-1")) == ["a", "f"]


def test_a_damaged_selection_is_said(tmp_path: Path) -> None:
    table = commit_table(tmp_path, TABLE)
    select(table, Least(0.5), {}, name="default")
    (tmp_path / "selections" / "default" / SELECTION_FILE).write_text("{")
    with pytest.raises(StoreError, match=r"selection\.json is damaged"):
        Selection.open(tmp_path, "default")


texts = st.builds(
    Text,
    st.text(max_size=3),
    st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.sampled_from(["web", "synthetic", "human"]),
    st.none() | st.just("too_short"),
)
tables = st.lists(st.lists(st.builds(Row, st.lists(texts, max_size=3)), max_size=3), max_size=3)


@settings(max_examples=25, deadline=None)
@given(tables, st.sampled_from([0.0, 0.4, 2.0]))
def test_the_law_of_texts(partitions: list[list[Row]], limit: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        table = commit_table(Path(name), partitions)
        selection, _ = select(table, Least(limit), {}, name="default")
        wanted = Counter(
            text.reason
            or ("not_scored" if text.score is None else None)
            or ("low" if text.score is not None and text.score < limit else None)
            for rows in partitions
            for row in rows
            for text in row.texts
        )
        got: Counter[str | None] = Counter()
        for number in table.partitions:
            got.update(selection.decisions(number)["rejected"].to_pylist())
        assert got == wanted
        rejected = sum(sum(own.values()) for own in selection.facts["rejected"].values())
        assert selection.facts["texts"] == selection.selected + rejected == wanted.total()
        assert selection.selected == wanted[None] == len(chosen(table, selection))
        kept = sum(rows.num_rows for rows, _ in selection.pairs(table))
        assert kept == selection.facts["rows_kept"]


def test_a_table_that_lost_texts_breaks_the_law(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text("a dog"), Text("a cat")])]])
    path = table.store.commit_file(table.nodes[-1], 0)
    path.write_text(path.read_text().replace('"texts": 2', '"texts": 3'))
    with pytest.raises(LawError, match=r"3 texts in the table.*\+1 unaccounted for"):
        select(table, Least(0.5), {}, name="default")


def test_a_selection_of_an_earlier_version_is_said_to_be_one(tmp_path: Path) -> None:
    table = commit_table(tmp_path, TABLE)
    selection, _ = select(table, Least(0.5), {"limit": 0.5}, name="old")
    path = table.store.selection("old") / SELECTION_FILE
    facts = read_json(path)
    for name in ("decisions", "supplements"):
        facts.pop(name)
    write_json(path, facts)
    old = Selection.open(tmp_path, "old")
    assert not old.is_of(table)
    with pytest.raises(StoreError, match=r"earlier version of curate.*\{\"limit\": 0.5\}"):
        old.decisions(0)
    again, worked = select(table, Least(0.5), {"limit": 0.5}, name="old")
    assert worked and again.decisions(2).equals(selection.decisions(2))
    assert list_selections(table.store) == ["old", "old-1"]
