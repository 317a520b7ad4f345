from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curate.core.errors import StoreError
from curate.core.selection import Selection, select
from curate.core.table import CommittedTable
from curate.inspection import selection_diff
from curate.inspection.selection_diff import compare_selections
from curate.stages.selectors import best_k, threshold
from tests.core.tables import Row, Text, commit_table

TABLE = [
    [
        Row([Text("a", 0.9), Text("b", 0.4, "synthetic")]),
        Row([Text("c", 0.3), Text("d", 0.2, "synthetic")]),
        Row([Text("e", None), Text("f", 0.8, "synthetic", reason="too_short")]),
    ],
    [],
    [Row([Text("g", 0.6), Text("h", 0.7, "synthetic")]), Row([Text("i", 0.1)])],
]


def selections(root: Path) -> tuple[CommittedTable, Selection, Selection]:
    """Texts of 0.4 and more; the best text of an image."""
    table = commit_table(root, TABLE)
    one, _ = select(table, threshold.Config(column="x_itm", min=0.4).build(), {"n": 1}, name="one")
    best, _ = select(table, best_k.Config(column="x_itm", k=1).build(), {"n": 2}, name="best")
    return table, one, best


def test_texts_by_side_source_and_reason(tmp_path: Path) -> None:
    said = compare_selections(*selections(tmp_path))
    assert (said.first, said.second) == ("one", "best")
    assert said.counts == {
        "both": {"web": 1, "synthetic": 1},  # a, h
        "first": {"web": 1, "synthetic": 1},  # g, b
        "second": {"web": 2},  # c, i
        "neither": {"web": 1, "synthetic": 2},  # e; d, f
    }
    assert sum(map(said.on_side, said.counts)) == 9
    assert said.rows == {"both": 2, "first": 0, "second": 2}
    assert said.reasons == {"first": {"not_among_best": 2}, "second": {"below_min": 2}}


def test_scores_of_what_changes_sides(tmp_path: Path) -> None:
    said = compare_selections(*selections(tmp_path))
    first = said.scores["x_itm"]["first"]
    assert (first.texts, first.scored) == (2, 2)
    expected = np.quantile([0.4, 0.6], [0.05, 0.25, 0.5, 0.75, 0.95])
    assert first.quantiles == pytest.approx(expected.tolist())
    neither = said.scores["x_itm"]["neither"]
    assert (neither.texts, neither.scored) == (3, 2)  # e has no score; f was not shown, but scored


def test_pairs_that_change_sides(tmp_path: Path) -> None:
    table, one, best = selections(tmp_path)
    said = compare_selections(table, one, best)
    found = [(p.side, p.uid, p.text, p.source, p.reason, p.url) for p in said.samples]
    assert found == [
        ("first", "0-0", "b", "synthetic", "not_among_best", None),
        ("first", "2-0", "g", "web", "not_among_best", None),
        ("second", "0-1", "c", "web", "below_min", None),
        ("second", "2-1", "i", "web", "below_min", None),
    ]
    assert said.samples[1].scores == {"x_itm": pytest.approx(0.6)}
    few = compare_selections(table, one, best, samples=1)
    assert [pair.side for pair in few.samples] == ["first", "second"]
    assert few.samples == compare_selections(table, one, best, samples=1).samples
    assert compare_selections(table, one, best, samples=0).samples == []


def test_a_selection_against_itself(tmp_path: Path) -> None:
    table, one, _ = selections(tmp_path)
    said = compare_selections(table, one, one)
    assert said.on_side("first") == said.on_side("second") == 0
    assert said.scores["x_itm"]["first"].quantiles == ()


def test_many_scores_are_drawn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_diff, "MOST_SCORES", 50)
    rows = [[Row([Text("t", (number * 40 + i) / 200)]) for i in range(40)] for number in range(5)]
    table = commit_table(tmp_path, rows)
    every, _ = select(table, threshold.Config(column="x_itm", min=0.0).build(), {"n": 1}, name="a")
    said = compare_selections(table, every, every).scores["x_itm"]["both"]
    assert said.scored == 200
    assert said.quantiles[2] == pytest.approx(0.5, abs=0.2)


def test_the_lowest_lots_are_drawn_however_they_come() -> None:
    lots = np.random.default_rng(0).random(1000)
    for parts in (1, 7, 500):
        drawn = selection_diff._Drawn(30, 1)
        for some in np.array_split(np.arange(1000), parts):
            drawn.add(lots[some], some[:, None].astype(float))
        assert sorted(drawn.values()[:, 0]) == sorted(np.argsort(lots)[:30].tolist())


def test_one_that_was_decided_on_an_earlier_table(tmp_path: Path) -> None:
    _, one, _ = selections(tmp_path)
    table = commit_table(tmp_path, [[Row([Text("new", 0.5)])]], first=3)
    best, _ = select(table, best_k.Config(column="x_itm").build(), {}, name="best")
    with pytest.raises(StoreError, match="'one' was decided on an earlier table"):
        compare_selections(table, one, best)
